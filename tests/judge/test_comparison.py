"""A comparison compares like with like, says what differs, and does not decide what the repeats cannot tell."""

import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from orchestrator.cli import selection
from orchestrator.errors import StoreError, UsageError
from orchestrator.host.neighbours import Neighbour
from orchestrator.judge import comparison, stats
from orchestrator.judge.conditions import sound
from orchestrator.plan.spec import Spec
from orchestrator.record import run_folder
from orchestrator.record.figures import EpochFigure
from orchestrator.record.results import Failure, split_damaged
from orchestrator.report import comparison_text
from orchestrator.text import MAX_NOTE
from tests.support.facts import with_facts
from tests.support.results import result, trained

FIVE = (100.0, 101.0, 99.0, 100.5, 99.5)


def repeats(framework="numpy", times=FIVE, factor=1.0, **kwargs):
    return [trained(framework, factor * seconds, repeat=n, **kwargs) for n, seconds in enumerate(times, start=1)]


def only_cell(a, b):
    (cell,) = comparison.compare(a, b, stats.MARGIN).cells
    return cell


def changed(results, **parts):
    """The results with facts of their provenance replaced."""
    return [with_facts(each, **parts) for each in results]


@pytest.mark.parametrize(("factor", "word"), [(1.1, "slower"), (0.9, "faster"), (1.0, "same"), (1.01, "same")])
def test_a_cell_is_slower_faster_or_the_same(factor, word):
    cell = only_cell(repeats(), repeats(factor=factor))
    assert (cell.word, cell.why) == (word, "")
    assert cell.ratio.estimate == pytest.approx(factor, rel=0.01)


def test_single_measurements_decide_nothing():
    cell = only_cell([trained(seconds=100.0)], [trained(seconds=300.0)])
    assert cell.word == "undecided"
    assert cell.why == "1 and 1 measurements are too few: measure both with --repeats 5 or more"
    assert cell.ratio.estimate == pytest.approx(3.0)


def disturbed(results):
    return [each.model_copy(update={"neighbours": (Neighbour(name="stress", cpus=1.0),)}) for each in results]


def test_disturbed_measurements_do_not_count_where_there_are_others():
    a = repeats()
    b = [*repeats(), *disturbed(repeats(factor=3.0))]
    found = comparison.compare(a, b, stats.MARGIN)
    assert (found.cells[0].word, found.cells[0].b.times) == ("same", FIVE)
    assert found.warnings == ("B cnn: 5 of 10 measurements were disturbed and do not count: stress used 1.0 CPUs",)


def test_nothing_is_called_slower_that_was_only_measured_disturbed():
    cell = only_cell(repeats(), disturbed(repeats(factor=3.0)))
    assert (cell.word, cell.slower_than(0.05), cell.lost) == ("undecided", None, False)
    assert cell.why == "every measurement of B was disturbed: measure again on a quiet machine"
    few, many = (comparison.compare(repeats(), disturbed(repeats()[:n]), stats.MARGIN).warnings for n in (1, 5))
    assert few == ("B cnn: the only measurement was disturbed: stress used 1.0 CPUs",)
    assert many == ("B cnn: all 5 measurements were disturbed: stress used 1.0 CPUs",)
    assert cell.ratio.estimate == pytest.approx(3.0)


def test_inference_is_slower_when_it_does_fewer_images():
    many, few = (
        [result(workload="resnet50", images_per_s=r + n, repeat=n) for n in range(1, 6)] for r in (100.0, 50.0)
    )
    assert only_cell(many, few).word == "slower"


@pytest.mark.parametrize(
    ("b", "why"),
    [
        (repeats(source="synthetic"), "different dataset (cifar10 / cifar10 (synthetic))"),
        (repeats(device="gpu"), "different device (CPU / GPU)"),
        (repeats(engine="process"), "different engine (docker engine / process engine)"),
        ([*repeats()[:4], repeats(cpu="CPU Y")[4]], "host varies within B"),
        ([*repeats()[:4], with_facts(repeats()[4], environment={"lock_sha256": "l"})], "lock varies within B"),
        ([result("numpy", failure=Failure(kind="timeout", message="stopped\x1b[31m"))], "B has no time for it: timeout: stopped�[31m"),
    ],
)  # fmt: skip
def test_unlike_is_not_compared(b, why):
    cell = only_cell(repeats(), b)
    assert (cell.word, cell.why, cell.ratio) == ("not comparable", why, None)


