"""Streams and exits become figures or a failure that says what happened."""

import json
import tempfile
from pathlib import Path

import pytest

from orchestrator.engines.base import TICK, Exit, Output
from orchestrator.plan import catalog, jobs, spec_file
from orchestrator.record.artifacts import Artifacts
from orchestrator.record.recorder import Recorder
from orchestrator.run.conversation import Conversation, Watchman
from tests.support.results import START

EPOCH = {"event": "epoch", "epoch": 1, "samples": 128, "seconds": 2.0, "loss": 2.0}
READY = {"event": "ready", "load_s": 1.0, "build_s": 2.0, "compile_s": 3.0}
SCORE = {"event": "score", "samples": 100, "correct": 77, "seconds": 0.5}
END = {"event": "end"}
GOOD = Exit(code=0)


@pytest.fixture
def job(root):
    run_spec = spec_file.parse("name: t\nframeworks: [numpy]\nworkloads: [cnn]\ncnn: {epochs: 2}\ntrace: 2", name="t")
    (only,) = jobs.plan(run_spec, catalog.load(root), "cpu")
    return only


def converse(job, *events, exit_=GOOD, stopped=None, tail=b"", stderr=b"", train_samples=150, test_samples=100):
    lines = [json.dumps({"seq": number, "t": 1.0, **event}) for number, event in enumerate(events)]
    with (
        tempfile.NamedTemporaryFile() as recorded,
        tempfile.NamedTemporaryFile() as log,
        tempfile.TemporaryDirectory() as folder,
    ):
        conversation = Conversation(job, Recorder(recorded, log, Artifacts(Path(folder))), lambda event: None)
        conversation.take(Output("stderr", stderr))
        conversation.take(Output("stdout", "".join(line + "\n" for line in lines).encode() + tail))
        conversation.close()
    amounts = {"train_samples": train_samples, "test_samples": test_samples}
    return conversation, conversation.failure(exit_, stopped=stopped, **amounts)


def whole(*, steps=()):
    return (START, READY, *steps, EPOCH, {**EPOCH, "epoch": 2, "seconds": 1.0, "loss": 1.5}, SCORE, END)


def test_figures_of_a_training(job):
    steps = [
        {"event": "step", "epoch": 1, "step": n, "samples": 64, "seconds": 1.0, "loss": 3.0 - n} for n in (1, 2, 3)
    ]
    conversation, failure = converse(job, *whole(steps=steps))
    assert failure is None
    figures = conversation.collector.figures()
    assert (figures.load_s, figures.build_s, figures.compile_s) == (1.0, 2.0, 3.0)
    assert (figures.train_s, figures.train_samples_per_s, figures.steady_samples_per_s) == (3.0, 256 / 3, 128.0)
    assert (figures.accuracy, figures.test_samples) == (0.77, 100)
    assert figures.losses == (2.0, 1.0)  # of the first two steps, as trace says
    assert [epoch.loss for epoch in figures.epochs] == [2.0, 1.5]
    assert [epoch.accuracy for epoch in figures.epochs] == [None, 0.77]


def test_figures_of_a_learning_curve(job):
    stream = (START, READY, EPOCH, {**SCORE, "correct": 30}, {**EPOCH, "epoch": 2}, SCORE, END)
    conversation, failure = converse(job.model_copy(update={"learning_curve": True}), *stream)
    assert failure is None
    figures = conversation.collector.figures()
    assert ([epoch.accuracy for epoch in figures.epochs], figures.accuracy) == ([0.3, 0.77], 0.77)
    assert figures.score_s == 1.0  # of both


def test_a_learning_curve_with_a_gap(job):
    _, failure = converse(job.model_copy(update={"learning_curve": True}), *whole())
    assert "no 'score' event after epoch 1 of 2" in failure.message


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"stopped": "time"}, "timeout", "stopped at its time limit of 14400 s, after 'end'"),
        ({"stopped": "silence"}, "timeout", "stopped because it said nothing for 1800 s, after 'end'"),
        ({"exit_": Exit(code=None, signal=9, out_of_memory=True)}, "out_of_memory", "more memory than the machine has"),
        (
            {"exit_": Exit(code=None, signal=9, out_of_memory=True, memory_limit=3 << 29)},
            "out_of_memory",
            "more memory than its limit of 1.5 GiB",
        ),
        ({"exit_": Exit(code=None, signal=11)}, "exception", "the job crashed (SIGSEGV)"),
        ({"exit_": Exit(code=None, signal=6)}, "exception", "the job crashed (SIGABRT)"),
        ({"exit_": Exit(code=None, signal=15)}, "killed", "ended by SIGTERM"),
        ({"exit_": Exit(code=None, signal=200)}, "killed", "ended by signal 200"),
        ({"exit_": Exit(code=1)}, "exception", "exit code 1 and printed no reason"),
        ({"test_samples": 10_000}, "protocol", "100 of 10000 test samples scored"),
        ({"train_samples": 200}, "protocol", "epoch 1 trained on 128 samples; full batches of 200 are 192"),
        ({"tail": b"{"}, "protocol", "is no event"),
    ],
)
def test_an_exit_that_is_no_success(job, change, kind, message):
    _, failure = converse(job, *whole(), **change)
    assert (failure.kind, message in failure.message) == (kind, True), failure
    assert failure.hint


