"""A repetition is judged by its spread and by what good measurements differ by; what is not the same is not judged."""

import dataclasses
import io
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from orchestrator.errors import StoreError, UsageError
from orchestrator.host.machine import Gpu
from orchestrator.host.neighbours import Neighbour
from orchestrator.judge import reproduction, same_job, stored_jobs
from orchestrator.plan.spec import Spec
from orchestrator.plan.workloads.resnet50 import ResNet50
from orchestrator.record import capsule, run_folder
from orchestrator.record.figures import EpochFigure
from orchestrator.record.provenance import HostFacts
from orchestrator.record.results import Failure
from orchestrator.report import reproduction_text
from orchestrator.run import preparation, repetition
from tests.support import engine_cases
from tests.support.facts import with_facts
from tests.support.projects import echo_project
from tests.support.results import result, runs, trained


def provenance(results, **parts):
    return [with_facts(each, **parts) for each in results]


def judged(stored, here, **kwargs):
    return reproduction.verdict(stored, here, **kwargs)


@pytest.mark.parametrize(
    ("here", "word"),
    [
        ((100.0, 101.0, 99.5), "REPRODUCED"),
        ((102.5, 103.5, 102.0), "REPRODUCED"),  # within 2 % and the spread
        ((130.0, 131.0, 129.0), "SLOWER"),
        ((70.0, 71.0, 69.0), "FASTER"),
        ((60.0, 100.0, 170.0), "CANNOT"),
    ],
)
def test_the_word_for_a_time(here, word):
    assert judged(runs(100.0), runs(*here)).word == word


def disturbed(results):
    return [each.model_copy(update={"neighbours": (Neighbour(name="stress", cpus=1.0),)}) for each in results]


def test_a_disturbed_repetition_is_not_called_slower():
    slow = disturbed(runs(200.0, 201.0))
    found = judged(runs(100.0, 100.5), slow)
    assert (found.word, found.why[:10]) == ("CANNOT", "disturbed:")
    assert "2 of 2 repeats were disturbed: stress used 1.0 CPUs" in found.notes
    found = judged(runs(100.0, 100.5), [*runs(100.2, 100.4), *slow])
    assert (found.word, found.here) == ("REPRODUCED", (100.2, 100.4))


def test_the_tolerance_names_its_two_parts():
    found = judged(runs(100.0), runs(100.0, 101.0, 99.5))
    assert found.why.startswith("1.000 times the stored time; the tolerance of 4.")
    assert "is 2.0 % for the same host and" in found.why
    assert found.why.endswith("for the spread of these runs")
    assert "the tolerance" not in judged(runs(100.0), runs(60.0, 100.0, 170.0)).why
    assert judged(runs(100.0), runs(60.0, 100.0, 170.0)).why.startswith("too noisy")


def test_another_host_is_allowed_more():
    elsewhere = runs(108.0, 108.1, 107.9, cpu="CPU Y")
    assert judged(runs(100.0), elsewhere).word == "REPRODUCED"
    assert "10.0 % for another host" in judged(runs(100.0), elsewhere).why
    assert judged(runs(100.0), runs(108.0, 108.1, 107.9)).word == "SLOWER"


def test_the_spread_of_stored_epochs_widens_the_tolerance():
    def epochs(*seconds):
        return tuple(EpochFigure(samples=64, seconds=each, loss=1.0) for each in seconds)

    calm = runs(100.0, epochs=epochs(25.0, 25.0, 25.0, 25.0))
    restless = runs(100.0, epochs=epochs(25.0, 24.0, 26.0, 25.0, 24.0, 26.0))
    here = runs(106.0, 106.1, 105.9)
    assert judged(calm, here).word == "SLOWER"
    assert judged(restless, here).word == "REPRODUCED"


def test_accuracy_comes_before_time():
    found = judged(runs(100.0), runs(50.0, 51.0, 50.5, accuracy=0.70))
    assert found.word == "DIFFERENT ACCURACY"
    assert found.why.startswith(
        "accuracy is 70.00 % and was 76.50 %: over 10,000 test samples that is more than chance"
    )
    assert judged(runs(100.0), runs(100.0, 101.0, 99.5, accuracy=0.757)).word == "REPRODUCED"
    few = {"test_samples": 100}
    assert judged(runs(100.0, **few), runs(100.0, 101.0, 99.5, accuracy=0.70, **few)).word == "REPRODUCED"