def test_other_software_and_limits_are_listed_and_compared():
    """To compare versions is what `compare` is for; only within a side they must be equal."""
    start = repeats()[0].start.model_copy(update={"version": "3.0", "versions": {"python": "3.12"}})
    b = [each.model_copy(update={"start": start}) for each in repeats(factor=1.1)]
    b = changed(b, host={"cpu": "CPU X", "cpus_used": [0, 1], "cpu_quota": 0.5, "memory_limit": 1 << 30})
    b = changed(b, environment={"lock_sha256": "l"}, code={"workloads_sha256": "w"})
    found = comparison.compare(repeats(), b, stats.MARGIN)
    assert found.cells[0].word == "slower"
    assert {(each.what, each.a, each.b) for each in found.differences} == {
        ("CPU quota", "–", "0.5"),
        ("memory limit", "–", "1073741824"),
        ("framework version", "2.0", "3.0"),
        ("version of python", "3.11", "3.12"),
        ("lock sha256", "–", "l"),
        ("workload code sha256", "–", "w"),
    }


def test_jobs_with_other_numbers_of_gpus_are_not_compared():
    def on(*gpus):
        return [
            each.model_copy(update={"job": each.job.model_copy(update={"gpus": gpus})})
            for each in repeats(device="gpu")
        ]

    found = comparison.compare(on("GPU-1"), on("GPU-1", "GPU-2"), stats.MARGIN)
    assert found.cells[0].why == "different number of GPUs (1 / 2)"
    assert ("number of GPUs", "1", "2") in [(each.what, each.a, each.b) for each in found.differences]


def test_another_machine_is_compared_and_reported():
    found = comparison.compare(repeats(), repeats(cpu="CPU Y", factor=0.5), stats.MARGIN)
    assert found.cells[0].word == "faster"
    assert found.warnings[0].startswith("measured on different machines: the ratio includes")
    assert ("CPU", "CPU X", "CPU Y") in [(each.what, each.a, each.b) for each in found.differences]
    both = comparison.compare([*repeats(), *repeats("gluon")], [*repeats(cpu="CPU Y"), *repeats("gluon")], stats.MARGIN)
    assert both.warnings[0].startswith("measured on different machines (numpy cnn):")


@pytest.mark.parametrize(
    ("job", "why"),
    [
        ({"precision": "tf32"}, "different precision (fp32 / tf32)"),
        ({"seed": 2}, "different seed (seed 1 / seed 2)"),
        ({"settings": {**trained().job.settings, "batch": 32}}, "different amount of work"),
        ({"settings": {**trained().job.settings, "lr": 0.1}}, "different settings (lr 0.01, momentum 0.9 / lr 0.1, momentum 0.9)"),
    ],
)  # fmt: skip
def test_another_job_is_not_compared(job, why):
    b = [each.model_copy(update={"job": each.job.model_copy(update=job)}) for each in repeats()]
    assert only_cell(repeats(), b).why.startswith(why)


def test_the_same_name_with_other_content_is_not_compared():
    data = repeats()[0].provenance.data
    for part in ({"fingerprint": "g"}, {"inputs": {"weights.npz": "other"}}):
        cell = only_cell(repeats(), changed(repeats(), data=data.model_copy(update=part)))
        assert cell.why == "data, weights or batch order have the same name but different content"


def test_two_frameworks_are_paired_by_workload_and_two_runs_by_both():
    cell = only_cell(repeats("numpy"), repeats("pytorch", factor=0.5))
    assert (cell.name, cell.word, cell.a.framework, cell.b.framework) == ("cnn", "faster", "numpy", "pytorch")
    found = comparison.compare([*repeats("numpy"), *repeats("gluon")], repeats("numpy"), stats.MARGIN)
    assert [(cell.name, cell.word) for cell in found.cells] == [("numpy cnn", "same"), ("gluon cnn", "not comparable")]
    assert found.cells[1].why == "B has no such cell"


