"""Dockerfile labels and folder listings become frameworks; a spec and a catalog become jobs."""

import ast
import re
import shutil

import pytest

from orchestrator.errors import CatalogError, UsageError
from orchestrator.plan import catalog, spec_file
from orchestrator.plan import jobs as plan
from tests.support.engine_cases import ECHO
from tests.support.machines import machine


@pytest.fixture
def project(tmp_path):
    """A checkout with one image and one framework, to be spoilt."""
    root = tmp_path / "project"
    (root / "images" / "tiny").mkdir(parents=True)
    (root / "workloads" / "tiny").mkdir(parents=True)
    for name in ("cnn.py", "rnn.py", "runtime.py"):
        (root / "workloads" / "tiny" / name).touch()
    (root / "images" / "tiny" / "requirements-cpu.txt").touch()
    (root / "images" / "tiny" / "Dockerfile").write_text(
        "ARG BASE_IMAGE=python:3.11@sha256:00\nFROM ${BASE_IMAGE}\n"
        'LABEL rosetta.frameworks="tiny tiny-fast" rosetta.python="3.11" \\\n'
        '      rosetta.framework.tiny.title="Tiny" rosetta.framework.tiny.version="1.0" \\\n'
        '      rosetta.framework.tiny-fast.title="Tiny (fast)" rosetta.framework.tiny-fast.version="1.0" \\\n'
        '      rosetta.framework.tiny-fast.module="tiny" rosetta.framework.tiny-fast.workloads="rnn" \\\n'
        '      rosetta.framework.tiny-fast.env.TINY_FAST="1"\n'
    )
    return root


def test_labels_become_frameworks(project):
    known = catalog.load(project)
    (image,) = known.images
    assert (image.name, image.base, image.python, list(image.locks)) == (
        "tiny",
        "python:3.11@sha256:00",
        "3.11",
        ["cpu"],
    )
    tiny, fast = image.frameworks
    assert (tiny.id, tiny.title, tiny.workloads, tiny.env) == ("tiny", "Tiny", ("cnn", "rnn"), {})
    assert (fast.module, fast.workloads, fast.env) == ("tiny", ("rnn",), {"TINY_FAST": "1"})


def test_an_image_without_python_says_how_its_workloads_start(project):
    folder = project / "images" / "tiny"
    (folder / "Project.toml").touch()
    text = 'rosetta.command="julia -O3 workloads/{module}/{workload}.jl" rosetta.lock.cuda="Project.toml"'
    text += ' rosetta.cuda="11.6" rosetta.cuda.capability="7.0"'
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace('rosetta.python="3.11"', text))
    (image,) = catalog.load(project).images
    assert (image.python, {variant: path.name for variant, path in image.locks.items()}) == (
        None,
        {"cpu": "requirements-cpu.txt", "cuda": "Project.toml"},
    )
    (job, _) = jobs("name: t\nworkloads: [rnn]", project)
    assert job.argv == ("julia", "-O3", "workloads/tiny/rnn.jl")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('rosetta.python="3.11"', "", "LABEL rosetta.python is missing"),
        ('rosetta.framework.tiny.title="Tiny"', "", "LABEL rosetta.framework.tiny.title is missing"),
        ("ARG BASE_IMAGE=python:3.11@sha256:00\n", "", "has no ARG BASE_IMAGE"),
        ('workloads="rnn"', 'workloads="rnn resnet50"', "workloads/tiny/ has no resnet50"),
        ('module="tiny"', 'module="../../etc"', "no valid name"),
        ('frameworks="tiny ', 'frameworks="../tiny ', "no valid name"),
        ("env.TINY_FAST", "env.tiny-fast", "no environment variable"),
        ('rosetta.python="3.11"', 'rosetta.command="make"', "starts no workload"),
        ('rosetta.python="3.11"', 'rosetta.command="\'{workload}"', "starts no workload"),
        ('rosetta.python="3.11"', 'rosetta.python="3.11" rosetta.lock.cpu="../x"', "no file '../x' beside it"),
        ('frameworks="tiny tiny-fast"', 'frameworks=""', "LABEL rosetta.frameworks is missing"),
    ],
)
def test_a_malformed_dockerfile_is_named(project, old, new, complaint):
    dockerfile = project / "images" / "tiny" / "Dockerfile"
    text = dockerfile.read_text()
    assert old in text
    dockerfile.write_text(text.replace(old, new))
    with pytest.raises(CatalogError, match=re.escape(complaint)):
        catalog.load(project)