def test_a_loss_may_differ_by_what_repeats_differ_by():
    def trained(*losses):
        found = runs(*([100.0] * len(losses)))
        return [
            each.model_copy(update={"figures": each.figures.model_copy(update={"accuracy": None, "test_loss": loss})})
            for each, loss in zip(found, losses, strict=True)
        ]

    assert judged(trained(1.5), trained(1.512, 1.513)).word == "REPRODUCED"
    worse = judged(trained(1.5), trained(1.6, 1.601))
    assert (worse.word, worse.test_loss) == ("DIFFERENT LOSS", (1.5, 1.6005))
    assert worse.why.startswith(
        "the test loss is 1.601 and was 1.5: the spread of these runs allows a difference of 0.0"
    )
    assert judged(trained(1.5, 1.62), trained(1.6, 1.55)).word == "REPRODUCED"


def test_inference_has_no_accuracy():
    def images(*rates):
        return [result("numpy", "resnet50", images_per_s=rate, repeat=n) for n, rate in enumerate(rates, start=1)]

    assert judged(images(50.0), images(50.1, 49.9, 50.0)).word == "REPRODUCED"
    assert judged(images(50.0), images(40.0, 40.1, 39.9)).word == "SLOWER"


FAILED = Failure(kind="out_of_memory", message="killed by the kernel")


@pytest.mark.parametrize(
    ("stored", "here", "why"),
    [
        ([result("numpy", failure=FAILED)], runs(1.0, 1.0), "the stored job numpy-cnn-cpu-1 has no figures: killed by the kernel"),
        (runs(100.0), [*runs(100.0, 100.0), result("numpy", repeat=3, failure=FAILED)], "1 of 3 repeats failed: out of memory: killed by the kernel"),
        (runs(100.0), runs(100.0), "one repeat has no spread: repeat the job at least twice"),
        (runs(100.0, accuracy=2.0), runs(100.0, 100.0), "the stored accuracy is not a fraction of the test samples"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_says_why(stored, here, why):
    found = judged(stored, here)
    assert (found.word, found.why) == ("CANNOT", why)


def test_data_of_another_label_and_the_same_fingerprint_are_the_same():
    assert judged(runs(100.0), runs(100.0, 100.0, source="synthetic")).word == "REPRODUCED"


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"code": {"workloads_sha256": "other"}}, "the workload code differs"),
        ({"environment": {"lock_sha256": "other"}}, "the environment differs: its lock has another sha256"),
    ],
)
def test_other_code_cannot_be_judged_unless_allowed(parts, why):
    here = provenance(runs(100.0, 100.0, 100.0), **parts)
    assert judged(runs(100.0), here).word == "CANNOT"
    assert why in judged(runs(100.0), here).why
    assert judged(runs(100.0), here, allow_different_code=True).word == "REPRODUCED"


def test_another_dockerfile_is_another_image_and_another_base_is_reported():
    def inside(**facts):
        return {"lock_sha256": "l", "recipe_sha256": "r", "base": "python:3.11", "id": "sha256:1", **facts}

    stored = provenance(runs(100.0), environment=inside())
    here = runs(100.0, 100.1)
    found = judged(stored, provenance(here, environment=inside(recipe_sha256="other")))
    assert (found.word, found.why) == (
        "CANNOT", "the image differs: its Dockerfile, or another file in its folder, has another sha256"
    )  # fmt: skip
    assert judged(stored, provenance(here, environment=inside(id="sha256:2"))).notes == (
        "the image was built again from the same Dockerfile and lock: its id differs because its files have other times",
    )
    found = judged(stored, provenance(here, environment=inside(id="sha256:2", base="mirror/python:3.11")))
    assert (found.word, found.notes) == (
        "REPRODUCED", ("the image has another base: python:3.11 there, mirror/python:3.11 here",)
    )  # fmt: skip
    older = {key: value for key, value in inside().items() if key != "recipe_sha256"}
    assert judged(provenance(runs(100.0), environment=older), provenance(here, environment=inside())).word != "CANNOT"


def test_another_interpreter_other_libraries_and_limits_are_reported():
    def by(python, blas, quota):
        found = runs(100.0, 100.1)
        versions = {"python": python, "blas": blas}
        start = found[0].start.model_copy(update={"versions": versions})
        host = {"cpu": "CPU X", "cpus_used": [0, 1], "cpu_quota": quota}
        environment = {"given_by_user": True, "interpreter": "/bin/python"}
        return provenance(
            [each.model_copy(update={"start": start}) for each in found], host=host, environment=environment
        )

    notes = judged(by("3.11.7", "1", None), by("3.11.9", "2", 0.5)).notes
    for note in (
        "another interpreter: Python 3.11.7 there, Python 3.11.9 here",
        "another set of libraries: blas 1 there, blas 2 here",
        "other limits of control groups: none there, quota of 0.5 CPUs here",
    ):
        assert note in notes