def test_what_differs_is_listed_with_where():
    a = changed([*repeats("numpy"), *repeats("gluon")], environment={"id": "sha256:1", "lock_sha256": "l"})
    b = [
        *changed(repeats("numpy"), environment={"id": "sha256:2", "lock_sha256": "l"}, code={"git_dirty": True}),
        *changed(repeats("gluon"), environment={"id": "sha256:1", "lock_sha256": "l"}, code={"git_dirty": True}),
    ]
    found = comparison.compare(a, b, stats.MARGIN).differences
    assert [(each.what, each.a, each.b, each.cells) for each in found] == [
        ("image id", "sha256:1", "sha256:2", ("numpy cnn",)),
        ("uncommitted changes", "–", "yes", ("numpy cnn", "gluon cnn")),
    ]
    assert comparison.compare(a, a, stats.MARGIN).differences == ()


def test_what_is_odd_is_reported():
    slowing = tuple(EpochFigure(samples=64, seconds=10.0 + n, loss=1.0) for n in range(10))
    odd = [trained("numpy", 100.0, epochs=slowing)]
    found = comparison.compare(repeats(times=(130.0, *FIVE[1:])), odd, stats.MARGIN)
    assert found.warnings[0].startswith("A cnn: the first repeat was 30 % slower than the rest")
    assert found.warnings[1].startswith("B cnn: repeat 1 never became steady: its epochs")


@pytest.mark.parametrize(
    ("factor", "limit", "beyond"), [(1.2, 0.05, True), (1.02, 0.05, False), (1.05, 0.05, None), (0.5, 0.05, False)]
)
def test_a_limit_is_passed_only_when_the_interval_says_so(factor, limit, beyond):
    assert only_cell(repeats(), repeats(factor=factor)).slower_than(limit) is beyond
    assert only_cell(repeats()[:1], repeats(factor=factor)[:1]).slower_than(limit) is None


def test_a_cell_that_is_gone_or_failed_is_lost():
    failed = [result("numpy", failure=Failure(kind="timeout", message="stopped"))]
    found = comparison.compare([*repeats(), *repeats("gluon")], failed, stats.MARGIN)
    assert [(cell.name, cell.lost) for cell in found.cells] == [("numpy cnn", True), ("gluon cnn", True)]
    assert not only_cell(failed, repeats()).lost  # there was nothing to lose
    file = io.StringIO()
    comparison_text.show(Console(file=file, width=120), found, "A", "B", 0.05)
    assert "lost: numpy cnn, gluon cnn" in file.getvalue()
    assert "cannot: gluon cnn: B has no such cell" in file.getvalue()


def test_json_has_stable_keys_and_the_screen_shows_every_cell():
    found = comparison.compare([*repeats(), *repeats("gluon")], [*repeats(factor=1.2), *repeats("mxnet")], stats.MARGIN)
    document = json.loads(json.dumps(comparison_text.as_json(found, "A", "B", stats.MARGIN, 0.05), allow_nan=False))
    assert set(document) == {"schema_version", "a", "b", "margin", "limit", "differences", "cells", "warnings"}
    cell = document["cells"][0]
    assert set(cell) == {"name", "workload", "word", "why", "ratio", "interval", "slower_than_limit", "a", "b"}
    assert (cell["word"], cell["slower_than_limit"], cell["a"]["n"]) == ("slower", True, 5)
    assert set(cell["a"]) == {"framework", "n", "median_s", "interval_s", "times_s", "accuracy", "test_loss"}
    file = io.StringIO()
    comparison_text.show(Console(file=file, width=120), found, "A", "B", 0.05)
    for word in ("numpy cnn", "gluon cnn", "mxnet cnn", "slower", "cannot", "more than 5 % slower"):
        assert word in file.getvalue()


def screen(a, b, width=80, **options):
    file = io.StringIO()
    found = comparison.compare(a, b, stats.MARGIN)
    comparison_text.show(Console(file=file, width=width), found, "A", "B", None, **options)
    return file.getvalue()


def test_the_screen_says_the_verdict_first_in_human_figures():
    shown = screen(repeats(), repeats(factor=1.2))
    assert shown.splitlines()[2] == "B is slower in 1 of 1 cell"
    (row,) = (line for line in shown.splitlines() if line.startswith("cnn"))
    assert re.search(r"slower +1\.20 times \(1\.1\d to 1\.2\d\) +100\.0 s, 76\.5 % +120\.0 s, 76\.5 %", row), row


