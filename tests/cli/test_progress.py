"""What is shown while a run, a build or a download goes on: at any width, and where there is no terminal."""

import io
import threading
import time

import pytest
from rich.console import Console

from orchestrator import activity
from orchestrator.activity import Activity
from orchestrator.cli import progress_lines
from orchestrator.cli.progress import LiveListener
from orchestrator.cli.running_job import Estimates, RunningJob
from orchestrator.record import events
from tests.support.results import START, failed, trained
from tests.support.results import result as a_result

CNN = trained("keras-tf").job.model_copy(update={"title": "Keras (TensorFlow)"})
CNN = CNN.model_copy(update={"settings": {**CNN.settings, "epochs": 10}})
RESNET = a_result("numpy", "resnet50").job
STARTED = events.Start.model_validate(START)
READY = events.Ready(event="ready", seq=1, t=1, load_s=0, build_s=0, compile_s=0)
END = events.End(event="end", seq=9, t=9)


def step(epoch, samples, seconds):
    return events.Step(event="step", seq=2, t=1, epoch=epoch, step=1, samples=samples, seconds=seconds, loss=1.54274)


def epoch(number, seconds=10.0):
    return events.Epoch(event="epoch", seq=3, t=1, epoch=number, samples=1000, seconds=seconds, loss=1.5)


def score():
    return events.Score(event="score", seq=4, t=1, samples=100, correct=50, seconds=1)


def one_pass(name, seconds=4.0):
    kind = {"cold": events.Cold, "inference": events.Inference}[name]
    return kind(event=name, seq=3, t=1, samples=128, seconds=seconds, batch_seconds=[seconds])


class Clock:
    """A clock that goes when it is told to."""

    now = 100.0

    def __call__(self):
        return self.now


def running(job, *taken, estimate=None, clock=None):
    """A job that has sent these events; an epoch has 1,000 samples."""
    found = RunningJob(job, 1000, estimate, clock or Clock())
    for each in taken:
        found.take(each)
    return found


@pytest.mark.parametrize(
    ("job", "taken", "state"),
    [
        (CNN, [], "starting"),
        (CNN, [STARTED], "loading and compiling"),
        (CNN, [STARTED, READY], "epoch 1 of 10"),
        (CNN, [READY, step(1, 100, 1)], "epoch 1 of 10"),
        (CNN, [READY, epoch(1)], "epoch 2 of 10"),
        (CNN, [READY, *map(epoch, range(1, 11))], "scoring"),
        (CNN, [READY, *map(epoch, range(1, 11)), score()], "ending"),
        (CNN, [READY, epoch(1), score()], "epoch 2 of 10"),
        (CNN, [READY, END], "ending"),
        (RESNET, [STARTED], "loading and compiling"),
        (RESNET, [READY], "first pass"),
        (RESNET, [READY, one_pass("cold")], "timed passes"),
        (RESNET, [READY, one_pass("cold"), one_pass("inference")], "ending"),
    ],
)
def test_every_state_of_a_job_has_a_name(job, taken, state):
    assert running(job, *taken).state == state


def test_the_throughput_stays_while_a_job_is_scored():
    job = running(CNN, READY)
    assert (job.rate, job.loss) == ("", "")
    job.take(step(1, 500, 0.4))
    assert (job.rate, job.loss) == ("1,250 images/s", "loss 1.5427")
    for each in (epoch(1, 500.0), score()):
        job.take(each)
    assert (job.rate, job.loss) == ("2.0 images/s", "loss 1.5000")
    slow = running(RESNET, READY, one_pass("cold", 400.0))
    assert (slow.rate, slow.loss) == ("cold 0.32 images/s", "")


def test_the_time_left_comes_from_the_epochs_so_far_and_goes_down():
    clock = Clock()
    job = running(CNN, READY, epoch(1, 10.0), epoch(2, 20.0), step(3, 500, 8.0), clock=clock)
    assert job.seconds_left() == pytest.approx(7.5 * 15.0)
    clock.now += 12.5
    assert job.seconds_left() == pytest.approx(100.0)
    clock.now += 1000
    assert job.seconds_left() == 0.0


def test_the_time_left_is_unknown_until_something_is_known():
    assert running(CNN, READY).seconds_left() is None
    assert running(CNN, READY, step(1, 10, 1.0)).seconds_left() is None  # one hundredth says too little
    assert running(CNN, READY, step(1, 500, 5.0)).seconds_left() == pytest.approx(95.0)
    assert running(CNN, READY, estimate=60.0).seconds_left() == pytest.approx(60.0)
    assert running(RESNET, READY, one_pass("cold", 4.0)).seconds_left() == pytest.approx(4.0)