@pytest.mark.parametrize(
    "part",
    [
        {"environment": {"lock_sha256": "l"}},
        {"code": {"workloads_sha256": "w"}},
        {"host": {"cpu": "CPU X", "cpus_used": [0, 1], "cpu_quota": 0.5}},
    ],
)
def test_results_of_other_software_or_limits_are_no_repeats(part):
    cells = stored_jobs.cells_of([*runs(100.0), *provenance(runs(100.0), **part)], "here")
    assert [len(cell) for cell in cells] == [1, 1]
    again = provenance(runs(100.0), code={"git_commit": "another, with the same code"})
    assert [len(cell) for cell in stored_jobs.cells_of([*runs(100.0), *again], "here")] == [2]


def test_the_same_gpu_is_taken_or_one_like_it_and_as_many():
    def gpu(index, uuid, name="H100"):
        return Gpu(index=index, name=name, uuid=uuid, memory=None, capability="9.0")

    def on(*uuids):
        (original,) = provenance(runs(100.0), host={"gpus": [vars(gpu(0, "GPU-a")), vars(gpu(1, "GPU-b", "A100"))]})
        return original.model_copy(update={"job": original.job.model_copy(update={"gpus": uuids})})

    here = (gpu(0, "GPU-1", "A100"), gpu(1, "GPU-2"), gpu(2, "GPU-b", "A100"))
    assert stored_jobs.spec_of(on("GPU-b"), 3, here).gpu == "GPU-b"  # the very one
    assert stored_jobs.spec_of(on("GPU-a"), 3, here).gpu == "GPU-2"  # of the same model
    assert (
        stored_jobs.spec_of(on("GPU-a"), 3, here[:1]).gpu == "0"
    )  # there is only another one, and the verdict says so
    of_two = on("GPU-a", "GPU-b")
    of_two = of_two.model_copy(update={"job": of_two.job.model_copy(update={"ranks": 2})})
    again = stored_jobs.spec_of(of_two, 3, here)
    assert (again.gpu, again.ranks) == ("0", 2)
    alone = on("GPU-a").job
    assert same_job.job_differences(on("GPU-a", "GPU-b").job, alone) == ["it had 2 GPUs, and has 1 here"]
    other = provenance([on("GPU-1")] * 2, host={"gpus": [vars(here[0])]})
    assert "another GPU: H100 there, A100 here" in judged([on("GPU-a")], other).notes


def test_one_host_is_known_by_its_id():
    machine = HostFacts(cpu="CPU X", cpus_used=(0, 1), memory=100, id="a")

    def same_host(**changes):
        return same_job.same_host(machine, machine.model_copy(update=changes))

    assert same_host(memory=99)  # after an update of its kernel
    assert not same_host(id="b")  # a machine of the same make
    assert not same_host(cpus_used=(0,))
    assert same_host(id=None)  # an older result
    assert not same_host(id=None, memory=99)


def test_other_data_cannot_be_judged_at_all():
    data = runs(100.0)[0].provenance.data
    for part, why in (
        ({"fingerprint": "g"}, "the data differ by their fingerprint: cifar10 there and cifar10 here"),
        ({"inputs": {"weights.npz": "1"}}, "weights.npz has another sha256"),
    ):
        here = provenance(runs(100.0, 100.0), data=data.model_copy(update=part))
        found = judged(runs(100.0), here, allow_different_code=True)
        assert (found.word, found.why) == ("CANNOT", why)


def test_what_need_not_be_the_same_is_reported():
    stored = provenance(runs(100.0), environment={"id": "sha256:1", "lock_sha256": "l"})
    here = provenance(runs(100.0, 100.1), environment={"id": "sha256:2", "lock_sha256": "l"})
    assert judged(stored, here).notes == (
        "the image was built again from the same lock: its id differs because its files have other times",
    )


NOISE = 0.02


def test_an_honest_repetition_is_reproduced_and_a_planted_slowdown_is_not():
    generator = np.random.default_rng(20261123)

    def draw(seconds, n):
        return runs(*generator.lognormal(math.log(seconds), NOISE, n).tolist())

    honest = [judged(draw(100.0, 1), draw(100.0, 3)).word for _ in range(100)]
    slower = [judged(draw(100.0, 1), draw(120.0, 3)).word for _ in range(100)]
    assert honest.count("REPRODUCED") >= 95
    assert slower.count("SLOWER") >= 95