@pytest.fixture
def with_cuda(project):
    """The same with a cuda variant and these labels about it."""

    def give(labels):
        folder = project / "images" / "tiny"
        (folder / "requirements-cuda.txt").touch()
        dockerfile = folder / "Dockerfile"
        dockerfile.write_text(
            dockerfile.read_text().replace('rosetta.python="3.11"', f'rosetta.python="3.11" {labels}')
        )
        return catalog.load(project)

    return give


def test_labels_say_what_a_cuda_variant_was_built_for(with_cuda):
    (image,) = with_cuda('rosetta.cuda="11.2" rosetta.cuda.capability="8.6 6.0 10.0" rosetta.cuda.ptx="8.6"').images
    assert image.cuda == catalog.Cuda(version=(11, 2), capabilities=((6, 0), (8, 6), (10, 0)), ptx=(8, 6))


def test_no_ptx_and_no_cuda_variant_are_reported(project, with_cuda):
    assert catalog.load(project).images[0].cuda is None
    assert with_cuda('rosetta.cuda="11.2" rosetta.cuda.capability="8.6"').images[0].cuda.ptx is None


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ("", "LABEL rosetta.cuda is missing"),
        ('rosetta.cuda="11.2"', "LABEL rosetta.cuda.capability is missing"),
        ('rosetta.cuda="11" rosetta.cuda.capability="8.0"', "LABEL rosetta.cuda: '11' is not of the form"),
        ('rosetta.cuda="14.7" rosetta.cuda.capability="8.0"', "nothing is known of CUDA 14.7"),
        ('rosetta.cuda="11.2" rosetta.cuda.capability="7.5-8.6"', "LABEL rosetta.cuda.capability: '7.5-8.6' is not"),
        ('rosetta.cuda="11.2" rosetta.cuda.capability="9.0a"', "'9.0a' is not of the form"),
        (
            'rosetta.cuda="11.2" rosetta.cuda.capability="8.0" rosetta.cuda.ptx="8.0 8.6"',
            "LABEL rosetta.cuda.ptx: '8.0 8.6'",
        ),
        ('rosetta.cuda="11.2" rosetta.cuda.capability="8.0" rosetta.cuda.ptx=""', "LABEL rosetta.cuda.ptx: '' is not"),
    ],
)
def test_a_label_about_cuda_that_says_nothing_is_named(with_cuda, labels, complaint):
    with pytest.raises(CatalogError, match=re.escape(complaint)) as caught:
        with_cuda(labels)
    assert "tiny/Dockerfile" in caught.value.message
    assert caught.value.hint


def test_a_framework_has_one_image_only(project):
    shutil.copytree(project / "images" / "tiny", project / "images" / "twin")
    with pytest.raises(CatalogError, match="'tiny' is served by images 'tiny' and 'twin'"):
        catalog.load(project)


def test_nothing_found_is_an_error(tmp_path):
    with pytest.raises(CatalogError, match=r"no images/\*/Dockerfile"):
        catalog.load(tmp_path)


def test_selecting_images(project):
    known = catalog.load(project)
    assert [image.name for image in known.select([])] == ["tiny"]
    with pytest.raises(UsageError, match="did you mean 'tiny'"):
        known.select(["tny"])


def test_this_checkout_is_well_formed(root):
    known = catalog.load(root)
    study = {
        "caffe2", "chainer", "cntk", "gluon", "keras-cntk", "keras-tf", "keras-theano", "knet", "lasagne", "mxnet",
        "mxnet-mkl", "pytorch", "tensorflow",
    }  # fmt: skip
    assert study | {"numpy"} <= set(known.frameworks)
    for image in known.images:
        assert re.search(r"@sha256:[0-9a-f]{64}$", image.base), f"{image.name}: base image is not pinned by digest"
        for variant, lock in image.locks.items():
            if image.python is not None:
                assert "--hash=sha256:" in lock.read_text(), f"{image.name}: {variant} lock has no hashes"
                for size in ("disk", "download"):
                    assert image.labels[f"rosetta.{size}.{variant}"], f"{image.name}: no {size} of {variant}"