def test_only_jobs_that_succeeded_tell_how_long_others_take():
    known = Estimates()
    known.add(failed("pytorch").model_copy(update={"seconds": 1.0}))
    assert known.of(trained("pytorch").job) is None
    known.add(trained("pytorch").model_copy(update={"seconds": 30.0}))
    known.add(trained("pytorch").model_copy(update={"seconds": 50.0}))
    known.add(trained("numpy").model_copy(update={"seconds": 400.0}))
    assert known.of(trained("pytorch", repeat=3).job) == 40.0
    assert known.of(trained("jax").job) == 160.0  # of the same workload
    assert known.of(RESNET) is None


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (40, "Keras (TensorFlow) cnn  epoch 3 of 10"),
        (60, "Keras (TensorFlow) cnn  epoch 3 of 10  1 min 20 s"),
        (80, "Keras (TensorFlow) cnn  epoch 3 of 10  1,250 images/s  1 min 20 s"),
        (100, "Keras (TensorFlow) cnn  epoch 3 of 10  1,250 images/s  loss 1.5427  1 min 20 s  about 2 min left"),
        (
            120,
            "Keras (TensorFlow) cnn  on cpu  epoch 3 of 10  1,250 images/s  loss 1.5427  1 min 20 s  about 2 min left",
        ),
    ],
)
def test_a_narrow_line_keeps_the_job_its_state_its_clock_and_its_throughput(width, shown):
    job = running(CNN, READY, epoch(1, 15.0), epoch(2, 15.0), step(3, 500, 0.4))
    line = progress_lines.line(progress_lines.of_job(job, 80.0, ""), width)
    assert line.plain == shown
    assert line.cell_len <= width


@pytest.mark.parametrize("width", [20, 60, 80, 120, 200])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_the_bar_over_all_jobs_fills_what_is_left_of_the_line(width, ascii_only):
    pieces = progress_lines.of_run(3, 12, 250.0, 700.0)
    line = progress_lines.with_bar(pieces, 0.25, width, ascii_only=ascii_only)
    assert line.cell_len <= width
    assert line.plain.startswith("3 of 12 jobs")
    if width >= 60:
        bar = line.plain.split("  ")[1]
        full, empty = ("#", ".") if ascii_only else ("━", "─")
        assert set(bar) == {full, empty}
        assert bar.count(full) == len(bar) // 4
        assert line.plain.endswith("4 min 10 s  about 12 min left")


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (Activity(what="building", at="step"), ""),
        (Activity(what="building", done=3, total=7, at="step"), "step 3 of 7"),
        (Activity(what="downloading", done=12_000_000, total=162_400_000, unit=activity.BYTES), "12 of 162 MB"),
        (Activity(what="downloading", done=12_000_000, unit=activity.BYTES), "12 MB"),
        (Activity(what="reading", done=1200, total=25_000, unit="reviews"), "1,200 of 25,000 reviews"),
    ],
)
def test_how_far_something_is(what, words):
    assert progress_lines.how_far(what) == words


@pytest.mark.parametrize(
    ("seconds", "clock", "about"),
    [
        (0.4, "0 s", ""),
        (41.0, "41 s", "about 45 s left"),
        (185.0, "3 min 05 s", "about 3 min left"),
        (3725.0, "1 h 02 min 05 s", "about 1 h 2 min left"),
    ],
)
def test_times_in_words(seconds, clock, about):
    assert progress_lines.clock(seconds) == clock
    assert progress_lines.about(seconds) == about
    assert progress_lines.about(None) == ""


def picture(listener, width=80, height=24):
    return [line.plain for line in listener.picture(width, height, ascii_only=False)]


@pytest.fixture
def listener():
    """A listener that nobody looks at: its pictures are taken by hand."""
    return LiveListener(Console(file=io.StringIO(), width=80))


def test_a_run_shows_all_its_jobs_and_about_how_long_they_take(listener):
    listener.planned([trained("pytorch", repeat=repeat).job for repeat in (1, 2, 3)])
    lane = listener.lane("")
    lane.preparing("environment pytorch (cpu)")
    assert picture(listener)[0].startswith("0 of 3 jobs  ─")
    assert picture(listener)[1] == "preparing environment pytorch (cpu)  0 s"
    assert "left" not in "".join(picture(listener))  # nothing is known yet
    first = trained("pytorch").model_copy(update={"seconds": 60.0})
    lane.job_started(first.job, 1, 3, 1000)
    lane.job_finished(first)
    (line,) = picture(listener)
    assert line.startswith("1 of 3 jobs  ━")
    assert line.endswith("about 2 min left")


