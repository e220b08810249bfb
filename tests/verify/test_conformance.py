"""What `rosetta check` asks: each question answered for a framework that is as it should be, and for one that is
not."""

import dataclasses
from pathlib import Path, PurePath

import pytest

from orchestrator.plan import catalog
from orchestrator.record.certificates import Envelope, Parity
from orchestrator.record.events import Cold, Epoch, Inference, Ready
from orchestrator.record.figures import EpochFigure, Figures
from orchestrator.record.results import Failure
from orchestrator.verify import conformance
from tests.support.results import result, trained

PINNED = "numpy==2.4.6 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via -r requirements-cpu.in\n"


@pytest.fixture(scope="module")
def numpy(root):
    return catalog.load(root).frameworks["numpy"]


def test_workloads(numpy):
    framework, _ = numpy
    assert conformance.workloads(framework).answer == "cnn rnn resnet50 gpt"
    less = conformance.workloads(dataclasses.replace(framework, workloads=("cnn", "resnet50")))
    assert (less.ok, less.answer) == (True, "cnn resnet50, no rnn and no gpt")
    none = conformance.workloads(dataclasses.replace(framework, workloads=()))
    assert (none.ok, none.advice) == (False, "add workloads/numpy/cnn.py")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (PINNED, "1 package, each with its hash"),
        (PINNED + "six==1.17.0\n", "does not pin six==1.17.0"),
        (PINNED + "six>=1.17.0 --hash=sha256:cc\n", "does not pin six>=1.17.0"),
        ("# nothing is asked for\n", "does not pin nothing"),
    ],
)
def test_lock(numpy, text, answer):
    _, image = numpy
    finding = conformance.lock(image, "cpu", text)
    assert finding.answer == answer
    assert finding.ok == (text == PINNED)
    assert finding.advice == ("" if finding.ok else "run ci/lock.sh numpy")


def test_every_lock_here_is_one(root):
    images = catalog.load(root).images
    locks = [(image, *lock) for image in images for lock in image.locks.items() if lock[1].suffix == ".txt"]
    assert len(locks) >= len(images)
    for image, variant, path in locks:
        assert conformance.lock(image, variant, Path(path).read_text(encoding="utf-8")).ok, path


def test_syntax():
    assert conformance.syntax(PurePath("cnn.py"), "x = f'{1}'\n").ok
    newer = conformance.syntax(PurePath("cnn.py"), "x = 1\nif (y := x):\n    pass\n")
    assert not newer.ok
    assert newer.answer.startswith("line 2 is newer than Python 3.6")


def test_runs():
    assert conformance.runs(trained()).ok
    log = ("Traceback", "ValueError: no")
    failed = conformance.runs(result(failure=Failure(kind="exception", message="it broke\x1b[31m", log=log)))
    assert (failed.ok, failed.advice) == (False, "ValueError: no")
    assert "\x1b" not in failed.answer


def test_a_hint_is_shown_where_the_message_has_the_last_line_already():
    line = "ImportError: libgomp.so.1: cannot open shared object file"
    message = f"the job ended with exit code 1: {line}"
    failed = result(failure=Failure(kind="exception", message=message, hint="install it", log=("Traceback", line)))
    assert conformance.runs(failed).advice == "install it"


def test_a_cell_that_passed_says_when_and_how_to_run_it():
    finding = conformance.unchanged("cnn", "2026-11-30")
    assert (finding.ok, finding.question) == (True, "cnn")
    assert finding.answer == "passed on 2026-11-30, unchanged (--again runs it)"


def test_versions(numpy):
    framework, image = numpy
    one = trained()
    start = one.start.model_copy(update={"version": f"{framework.version}+cpu", "versions": {"python": "3.11.9"}})
    assert conformance.versions(one.model_copy(update={"start": start}), framework, image).ok
    other = start.model_copy(update={"version": "9.9"})
    finding = conformance.versions(one.model_copy(update={"start": other}), framework, image)
    assert finding.answer == f"the framework is 9.9, but its label is {framework.version}"
    older = start.model_copy(update={"versions": {"python": "3.9.1"}})
    finding = conformance.versions(one.model_copy(update={"start": older}), framework, image)
    assert finding.answer == "Python is 3.9, but its label is 3.11"
    assert not conformance.versions(one.model_copy(update={"start": None}), framework, image).ok


def ready(at):
    return Ready(event="ready", seq=1, t=at, load_s=0, build_s=0, compile_s=0)


def epoch(at, seconds):
    return Epoch(event="epoch", seq=2, t=at, epoch=1, samples=256, seconds=seconds, loss=1.0)


def test_a_clock_that_stops_before_the_device_does_is_noticed():
    sound = conformance.clock(trained(), [ready(1.0), epoch(3.02, 2.0)])
    assert (sound.ok, sound.answer) == (True, "reported 2.00 s of 2.02 s that passed")
    early = conformance.clock(trained(), [ready(1.0), epoch(3.0, 0.1)])
    assert not early.ok
    assert early.answer.startswith("reported 0.10 s, but 2.00 s passed")
    assert "`sync`" in early.advice


def test_the_clock_of_an_inference_runs_from_the_cold_pass_on():
    def inference(kind, number, at, seconds):
        fields = {"samples": 8, "seconds": seconds, "batch_seconds": [seconds]}
        return kind(event=kind.__name__.lower(), seq=number, t=at, **fields)

    cold = inference(Cold, 2, 30.0, 0.1)  # a device may compile meanwhile
    assert conformance.clock(trained(), [ready(1.0), cold, inference(Inference, 3, 31.0, 1.0)]).ok
    assert not conformance.clock(trained(), [ready(1.0), cold, inference(Inference, 3, 31.0, 0.5)]).ok
    assert conformance.clock(trained(), [ready(1.0)]).answer == "no time was reported"


def test_repeats():
    allowed = Envelope(losses=(1e-5, 1e-5), probe=1e-5)
    first = Figures(losses=(2.0, 1.0))

    def again(*losses):
        return Figures(epochs=tuple(EpochFigure(samples=8, seconds=1.0, loss=loss) for loss in losses))

    assert conformance.repeats("cnn", first, again(1.000001, 0.5), allowed).ok
    for other in (again(1.1, 1.0), again()):
        assert not conformance.repeats("cnn", first, other, allowed).ok
    assert not conformance.repeats("cnn", Figures(losses=(1.0,)), again(1.0), allowed).ok  # a step was not reported
    assert not conformance.repeats("cnn", Figures(), again(1.0), allowed).ok


def test_fails():
    refused = result(failure=Failure(kind="unsupported", message="m"))
    assert conformance.fails(refused, "unsupported", "refuses", "do").ok
    ran = conformance.fails(trained(), "unsupported", "refuses", "raise NotImplementedError")
    assert (ran.ok, ran.answer) == (False, "ends as 'ok', not as 'unsupported'")
    assert ran.advice == "raise NotImplementedError"


def test_agrees():
    assert conformance.agrees("cnn", Parity(word="certified", why=""), []).ok
    assert conformance.agrees("cnn", Parity(word="declared", why="w", culprits=("no-bias",)), ["x"]).ok
    wrong = conformance.agrees("cnn", Parity(word="diverges", why="off", first_step=2), ["it adds no bias"])
    assert (wrong.ok, wrong.answer) == (False, "diverges: off")
    assert "it adds no bias" in wrong.advice
    unknown = conformance.agrees("cnn", Parity(word="diverges", why="off", first_step=1), [])
    assert unknown.advice == "the first loss is wrong already: look at the data, the model or the loss"