def test_versions_in_labels_are_those_in_the_locks(root):
    for image in catalog.load(root).images:
        pins = (
            dict(
                re.findall(r"^([A-Za-z0-9._-]+)(?:==| = \"=)([^\s;+\"]+)", image.locks["cpu"].read_text(), re.MULTILINE)
            )
            if "cpu" in image.locks
            else {}
        )
        for framework in image.frameworks:
            assert not pins or framework.version in pins.values(), f"{framework.id}: {framework.version} is in no lock"


def test_libtorch_is_the_library_of_the_pytorch_row(root):
    """Both take it from the same wheel: a difference between the two rows is not one of versions."""
    libtorch, pytorch = (
        (root / "images" / name / "requirements-cpu.txt").read_text() for name in ("libtorch", "pytorch")
    )
    (wheel,) = re.findall(r"^torch==.*\\\n.*$", libtorch, re.MULTILINE)
    assert wheel in pytorch


def test_the_host_side_names_no_framework(root):
    names = {framework for framework in catalog.load(root).frameworks if framework != "numpy"}  # the host uses NumPy
    names |= {"torch", "keras", "theano"}
    for path in (root / "orchestrator").rglob("*.py"):
        found = _words_of_code(path.read_text()) & names
        assert not found, f"{path.name} names {found}"


def _words_of_code(source):
    """All names and texts of a module but its docstrings, whose examples may name a framework."""
    tree = ast.parse(source)
    words = set()
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        for _, value in ast.iter_fields(node):
            if isinstance(value, str) and id(node) not in docstrings and not value.startswith("https://"):
                words.update(re.findall(r"[a-z0-9-]+", value.lower()))
    return words


def jobs(text, root=ECHO, device="cpu"):
    return plan.plan(spec_file.parse(text, name="t"), catalog.load(root), device, machine("H100").gpus)


@pytest.mark.parametrize(("gpu", "given"), [("1", [1]), ("GPU-1", [1])])
def test_jobs_get_the_gpu_the_spec_names(gpu, given):
    gpus = machine("T4", "H100").gpus
    run_spec = spec_file.parse(f"name: t\ngpu: {gpu}", name="t")
    assert {job.gpus for job in plan.plan(run_spec, catalog.load(ECHO), "gpu", gpus)} == {
        tuple(gpus[index].uuid for index in given)
    }
    assert {job.gpus for job in plan.plan(run_spec, catalog.load(ECHO), "cpu", gpus)} == {()}


def ranked(text, *, device="cpu", gpus=("T4", "H100"), root=None):
    given = machine(*gpus).gpus
    return plan.plan(
        spec_file.parse(f"name: t\n{text}", name="t"), catalog.load(root or ECHO.parents[1]), device, given
    )


@pytest.mark.parametrize(
    ("gpu", "ranks", "given"), [("0", 2, [0, 1]), ("all", 2, [0, 1]), ("1", 2, [1, 2]), ("all", 3, [0, 1, 2])]
)
def test_each_rank_gets_a_gpu(gpu, ranks, given):
    gpus = ("T4",) * (3 if gpu == "1" else ranks)
    text = f"gpu: {gpu}\nranks: {ranks}\nframeworks: [pytorch]\ncnn: {{batch: 96}}\nworkloads: [cnn]"
    (job,) = ranked(text, device="gpu", gpus=gpus)
    assert (job.ranks, job.gpus) == (ranks, tuple(f"GPU-{index}" for index in given))


@pytest.mark.parametrize(
    ("text", "device", "message", "hint"),
    [
        ("gpu: all", "gpu", "are 2 GPUs here, and a job with 1 rank uses 1", "--gpu 0, or --set ranks=2"),
        ("gpu: all\nranks: 4", "gpu", "are 2 GPUs here, and a job with 4 ranks uses 4", "--set ranks=2"),
        ("gpu: 1\nranks: 2", "gpu", "2 ranks need 2 GPUs, and from GPU '1' on there are 1", "--gpu 0 use all"),
        ("ranks: 3", "cpu", "a batch of 64 has no 3 equal parts", "--set cnn.batch=63"),
        ("ranks: 64\ncnn: {batch: 2}", "cpu", "a batch of 2 has no 64 equal parts", "--set cnn.batch=64"),
        ("ranks: 2\nworkloads: [resnet50]", "cpu", "none of the frameworks trains resnet50 with several ranks", "jax: cnn, rnn, gpt; pytorch: cnn"),
        ("ranks: 2\nframeworks: [numpy]", "cpu", "none of numpy trains cnn, rnn, resnet50, gpt with several", "these can: jax"),
    ],
)  # fmt: skip
def test_ranks_that_cannot_be(text, device, message, hint):
    with pytest.raises(UsageError) as caught:
        ranked(text, device=device)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_only_rows_that_can_are_trained_by_several_ranks():
    jobs = ranked("ranks: 2")
    assert {job.framework for job in jobs} == {"pytorch", "jax"}
    assert {job.workload for job in jobs} == {"cnn", "rnn", "gpt"}
    assert {job.ranks for job in jobs} == {job.for_workload()["ranks"] for job in jobs} == {2}


