"""A run directory is readable at every moment, and says so when it was edited."""

import json
import os

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import sealed
from orchestrator.errors import StoreError, UsageError
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import Spec
from orchestrator.record import run_folder
from orchestrator.record.artifacts import Artifacts
from orchestrator.record.events import Violation
from orchestrator.record.recorder import Recorder
from orchestrator.record.results import Failure, Result, split_damaged
from orchestrator.record.run_folder import Run, RunFolder
from orchestrator.record.runs import find_run
from tests.support import published
from tests.support.results import START, result, trained


@pytest.fixture
def folder(tmp_path):
    made = RunFolder.create(tmp_path, "quick")
    jobs = (trained().job, trained("numpy").job)
    made.write_run(
        Run(id=made.id, began=run_folder.now(), command=("bench",), engine="docker", spec=Spec(name="quick"), jobs=jobs)
    )
    return made


def test_results_come_back_as_they_were(folder):
    folder.write_result(trained())
    assert folder.read_result(trained().job.id) == trained()
    assert folder.results() == [trained()]


def test_a_job_without_result_is_missing_not_wrong(folder):
    assert folder.read_result("numpy-cnn-cpu-1") is None


def test_events_are_read_up_to_the_first_that_is_none(folder):
    ready = {"event": "ready", "seq": 1, "t": 1.0, "load_s": 0.1, "build_s": 0.1, "compile_s": 0.0}
    step = {"event": "step", "seq": 2, "t": 2.0, "epoch": 1, "step": 1, "samples": 64, "seconds": 0.5, "loss": 2.0}
    lines = [json.dumps(event).encode() + b"\n" for event in (START, ready, step, {**step, "seq": 3})]
    path = folder.path / "numpy-cnn-cpu-1.jsonl"
    path.write_bytes(b"".join([*lines[:3], b"\xff{\n", *lines[3:]]))
    assert [event.seq for event in folder.events("numpy-cnn-cpu-1")] == [0, 1, 2]
    path.write_bytes(b"x" * (2 << 20))
    assert list(folder.events("numpy-cnn-cpu-1")) == []
    assert list(folder.events("never-ran")) == []


def test_two_runs_of_one_second_do_not_collide(tmp_path):
    assert RunFolder.create(tmp_path, "a").path != RunFolder.create(tmp_path, "a").path


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"schema_version": 2}', b"null"])
def test_an_edited_file_is_named(folder, content):
    folder.write_result(trained())
    path = folder.path / f"{trained().job.id}.json"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"not written by this program, or (edited|cut off)") as caught:
        folder.read_result(trained().job.id)
    assert str(path) in caught.value.message


def test_a_number_corrected_by_hand_is_noticed(folder):
    folder.write_result(trained())
    path = folder.path / f"{trained().job.id}.json"
    assert path.read_text().count('"accuracy": 0.765') == 1
    path.write_text(path.read_text().replace('"accuracy": 0.765', '"accuracy": 0.965'))
    with pytest.raises(StoreError, match="does not match its sha256"):
        folder.read_result(trained().job.id)


def test_a_damaged_result_is_left_out_and_reported(folder):
    folder.write_result(trained())
    folder.write_result(trained("numpy"))
    (folder.path / f"{trained().job.id}.json").write_bytes(b"[" * 100_000)
    results, damaged = split_damaged(folder.each_result())
    assert results == [trained("numpy")]
    assert len(damaged) == 1
    assert len(damaged[0].message) < 1000
    with pytest.raises(StoreError, match="not written by this program"):
        folder.results()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_result_is_noticed_wherever_the_damage_is(folder, data):
    folder.write_result(trained())
    path = folder.path / f"{trained().job.id}.json"
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    spoilt = whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + data.draw(st.integers(0, 3)) :]
    path.write_bytes(spoilt)
    try:
        same = folder.read_result(trained().job.id) == trained()
    except StoreError:
        same = False
    # What stands between two values may change; a value may not.
    assert same == (json.loads(whole) == loaded(spoilt))


def loaded(text):
    try:
        return json.loads(text)
    except ValueError:
        return None


def test_attempts_are_kept_apart(folder):
    job = trained().job.id
    assert folder.set_aside(job) == 1
    for attempt in (1, 2):
        with folder.record(job) as files:
            files.event(b"attempt %d" % attempt)
        folder.write_telemetry(job, [{"t": attempt}, {"t": attempt + 0.1}])
        folder.write_result(trained())
        assert folder.set_aside(job) == attempt + 1
    assert folder.read_result(job) is None
    kept = [(folder.path / f"{job}.attempt-{attempt}.jsonl").read_bytes() for attempt in (1, 2)]
    assert kept == [b"attempt 1\n", b"attempt 2\n"]
    sampled = [(folder.path / f"{job}.attempt-{attempt}.telemetry.jsonl").read_text() for attempt in (1, 2)]
    assert sampled == ['{"t": 1}\n{"t": 1.1}\n', '{"t": 2}\n{"t": 2.1}\n']