def test_inference_is_shown_by_its_rate():
    fast, slow = ([result(workload="resnet50", images_per_s=rate)] for rate in (40.0, 20.0))
    (row,) = (line for line in screen(fast, slow).splitlines() if line.startswith("resnet50"))
    assert re.search(r"2\.00 times +40\.0 images/s +20\.0 images/s", row), row


def test_one_reason_is_said_once_with_the_cells_it_concerns():
    sides = [[trained(name, seconds) for name in ("numpy", "jax", "gluon")] for seconds in (100.0, 300.0)]
    shown = " ".join(screen(*sides).split())
    assert shown.count("measurements are too few") == 1
    assert "undecided: numpy cnn, jax cnn, gluon cnn: 1 and 1 measurements are too few" in shown


def test_facts_that_rarely_matter_are_folded():
    digest = "0123456789abcdef" * 4
    b = changed(
        repeats(),
        host={"cpu": "CPU X", "cpus_used": [0, 1], "kernel": "6.1", "driver": "550"},
        environment={"id": f"sha256:{digest}"},
        code={"git_commit": digest},
    )
    shown = screen(repeats(), b)
    assert "  image: – / 0123456\n" in shown
    assert "  NVIDIA driver: – / 550\n" in shown
    assert "and 2 more facts: --verbose or --json shows them" in shown
    assert "kernel" not in shown
    assert "  kernel: – / 6.1\n" in screen(repeats(), b, verbose=True)


def test_versions_that_differ_by_cell_are_one_line():
    """Three images, all of them other ones: one line, with one pair as an example."""
    sides = [
        [with_facts(trained(name), environment={"id": f"{side}{name}"}) for name in ("numpy", "jax", "gluon")]
        for side in "ab"
    ]
    assert "  image: anumpy / bnumpy and 2 more pairs\n" in screen(*sides)


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_the_screen_fits_and_breaks_no_figure(width):
    names = ("keras-tensorflow", "numpy")
    sides = [[each for name in names for each in repeats(name, factor=factor)] for factor in (1.0, 12.0)]
    shown = screen(*sides, width=width)
    assert max(map(cell_len, shown.splitlines())) <= width
    assert re.search(r"12\.0 times \(1\d\.\d to 1\d\.\d\)", shown)


TEXT = st.text(max_size=300)
KNOWN = {
    "environment": {"id": TEXT, "lock_sha256": TEXT, "digests": st.lists(st.text(max_size=5), max_size=3)},
    "code": {"git_commit": TEXT, "version": TEXT, "git_dirty": st.booleans()},
    "host": {"driver": TEXT, "kernel": TEXT, "gpus": st.lists(st.fixed_dictionaries({"name": TEXT}), max_size=3)},
}
UNKNOWN = st.dictionaries(
    st.text(max_size=8).map("x{}".format),
    st.none() | st.booleans() | st.integers() | TEXT | st.lists(TEXT, max_size=3) | st.dictionaries(TEXT, TEXT),
    max_size=2,
)