times = st.floats(1e-9, 1e15)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(times, min_size=1, max_size=4),
    st.lists(times, min_size=2, max_size=4),
    st.floats(0, 1),
    st.integers(1, 10**12),
)
def test_every_pair_of_results_gets_a_word(stored, here, accuracy, samples):
    found = judged(runs(*stored, accuracy=accuracy, test_samples=samples), runs(*here))
    assert found.word in {"REPRODUCED", "SLOWER", "FASTER", "DIFFERENT ACCURACY", "CANNOT"}
    answer = reproduction.Answer(job="job", verdict=found)
    json.dumps(reproduction_text.as_json([answer]), allow_nan=False)
    file = io.StringIO()
    reproduction_text.show(Console(file=file, width=100), answer)
    assert found.word in file.getvalue()


def test_which_jobs_of_a_capsule_are_meant():
    many = [*runs(1.0, 2.0), trained("pytorch"), result("pytorch", "resnet50"), result("gluon", failure=FAILED)]
    numpy, pytorch, resnet = runs(1.0, 2.0), [many[2]], [many[3]]
    assert stored_jobs.cells_of(many, "f") == [numpy, pytorch, resnet]  # gluon has no figures
    assert stored_jobs.cells_of(many, "f", jobs=["numpy-cnn-cpu"]) == [numpy]
    assert stored_jobs.cells_of(many, "f", frameworks=["pytorch"]) == [pytorch, resnet]
    assert stored_jobs.cells_of(many, "f", frameworks=["pytorch"], workloads=["cnn"]) == [pytorch]
    assert stored_jobs.cells_of(many, "f", frameworks=["numpy", "pytorch"], workloads=["cnn"]) == [numpy, pytorch]
    assert stored_jobs.cells_of(many, "f", frameworks=["gluon"]) == [[many[4]]]  # which says why it cannot
    assert stored_jobs.cells_of([*runs(1.0), result("numpy", repeat=2, failure=FAILED)], "f") == [runs(1.0)]
    assert stored_jobs.cells_of([*numpy, *runs(3.0, cpu="CPU Y")], "f") == [numpy, runs(3.0, cpu="CPU Y")]
    for options, message in (
        ({"jobs": ["numpi-cnn-cpu"]}, "f holds no job 'numpi-cnn-cpu'; did you mean 'numpy-cnn-cpu'"),
        ({"frameworks": ["numpy", "tourch"]}, "f holds no framework 'tourch'; did you mean 'pytorch'"),
        ({"workloads": ["rnn"]}, "f holds no workload 'rnn'; did you mean 'cnn'"),
        ({"frameworks": ["numpy"], "workloads": ["resnet50"]}, "f holds no job that matches all options"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            stored_jobs.cells_of(many, "f", **options)
        assert "`rosetta report f --format csv`" in caught.value.hint
    with pytest.raises(UsageError, match="f holds no result"):
        stored_jobs.cells_of([], "f")


def test_of_several_jobs_a_summary_counts_the_words():
    answers = [
        reproduction.Answer(job=str(n), verdict=reproduction.ReproductionVerdict(word=word, why="so"))
        for n, word in enumerate(("REPRODUCED", "SLOWER", "REPRODUCED"))
    ]
    assert reproduction_text.summary(answers) == "3 jobs: 2 REPRODUCED, 1 SLOWER"
    assert [each["job"] for each in reproduction_text.as_json(answers)["jobs"]] == ["0", "1", "2"]


def test_a_spec_plans_the_stored_job_again():
    run_spec = stored_jobs.spec_of(trained("numpy"), 3)
    assert (run_spec.frameworks, run_spec.workloads, run_spec.repeats, run_spec.cnn.epochs, run_spec.dataset) == (
        ("numpy",),
        ("cnn",),
        3,
        2,
        "official",
    )


@pytest.mark.parametrize(
    "update", [{"settings": {"epochs": -1}}, {"settings": {"rm": "-rf"}}, {"precision": "fp3"}, {"timeout": -1.0}]
)
def test_a_job_that_no_spec_gives_is_refused(update):
    forged = trained().model_copy(update={"job": trained().job.model_copy(update=update)})
    with pytest.raises(StoreError, match="its settings are not valid in a spec"):
        stored_jobs.spec_of(forged, 3)


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"schema_version": 1, "kind": "capsule"}', b'{"kind": "capsule", "results": 3}']
)
def test_a_file_that_is_no_capsule_is_named(tmp_path, content):
    path = tmp_path / "capsule.json"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"capsule\.json: not written by this program"):
        capsule.results_in(path)
    for missing, what in (
        (tmp_path, "is a folder"),
        (tmp_path / "nope", "no file"),
        (tmp_path / ("x" * 300), "no file"),
    ):
        with pytest.raises(UsageError, match=what):
            capsule.results_in(missing)