def test_a_running_job_tells_how_long_its_repeats_take(listener):
    listener.planned([trained("pytorch", repeat=repeat).job for repeat in (1, 2)])
    lane = listener.lane("")
    lane.job_started(trained("pytorch").job, 1, 2, 1000)
    lane.job_event(CNN, READY)
    lane.job_event(CNN, step(1, 500, 300.0))
    assert picture(listener)[0].endswith("about 30 min left")  # 900 s of this one, and as much for the other


def test_no_estimate_is_given_while_one_job_is_unknown(listener):
    listener.planned([trained("pytorch").job, RESNET])
    listener.lane("").job_finished(trained("pytorch"))
    assert "left" not in picture(listener)[0]


def test_what_is_done_for_a_job_is_shown_by_name(listener):
    with activity.heard(listener.hear):
        listener.preparing("environment pytorch (cpu)")
        with activity.reported(Activity(what="building image pytorch (about 1.1 GB)", at="step")) as now:
            now(done=3, total=7)
            assert picture(listener) == ["building image pytorch (about 1.1 GB): step 3 of 7  0 s"]
            threading.Thread(target=now, kwargs={"done": 5}).start()  # of another node
            assert "step 3" in picture(listener)[0]
        assert picture(listener) == ["preparing environment pytorch (cpu)  0 s"]


def test_a_cluster_has_a_line_for_each_node_as_far_as_the_screen_is_high(listener):
    listener.planned([trained("pytorch", repeat=repeat).job for repeat in range(1, 31)])
    for number in range(30):
        listener.lane(f"node-{number:02}").job_started(CNN, number + 1, 30, 1000)
    shown = picture(listener, height=12)
    assert len(shown) == 9
    assert shown[1].startswith("node-00  Keras (TensorFlow) cnn")
    assert shown[-1] == "and 23 more nodes"
    assert len(picture(listener, height=50)) == 31


def test_hostile_names_stay_in_their_line(listener):
    listener.lane("no\x1b[31mde\n").preparing("x\x1b[2J\n" + "y" * 500)
    (line,) = picture(listener)
    assert line.isprintable()
    assert len(line) <= 80


def test_the_picture_is_drawn_at_most_twice_a_second_whatever_a_job_sends():
    screen = Console(file=io.StringIO(), force_terminal=True, width=80)
    with LiveListener(screen) as listener:
        lane = listener.lane("")
        lane.job_started(CNN, 1, 1, 1000)
        end = time.monotonic() + 1.6
        while time.monotonic() < end:
            lane.job_event(CNN, step(1, 500, 300.0))
            time.sleep(0.001)
    assert 1 <= screen.file.getvalue().count("epoch 1 of 10") <= 4


def test_the_clock_goes_on_while_a_job_says_nothing():
    screen = Console(file=io.StringIO(), force_terminal=True, width=80)
    with LiveListener(screen) as listener:
        listener.lane("").job_started(CNN, 1, 1, 1000)
        time.sleep(2.8)
    for second in ("0 s", "1 s", "2 s"):
        assert f"starting  {second}" in screen.file.getvalue().replace("\x1b[0m", "")


@pytest.mark.parametrize("terminal", ["dumb", None])
def test_without_a_terminal_there_is_a_line_at_start_and_end_and_now_and_then(monkeypatch, terminal):
    if terminal:
        monkeypatch.setenv("TERM", terminal)
    screen = Console(file=io.StringIO(), force_terminal=terminal is not None, color_system=None, width=40)
    done = trained("pytorch")
    with LiveListener(screen, line_seconds=0.5) as listener:
        listener.planned([done.job, trained("pytorch", repeat=2).job])
        lane = listener.lane("")
        lane.job_started(done.job, 1, 2, 1000)
        time.sleep(1.2)
        lane.job_finished(done)
        time.sleep(0.7)
    lines = screen.file.getvalue().splitlines()
    assert lines[0] == "1 of 2: pytorch-cnn-cpu-1 starts"
    assert lines[1].startswith("Pytorch cnn, on cpu, starting, 0 s; 0 of 2 jobs, 0 s")
    assert lines[2].startswith("Pytorch cnn, on cpu, starting, 1 s; 0 of 2 jobs, 1 s")
    assert lines[3].startswith("✓ pytorch-cnn-cpu-1")
    assert not any("starting" in line or "starts" in line for line in lines[4:])  # nothing runs any more
    assert "\x1b" not in screen.file.getvalue()


def test_a_build_that_fails_names_its_log(tmp_path):
    screen = Console(file=io.StringIO(), width=60)
    with LiveListener(screen, log=tmp_path / "orchestrator.log") as listener:
        listener.job_finished(failed("pytorch", kind="build"))
        listener.job_finished(failed("numpy"))
    assert screen.file.getvalue().count(f"all output of the build: {tmp_path / 'orchestrator.log'}\n") == 1