@pytest.mark.parametrize(
    ("cold", "timed", "seconds", "why"),
    [
        (64, 0, 5.0, "0 of 64 images in the inference"),
        (64, 96, 5.0, "96 of 64 images in the inference"),
        (32, 64, 5.0, "32 of 64 images in the cold"),
        (128, 64, 5.0, "128 of 64 images in the cold"),
        (64, 64, 4.9, "the timed passes took 4.9 s, the job asks for 5 s"),
        (64, 320_000 - 64, 4.9, "the timed passes took 4.9 s"),
    ],
)
def test_passes_over_other_images_or_too_short_are_none(inference, cold, timed, seconds, why):
    _, failure = inference(cold, timed, seconds)
    assert (failure.kind, why in failure.message) == ("protocol", True), failure


@pytest.mark.parametrize(("timed", "seconds"), [(64, 5.0), (640, 7.0), (320_000, 0.5)])
def test_timed_passes_are_repeated_until_they_took_long_enough(inference, timed, seconds):
    """Or until there are as many batches as one event can hold."""
    conversation, failure = inference(64, timed, seconds)
    assert failure is None
    assert conversation.collector.figures().images_per_s == timed / seconds


@pytest.fixture
def inference(root):
    """Runs a job of inference, 2 batches of 32, with these images in its passes and seconds in the timed one."""
    run_spec = spec_file.parse("name: t\nframeworks: [numpy]\nworkloads: [resnet50]\nresnet50: {batches: 2}", name="t")
    (job,) = jobs.plan(run_spec, catalog.load(root), "cpu")

    def run(cold, timed, seconds):
        passes = [
            {"event": name, "samples": samples, "seconds": seconds, "batch_seconds": [0.1, 0.1]}
            for name, samples in (("cold", cold), ("inference", timed))
        ]
        return converse(job, {**START, "workload": "resnet50"}, READY, *passes, END)

    return run


def test_more_output_than_is_kept_breaks_the_protocol(job):
    _, failure = converse(job, *whole(), stderr=b"x" * (65 << 20))
    assert (failure.kind, failure.message) == ("protocol", "it printed more than 64 MiB beside its events")


def test_a_step_reported_again_is_traced_once(job):
    step = {"event": "step", "epoch": 1, "step": 1, "samples": 64, "seconds": 1.0, "loss": 2.0}
    conversation, _ = converse(job, START, READY, *[step] * 100)
    assert conversation.collector.figures().losses == (2.0,)


def test_a_job_that_dies_before_its_first_word_is_reported_by_its_last_line(job):
    stderr = b"Traceback (most recent call last):\nImportError: libmpi.so.12: cannot open shared object file\n"
    _, failure = converse(job, exit_=Exit(code=1), stderr=stderr)
    assert failure.message == (
        "the job ended with exit code 1: ImportError: libmpi.so.12: cannot open shared object file"
    )
    assert "libmpi12" in failure.hint


@pytest.mark.parametrize(
    ("line", "package"),
    [
        ("ImportError: libgomp.so.1: cannot open shared object file: No such file or directory", "libgomp1"),
        ("Error: libGL.so.1: cannot open shared object file: No such file or directory", "libgl1"),
        ("./workload: error while loading shared libraries: libssh_x-2.0.so.0: cannot open shared object file", "libssh-x-2.0-0"),
        ("OSError: /usr/lib/libopenblas.so.0: cannot open shared object file: No such file", "libopenblas0"),
    ],
)  # fmt: skip
def test_a_missing_library_is_named_with_the_line_for_the_dockerfile(job, line, package):
    """The name of the package follows Debian's rule; it need not be the last line of the log."""
    _, failure = converse(job, exit_=Exit(code=1), stderr=f"{line}\n    at Module.load (node)\n".encode())
    assert f"in Debian's package {package}. Add to images/{job.image}/Dockerfile" in failure.hint
    assert failure.hint.count(f"apt-get install --yes --no-install-recommends {package}.") == 1