@settings(max_examples=100, deadline=None)
@given(
    st.fixed_dictionaries({part: st.fixed_dictionaries({}, optional=facts) for part, facts in KNOWN.items()}), UNKNOWN
)
def test_no_fact_from_a_file_breaks_the_screen(facts, unknown):
    host = {"cpu": "CPU X", "cpus_used": [0, 1], **facts["host"], **unknown}
    b = changed(
        repeats(), environment={**facts["environment"], **unknown}, code={**facts["code"], **unknown}, host=host
    )
    found = comparison.compare(repeats(), b, stats.MARGIN)
    file = io.StringIO()
    comparison_text.show(Console(file=file, width=120), found, "A", "B", None)
    assert "\x1b" not in file.getvalue()
    for each in found.differences:
        assert each.b.isprintable()
    rows = file.getvalue().splitlines()
    assert all(cell_len(line) <= 120 for line in rows)  # characters may be wider than one cell, or have no width
    assert len(rows) < 20 + 4 * len(found.differences) * (MAX_NOTE // 20)


def test_long_facts_are_compared_to_their_end():
    """64 CPUs of one socket, or of two; and two machines that differ in nothing but in being two."""
    one, two = (
        changed(repeats(), host={"cpu": "CPU X", "cpus_used": cpus, "id": machine})
        for cpus, machine in (([*range(64)], "a"), ([*range(32), *range(64, 96)], "b"))
    )
    found = {each.what for each in comparison.compare(one, two, stats.MARGIN).differences}
    assert found == {"CPUs used", "machine id"}


def test_runs_on_cpu_and_gpu_are_compared_device_by_device():
    both = [*repeats(), *repeats(times=[t / 10 for t in FIVE], device="gpu")]
    found = comparison.compare(both, both, stats.MARGIN)
    assert [(cell.name, cell.word) for cell in found.cells] == [("cnn cpu", "same"), ("cnn gpu", "same")]
    assert not found.warnings


def test_what_is_no_repeat_is_not_reported_to_be_noisy():
    mixed = [*repeats(), *repeats(times=[t / 10 for t in FIVE], engine="process")]
    found = comparison.compare(mixed, mixed, stats.MARGIN)
    assert [cell.why for cell in found.cells] == ["engine varies within A and B"]
    assert not found.warnings


@pytest.fixture
def runs(tmp_path):
    """Two runs: an older one of numpy and gluon, and the latest, of numpy and pytorch."""
    for name, frameworks in (("old", ("numpy", "gluon")), ("new", ("numpy", "pytorch"))):
        folder = run_folder.RunFolder(tmp_path / name)
        folder.path.mkdir()
        results = [each for framework in frameworks for each in repeats(framework)]
        jobs = tuple(each.job for each in results)
        folder.write_run(
            run_folder.Run(id=name, began=run_folder.now(), command=(), engine="docker", spec=Spec(name="t"), jobs=jobs)
        )
        for each in results:
            folder.write_result(each)
    (tmp_path / "old").rename(tmp_path / "1")
    (tmp_path / "new").rename(tmp_path / "2")
    return tmp_path


@pytest.mark.parametrize(
    ("word", "label", "frameworks"),
    [
        ("1", "1", {"numpy", "gluon"}),
        ("1:gluon", "1:gluon", {"gluon"}),
        ("pytorch", "2:pytorch", {"pytorch"}),
        ("{folder}/1", "1", {"numpy", "gluon"}),
        ("{folder}/1:gluon", "1:gluon", {"gluon"}),
        ("{folder}/1/gluon-cnn-cpu-2.json", "{folder}/1/gluon-cnn-cpu-2.json", {"gluon"}),
    ],
)
def test_a_word_stands_for_results(runs, word, label, frameworks):
    found = selection.select(runs, word.format(folder=runs))
    assert found.label == label.format(folder=runs)
    assert {each.job.framework for each in found.results} == frameworks


@pytest.mark.parametrize(
    "settings_", [{}, {"epochs": "many"}, {"epochs": 2, "batch": 64, "train_samples": [], "test_samples": "x"}]
)
def test_a_sealed_file_of_something_else_is_refused(tmp_path, settings_):
    folder = run_folder.RunFolder(tmp_path)
    forged = trained().model_copy(update={"job": trained().job.model_copy(update={"settings": settings_})})
    folder.write_result(forged)
    with pytest.raises(StoreError, match="not written by this program"):
        selection.select(tmp_path, str(tmp_path / f"{forged.job.id}.json"))


def test_a_report_leaves_out_what_cannot_be_shown_and_says_so():
    forged = trained().model_copy(update={"job": trained().job.model_copy(update={"settings": {}})})
    results, damaged = split_damaged(sound([forged, trained("numpy"), StoreError("damaged")], "some run"))
    assert results == [trained("numpy")]
    assert [each.message.split(":")[0] for each in damaged] == ["some run", "damaged"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("pytroch", "run 2 has no framework 'pytroch'; did you mean 'pytorch'?"),
        ("1:pytorch", "run 1 has no framework 'pytorch'"),
        ("3:numpy", "no run '3'"),
        (":", "no run ''"),
        ("", "has no framework ''"),
        ("x" * 300, "has no framework"),
        ("a\0b", "has no framework"),
        ("{folder}/bad.json", "bad.json: not written by this program, or cut off"),
        ("{folder}/1/run.json", "run.json: not written by this program, or edited"),
    ],
)
def test_a_word_that_stands_for_nothing_is_explained(runs, word, message):
    (runs / "bad.json").write_bytes(b"[" * 100_000)
    with pytest.raises((StoreError, UsageError)) as caught:
        selection.select(runs, word.format(folder=runs))
    assert message in caught.value.message
    assert caught.value.hint