def test_a_row_that_is_parallel_in_a_workload_it_lacks_is_refused(project):
    dockerfile = project / "images" / "tiny" / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + 'LABEL rosetta.framework.tiny.parallel="gpt"\n')
    with pytest.raises(CatalogError, match="workloads/tiny/ has no gpt for 'tiny'"):
        catalog.load(project)


def test_a_gpu_that_is_not_there_is_reported_with_those_that_are():
    with pytest.raises(UsageError, match="there is no GPU '2' here") as caught:
        plan.plan(spec_file.parse("name: t\ngpu: 2", name="t"), catalog.load(ECHO), "gpu", machine("T4", "H100").gpus)
    assert "0: Tesla T4, GPU-0; 1: NVIDIA H100 80GB HBM3, GPU-1" in caught.value.hint


def test_jobs_run_round_by_round(project):
    planned = jobs("name: t\nrepeats: 2\nworkloads: [rnn, cnn]", project)
    assert [job.id for job in planned[:3]] == ["tiny-rnn-cpu-1", "tiny-fast-rnn-cpu-1", "tiny-cnn-cpu-1"]
    assert {job.id for job in planned[3:5]} == {"tiny-rnn-cpu-2", "tiny-fast-rnn-cpu-2"}
    assert planned[5].id == "tiny-cnn-cpu-2"
    assert planned[1].env == {"TINY_FAST": "1"}
    assert planned[1].argv == ("python", "-m", "workloads.tiny.rnn")


def test_later_rounds_have_an_order_of_their_own_drawn_from_the_seed(project):
    def orders(seed):
        planned = jobs(f"name: t\nrepeats: 21\nworkloads: [rnn]\nseed: {seed}", project)
        return [tuple(job.framework for job in planned[at : at + 2]) for at in range(2, len(planned), 2)]

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)
    assert set(orders(1)) == {("tiny", "tiny-fast"), ("tiny-fast", "tiny")}


def test_with_an_open_number_of_repeats_the_first_round_is_planned(project):
    planned = jobs("name: t\nrepeats: auto\nworkloads: [rnn]", project)
    assert [job.id for job in planned] == ["tiny-rnn-cpu-1", "tiny-fast-rnn-cpu-1"]
    assert sorted(job.id for job in plan.round_of(planned, 7)) == ["tiny-fast-rnn-cpu-7", "tiny-rnn-cpu-7"]


def test_the_number_of_inference_batches_depends_on_the_device():
    text = "name: t\nframeworks: [good]\nworkloads: [resnet50]"
    assert jobs(text)[0].settings["batches"] == 8
    assert jobs(text, device="gpu")[0].settings["batches"] == 40
    assert jobs(text + "\nresnet50: {batches: 3}")[0].settings["batches"] == 3


def test_a_job_of_before_passes_were_repeated_took_one():
    (job,) = jobs("name: t\nframeworks: [good]\nworkloads: [resnet50]")
    stored = job.model_dump()
    assert stored["settings"].pop("seconds") == 5.0
    assert plan.Job.model_validate(stored).settings == {**job.settings, "seconds": 0.0}


def test_nothing_to_run_is_an_error():
    with pytest.raises(UsageError, match="nothing to run: good has no cnn"):
        jobs("name: t\nframeworks: [good]\nworkloads: [cnn]")


def test_ten_thousand_jobs_have_names_of_their_own():
    planned = jobs("name: t\nframeworks: [good]\nworkloads: [resnet50]\nrepeats: 10000")
    assert len({job.id for job in planned}) == 10_000