def test_a_result_from_the_future_is_refused(folder):
    folder.write_result(trained())
    path = folder.path / f"{trained().job.id}.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 99', 1))
    with pytest.raises(StoreError, match="schema_version"):
        folder.read_result(trained().job.id)


def test_the_latest_run_is_found_without_a_name(folder, tmp_path):
    assert find_run(tmp_path, None).id == folder.id
    assert find_run(tmp_path, folder.id).id == folder.id
    assert find_run(tmp_path, str(folder.path)).id == folder.id
    with pytest.raises(UsageError, match="no run 'nope'"):
        find_run(tmp_path, "nope")
    with pytest.raises(StoreError, match="no runs under"):
        find_run(tmp_path / "empty", None)


def test_events_and_log_are_bounded(tmp_path):
    events, log = tmp_path / "job.jsonl", tmp_path / "job.log"
    artifacts = Artifacts(tmp_path / "output")
    files = Recorder(events.open("wb"), log.open("wb"), artifacts, max_event_bytes=10, max_log_bytes=10)
    files.log(b"123456")
    assert not files.log_is_full
    files.log(b"123456")
    assert files.log_is_full
    files.event(b"1234")
    files.event(b"1234")
    with pytest.raises(Violation, match="of events"):
        files.event(b"1234")
    files.close()
    assert log.read_bytes() == b"1234561234"
    assert events.read_bytes() == b"1234\n1234\n"


def test_a_failed_result_is_a_result(folder):
    from orchestrator.record.results import Failure

    failed = result("numpy", failure=Failure(kind="timeout", message="m"))
    folder.write_result(failed)
    assert folder.read_result(failed.job.id).status == "failed"


def test_a_result_of_another_job_or_run_is_not_shown(folder):
    """A figure belongs to the run, the job and the file that it was written for."""
    kept = published.runs()[0]
    folder.write_run(kept.run.model_copy(update={"id": folder.id}))
    first, second = (each.model_copy(update={"run": folder.id}) for each in kept.results[:2])
    folder.write_result(first)
    (folder.path / f"{second.job.id}.json").write_bytes((folder.path / f"{first.job.id}.json").read_bytes())
    with pytest.raises(StoreError, match="it is a result of another job"):
        folder.read_result(second.job.id)

    folder.write_result(second.model_copy(update={"run": "20200101-000000-other"}))
    planned_otherwise = kept.results[2].job.model_copy(update={"seed": 99})
    folder.write_result(kept.results[2].model_copy(update={"job": planned_otherwise}))
    shown = list(folder.each_result())
    assert [each.job.id for each in shown if not isinstance(each, StoreError)] == [first.job.id]
    assert sorted(each.message.partition(": ")[2][:30] for each in shown if isinstance(each, StoreError)) == [
        "it is a result of other settin",
        "it is a result of run 20200101",
    ]


@pytest.mark.parametrize("name", ["../../victim", "/etc/passwd", "a/b", "", ".", "..", "a\nb", "a" * 300])
def test_an_id_is_a_name_and_never_a_path(name):
    with pytest.raises(pydantic.ValidationError):
        Job.model_validate({**trained().job.model_dump(), "id": name})
    with pytest.raises(pydantic.ValidationError):
        Run.model_validate({**published.runs()[0].run.model_dump(), "id": name})


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".telemetry.jsonl"])
@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_only_regular_files_are_read(folder, suffix, kind):
    """Reading a FIFO would wait for ever."""
    job = trained().job.id
    path = folder.path / f"{job}{suffix}"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(StoreError, match="not a regular file"):
        {".json": folder.read_result, ".jsonl": lambda job: list(folder.events(job))}.get(suffix, folder.usage)(job)


def test_the_latest_run_is_the_one_that_began_last(tmp_path):
    """Also where a folder was copied to a name of its own, or the clock was set back."""
    run = published.runs()[0].run
    for name, began in (("zzz-copy", "2026-01-01T00:00:00+00:00"), ("20260101-000000-x", "2026-02-01T00:00:00+00:00")):
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir()
        folder.write_run(run.model_copy(update={"began": began}))
    (tmp_path / "zzzz").mkdir()
    (tmp_path / "zzzz" / "run.json").write_text("{")
    assert find_run(tmp_path, None).path.name == "20260101-000000-x"


def test_a_file_of_many_small_values_is_refused_before_it_fills_the_memory(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b'{"sha256": 1, "a": [' + b"{}," * sealed.MAX_VALUES + b"0]}")
    with pytest.raises(StoreError, match="holds more than 4,000,000 values"):
        sealed.load(path, Result)


def test_a_text_about_a_failure_fits_on_a_screen():
    failure = Failure(kind="exception", message="line\n" * 100_000, hint="x" * 100_000)
    assert failure.message.count("\n") < 50
    assert len(failure.hint) < 10_000