def test_a_library_of_the_driver_comes_from_no_package(job):
    stderr = b"ImportError: libcuda.so.1: cannot open shared object file: No such file or directory\n"
    _, failure = converse(job, exit_=Exit(code=1), stderr=stderr)
    assert "NVIDIA's driver" in failure.hint
    assert "apt-get" not in failure.hint


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ((START, READY), "stopped without 'end'"),
        ((START, END), "no 'ready' event"),
        ((START, EPOCH), "'epoch' after 'start'"),
        ((START, READY, READY), "'ready' after 'ready'"),
        ((START, READY, SCORE), "'score' after 'ready'"),
        ((START, READY, EPOCH, SCORE, SCORE), "'score' after 'score'"),
        ((START, READY, EPOCH, {**SCORE, "samples": 99}, {**EPOCH, "epoch": 2}, SCORE, END), "99 of 100 test samples"),
        ((START, READY, EPOCH, SCORE, {**EPOCH, "epoch": 2}, END), "no 'score' event after epoch 2 of 2"),
        ((START, READY, {**EPOCH, "seconds": 0.0}), "seconds"),
        ((START, READY, EPOCH, SCORE, END), "1 of 2 epochs reported"),
        ((START, READY, EPOCH, {**EPOCH, "epoch": 2}, END), "no 'score' event"),
        ((START, READY, EPOCH, {**EPOCH, "epoch": 2}, {**EPOCH, "epoch": 3}), "epoch 3 of 2"),
        ((START, READY, {**EPOCH, "samples": 100}), "no whole number of batches"),
        (({**START, "framework": "other"},), "framework is 'other', the job asked for 'numpy'"),
        (({**START, "precision": "fp16"},), "precision is 'fp16'"),
        (({**START, "protocol": 1},), "uses protocol 1"),
    ],
)
def test_a_stream_that_leaves_something_out_or_adds_something(job, events, message):
    _, failure = converse(job, *events)
    assert (failure.kind, message in failure.message) == ("protocol", True), failure


@pytest.mark.parametrize(
    ("kind", "expected"), [("out_of_memory", "out_of_memory"), ("input", "data"), ("diverged", "diverged")]
)
def test_what_the_workload_says_itself_goes_first(job, kind, expected):
    error = {"event": "error", "kind": kind, "type": "SomeError", "message": "it broke\nTraceback ..."}
    _, failure = converse(job, START, error, exit_=Exit(code=1))
    assert (failure.kind, failure.message) == (expected, "SomeError: it broke")


@pytest.mark.parametrize(
    ("device", "error", "expected"),
    [
        ("gpu", "OutOfMemoryError", "gpu_memory"),  # PyTorch's
        ("gpu", "_ArrayMemoryError", "out_of_memory"),
        ("cpu", "RuntimeError", "out_of_memory"),
    ],
)
def test_memory_of_a_gpu_is_distinguished_from_main_memory(job, device, error, expected):
    event = {"event": "error", "kind": "out_of_memory", "type": error, "message": "out of memory"}
    start = {**START, "device": device}
    _, failure = converse(job.model_copy(update={"device": device}), start, event, exit_=Exit(code=1))
    assert failure.kind == expected
    assert failure.hint


def test_a_failure_shows_the_end_of_the_log_made_printable(job):
    stderr = b"".join(b"line %d\n" % n for n in range(100)) + b"\x1b]0;evil\x07 \xff\n"
    _, failure = converse(job, START, stderr=stderr)
    assert len(failure.log) == 12
    assert failure.log[0] == "line 89"
    assert all(character.isprintable() for line in failure.log for character in line)


class TestLimits:
    """A clock that the test sets stands for the machine's; the engine yields something every quarter of a second."""

    def watch(self, job, *, silence=20.0, stopped=0.0, until=100.0):
        """When the watchman broke off a job that says nothing, and why. After 5 s we are stopped for so many seconds."""
        now = 0.0
        limits = Watchman(job.model_copy(update={"timeout": 30.0, "silence": silence}), lambda: now)
        while now < until:
            now += TICK + (stopped if now == 5.0 else 0.0)
            if limits.due() and (why := limits.reason(0)):
                return now, why
        return now, None

    def test_hold_while_we_run(self, job):
        assert self.watch(job) == (pytest.approx(20.0, abs=1.5), "silence")
        assert self.watch(job, silence=50.0) == (pytest.approx(30.0, abs=1.5), "time")

    def test_do_not_count_the_time_in_which_we_were_stopped(self, job):
        assert self.watch(job, stopped=1000.0, until=1019.0) == (pytest.approx(1019.0, abs=1.5), None)
        assert self.watch(job, stopped=1000.0, until=2000.0) == (pytest.approx(1020.0, abs=1.5), "silence")
        assert self.watch(job, silence=50.0, stopped=1000.0, until=2000.0) == (pytest.approx(1030.0, abs=1.5), "time")