def test_a_capsule_edited_by_hand_is_refused(tmp_path):
    path = tmp_path / "capsule.json"
    run = run_folder.Run(
        id="r", began=run_folder.now(), command=(), engine="docker", spec=Spec(name="t"), jobs=(trained().job,)
    )
    capsule.write(path, [capsule.Kept(run=run, results=(trained(),))])
    assert capsule.results_in(path) == (trained(),)
    path.write_text(path.read_text().replace('"accuracy": 0.765', '"accuracy": 0.965'))
    with pytest.raises(StoreError, match="does not match its sha256"):
        capsule.results_in(path)


@pytest.fixture
def stage(tmp_path, cache):
    """A checkout that knows the echo workload, and a stored result of it."""
    request = preparation.Request(
        root=echo_project(tmp_path, "good", "crash"),
        results=tmp_path / "results",
        cache=cache,
        pythons={"echo": Path(sys.executable)},
    )
    run_spec = Spec(
        name="echo",
        frameworks=("good",),
        workloads=("resnet50",),
        engine="process",
        device="cpu",
        dataset="synthetic",
        resnet50=ResNet50(seconds=0),
    )
    first = dataclasses.replace(request, given_spec=run_spec)
    prepared = preparation.prepare(first)
    folder = preparation.start(first, prepared)
    return request, preparation.run(first, folder, prepared, engine_cases.Silent()), folder


def repeated(request, originals, **kwargs):
    planned = repetition.plan(request, originals, 3, allow_different_code=False)
    if isinstance(planned, reproduction.ReproductionVerdict):
        return planned
    prepared = repetition.make_inputs(planned)
    if isinstance(prepared, reproduction.ReproductionVerdict):
        return prepared
    folder = preparation.start(prepared.request, prepared.prepared)
    return repetition.run(prepared, folder, engine_cases.Silent(), allow_different_code=False)


@pytest.mark.slow
def test_a_stored_job_runs_again_and_is_judged(stage, tmp_path):
    request, originals, _ = stage
    found = repeated(request, originals)
    assert (found.word, found.ratio, len(found.here)) == ("REPRODUCED", 1.0, 3)
    assert any("it has no lock" in note for note in found.notes)
    assert len(list((tmp_path / "results").iterdir())) == 2


@pytest.mark.slow
def test_a_slower_repetition_is_called_so(stage):
    request, (original,), _ = stage
    faster = original.model_copy(update={"figures": original.figures.model_copy(update={"images_per_s": 1e6})})
    assert repeated(request, [faster]).word == "SLOWER"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"framework": "nope"}, "this version has no framework 'nope'"),
        ({"workload": "cnn"}, "good has no cnn in this version"),
        (
            {"command": "rm -rf /", "env": {"LD_PRELOAD": "evil.so"}},
            "this version has a different command for it; this version has a different env for it",
        ),
    ],
)
def test_what_this_checkout_does_not_run_is_not_run(stage, tmp_path, change, why):
    request, (original,), _ = stage
    forged = original.model_copy(update={"job": original.job.model_copy(update=change)})
    assert repeated(request, [forged]) == reproduction.ReproductionVerdict(word="CANNOT", why=why)
    assert len(list((tmp_path / "results").iterdir())) == 1


@pytest.mark.slow
def test_other_code_data_or_no_engine_stop_it_before_anything_runs(stage, tmp_path, monkeypatch):
    request, originals, _ = stage
    data = originals[0].provenance.data
    assert "the workload code differs" in repeated(request, provenance(originals, code={"workloads_sha256": "x"})).why
    assert (
        "the data differ"
        in repeated(request, provenance(originals, data=data.model_copy(update={"fingerprint": "x"}))).why
    )
    assert "the environment differs" in repeated(request, provenance(originals, environment={"lock_sha256": "x"})).why

    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    in_docker = repeated(dataclasses.replace(request, pythons={}), provenance(originals, engine="docker")).why
    assert in_docker.startswith("no Docker daemon answers"), in_docker
    assert len(list((tmp_path / "results").iterdir())) == 1
