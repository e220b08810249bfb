"""Telemetry records what a job used, costs little, and never costs a job."""

import dataclasses
import functools
import itertools
import json
import sys
import threading
import time
from pathlib import Path

import pynvml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engines import sampler
from orchestrator.engines.docker import cgroup
from orchestrator.engines.process.engine import ProcessEngine
from orchestrator.engines.sampler import Sampler
from orchestrator.host import samples
from orchestrator.host.samples import EnergyMeter, GpuReading, ResourceUsage, Sample, Series, Timed
from orchestrator.record import telemetry
from orchestrator.record.events import Epoch, Inference, Ready, Step
from orchestrator.record.results import Result
from orchestrator.record.telemetry import Around
from orchestrator.run import measurement
from tests.support import engine_cases, fake_nvml, published
from tests.support.fake_nvml import UUID
from tests.support.machines import machine

AROUND = Around(usage_source="test", orchestrator_cpus=0.01, sampling_cpus=0.005, notes=())
ALL = ("utilisation", "memory", "power", "temperature", "sm", "mem", "reasons", "counter")
finite = st.floats(0, 1000, allow_nan=False)


def watched(seconds=0.0, gpus=(UUID,), usage=lambda: None):
    """A job of `seconds` that says nothing, sampled."""
    beside = Sampler(gpus)
    with beside.beside(usage):
        time.sleep(seconds)
    return measurement.telemetry_of(beside.observations(), measurement.TimedPart())[0]


def summary(taken, timed=()):
    return telemetry.summarise(taken, len(taken), timed, [(UUID, EnergyMeter())], AROUND)


def busy_then_idle(count=100):
    """A GPU at 10 Hz: 300 W and 100 % in the middle of the job, 100 W and 0 % before and after it."""
    for number in range(count + 1):
        t = number / 10
        busy = 2 <= t <= 8
        reading = GpuReading(utilisation=100 if busy else 0, memory=number, reasons=4 if busy and t < 5 else 1)
        joules = 100 * t + 200 * min(max(t - 2, 0), 6)
        yield Sample(t=t, gpus=(reading,), joules=(joules,), cpu_seconds=2 * t, memory_peak=number)


def interfered(t, others):
    """A sample at `t` of a job that uses 0.8 CPUs, while another program uses one CPU during `others`.

    This process uses 0.1, a hypervisor takes 0.04 and quotas 0.2 of two CPUs, and some task waits half of the time.
    """
    began, ended = others
    busy = 1000 + 0.8 * t + 0.1 * t + min(max(t - began, 0.0), ended - began)
    return Sample(
        t=t, cpu_seconds=0.8 * t, own_cpu_seconds=7 + 0.1 * t, busy=busy, steal=0.04 * t, pressure=0.5 * t,
        throttled=0.2 * t,
    )  # fmt: skip


class TestACard:
    def test_tells_everything_in_its_unit(self, monkeypatch):
        """Every field of a reading has a sensor."""
        card = fake_nvml.Card()
        fake_nvml.install(monkeypatch, card)
        (reading,), notes = fake_nvml.readings(1)
        assert reading == GpuReading(
            utilisation=90, memory=8 << 30, power=250.0, temperature=60, sm_clock=1400, memory_clock=1200, reasons=1,
            counter=1_000_000,
        )  # fmt: skip
        assert None not in dataclasses.asdict(reading).values()
        assert notes == []
        assert card.open == 0

    def test_is_asked_once_for_what_it_does_not_support(self, monkeypatch):
        card = fake_nvml.Card(**dict.fromkeys(ALL, pynvml.NVMLError_NotSupported))
        fake_nvml.install(monkeypatch, card)
        found, notes = fake_nvml.readings(5)
        assert found == [GpuReading()] * 5
        assert set(card.asked.values()) == {1}
        assert notes == []

    def test_may_fail_to_answer_once(self, monkeypatch):
        card = fake_nvml.Card(power=lambda asked: pynvml.NVMLError_Timeout if asked == 1 else 1000)
        fake_nvml.install(monkeypatch, card)
        found, notes = fake_nvml.readings(3)
        assert [reading.power for reading in found] == [1.0, None, 1.0]
        assert ["power could not be read" in note for note in notes] == [True]

    def test_that_is_lost_ends_sampling_with_a_note(self, monkeypatch):
        card = fake_nvml.Card(memory=lambda asked: 1 << 30 if asked < 3 else pynvml.NVMLError_GpuIsLost)
        fake_nvml.install(monkeypatch, card)
        used = watched(0.8)
        assert used.samples == 3
        assert used.gpus[0].utilisation.mean == 90
        assert [f"GPU {UUID} was lost" in note for note in used.notes] == [True]
        assert card.open == 0

    @pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
    def test_that_cannot_be_opened_is_a_note(self, monkeypatch, broken):
        fake_nvml.install(monkeypatch, fake_nvml.Card(), broken=broken)
        used = watched(usage=lambda: ResourceUsage(cpu_seconds=1.0, memory=5, memory_peak=7, source="test"))
        assert (used.gpus, used.memory_peak) == ((), 7)
        assert ["sensors cannot be read" in note for note in used.notes] == [True]


def test_reasons_are_those_of_the_library():
    for name, word in {
        "GpuIdle": "idle", "ApplicationsClocksSetting": "application clocks", "SwPowerCap": "power cap",
        "HwSlowdown": "hardware slowdown", "SyncBoost": "sync boost", "SwThermalSlowdown": "software thermal slowdown",
        "HwThermalSlowdown": "hardware thermal slowdown", "HwPowerBrakeSlowdown": "power brake",
        "DisplayClockSetting": "display clocks",
    }.items():  # fmt: skip
        assert samples.reasons_of(getattr(pynvml, f"nvmlClocksThrottleReason{name}")) == [word]
    assert samples.reasons_of(0x404) == ["power cap", "0x400"]
    assert samples.reasons_of(0) == []


class TestEnergy:
    def test_is_counted_where_there_is_a_counter(self):
        meter = EnergyMeter()
        energies = [meter.joules(t, GpuReading(power=9e9, counter=5_000 + 250_000 * t)) for t in range(4)]
        assert energies == [0, 250, 500, 750]
        assert meter.source == "counter"

    def test_is_integrated_where_there_is_none(self):
        meter = EnergyMeter()
        energies = [meter.joules(t, GpuReading(power=watts)) for t, watts in ((0, 100), (1, 200), (3, 200), (4, 0))]
        assert energies == [0, 150, 550, 650]
        assert meter.source == "power"

    def test_is_unknown_where_the_card_tells_neither(self):
        meter = EnergyMeter()
        assert meter.joules(0.0, GpuReading(utilisation=5)) is None
        assert meter.source is None

    def test_of_a_counter_that_was_reset_is_unknown(self):
        meter = EnergyMeter()
        assert [meter.joules(t, GpuReading(counter=mj)) for t, mj in enumerate((9000, 10000, 0))] == [0, 1, None]

    @given(st.lists(st.tuples(st.floats(0.001, 10), finite), min_size=2, max_size=50))
    def test_lies_between_least_and_most_power(self, steps):
        meter, t = EnergyMeter(), 0.0
        for step, watts in steps:
            t += step
            joules = meter.joules(t, GpuReading(power=watts))
        seconds, powers = t - steps[0][0], [watts for _, watts in steps]
        assert min(powers) * seconds * 0.999 - 1e-6 <= joules <= max(powers) * seconds * 1.001 + 1e-6

    @given(finite, finite, st.lists(st.floats(0.001, 10), min_size=1, max_size=50))
    def test_is_exact_where_power_is_linear(self, start, slope, steps):
        meter, t = EnergyMeter(), 0.0
        meter.joules(0.0, GpuReading(power=start))
        for step in steps:
            t += step
            joules = meter.joules(t, GpuReading(power=start + slope * t))
        assert joules == pytest.approx(start * t + slope * t * t / 2)


@given(st.integers(1, 3000), st.integers(2, 50))
def test_thinning_keeps_an_even_series_within_its_limit(count, limit):
    series = Series(limit)
    for number in range(count):
        series.add(Sample(t=float(number)))
    kept = [int(sample.t) for sample in series.samples()]
    assert series.seen == count
    assert len(kept) <= limit
    assert (kept[0], kept[-1]) == (0, count - 1)
    gaps = {after - before for before, after in itertools.pairwise(kept[:-1])}
    assert len(gaps) <= 1
    assert len(kept) >= min(count, limit // 2)


@given(st.lists(st.tuples(st.floats(0.01, 5), finite), min_size=2, max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_what_grew_in_two_parts_grew_in_the_whole(steps, one, other):
    t = value = 0.0
    points = [(t := t + step, value := value + growth) for step, growth in steps]
    first, last = points[0][0], points[-1][0]
    low, high = sorted(first + share * (last - first) for share in (one, other))
    parts = telemetry.rise(points, [(first, low), (low, high), (high, last)])
    assert parts == pytest.approx(telemetry.rise(points, [(first, last)]))
    assert parts == pytest.approx((points[-1][1] - points[0][1], last - first))
    assert telemetry.rise(points, [(first - 5, first - 1)]) == (0, 0)


class TestASummary:
    def test_is_of_the_timed_part(self):
        used = summary(list(busy_then_idle()), [Timed(2.0, 5.0, 900), Timed(5.0, 8.0, 900)])
        (gpu,) = used.gpus
        assert (used.over, used.timed_s, used.timed_samples) == ("timed", 6.0, 1800)
        assert (gpu.utilisation.mean, gpu.utilisation.peak) == (100, 100)
        assert gpu.timed_joules == pytest.approx(1800)
        assert used.samples_per_joule == pytest.approx(1.0)
        assert gpu.joules == pytest.approx(100 * 10 + 200 * 6)
        assert (gpu.memory_peak, gpu.memory.peak) == (100, 80)
        assert gpu.throttled == {"power cap": pytest.approx(0.5, abs=0.02)}
        assert used.cpus == pytest.approx(2.0)
        assert used.memory_peak == 100
        assert used.hz == pytest.approx(10)

    def test_is_of_the_whole_job_where_the_timed_part_is_too_short(self):
        used = summary(list(busy_then_idle()), [Timed(5.0, 5.5, 900)])
        assert used.over == "job"
        assert used.gpus[0].utilisation.mean == pytest.approx(61 / 101 * 100)
        assert used.gpus[0].joules == pytest.approx(2200)
        assert (used.gpus[0].timed_joules, used.samples_per_joule) == (None, None)

    def test_gives_no_energy_for_a_part_it_did_not_see_all_of(self):
        used = summary(list(busy_then_idle(50)), [Timed(2.0, 8.0, 900)])
        assert (used.gpus[0].timed_joules, used.samples_per_joule) == (None, None)
        assert used.cpus == pytest.approx(2.0)

    def test_of_nothing_is_empty(self):
        used = summary([], [Timed(2.0, 8.0, 900)])
        assert (used.samples, used.hz, used.cpus, used.memory_peak, used.joules) == (0, None, None, None, None)

    def test_counts_what_others_took_from_the_timed_part_though_they_have_ended(self):
        """Ten epochs of ten seconds on two CPUs; another program keeps one CPU busy during the fourth."""
        taken = [interfered(number / 5, (40.0, 50.0)) for number in range(600)]
        epochs = [Timed(10.0 + 10 * number, 20.0 + 10 * number, 900) for number in range(10)]
        around = dataclasses.replace(AROUND, cpus_given=2)
        used = telemetry.summarise(taken, len(taken), epochs, [], around)
        assert used.others_cpus == pytest.approx(0.1, abs=0.001)
        assert used.others_by_part == pytest.approx([0, 0, 0, 1, 0, 0, 0, 0, 0, 0], abs=0.01)
        assert used.cpus == pytest.approx(0.8)
        assert (used.steal, used.throttled) == (pytest.approx(0.02), pytest.approx(0.1))
        assert (used.pressure, used.job_pressure, used.cpus_given) == (pytest.approx(0.5), None, 2)

    def test_of_too_short_a_time_says_nothing_of_others(self):
        used = summary([interfered(number / 5, (0.0, 1.0)) for number in range(5)])
        assert (used.others_cpus, used.others_by_part, used.pressure) == (None, (), None)

    def test_does_not_know_others_where_the_job_or_the_machine_is_not_known(self):
        taken = [dataclasses.replace(interfered(float(t), (0, 9)), busy=None, steal=None) for t in range(10)]
        used = summary(taken, [Timed(1.0, 8.0, 900)])
        assert (used.others_cpus, used.others_by_part, used.steal) == (None, (), None)
        assert used.pressure == pytest.approx(0.5)

    def test_comes_back_from_json_as_it_was(self):
        used = summary(list(busy_then_idle()), [Timed(2.0, 8.0, 900)])
        assert telemetry.Telemetry.model_validate_json(used.model_dump_json()) == used

    def test_is_no_part_of_results_of_old(self):
        stored = published.runs()[0].results[0].model_dump(mode="json")
        del stored["telemetry"]
        assert Result.model_validate_json(json.dumps(stored)).telemetry is None


class FakeClock(sampler.Clock):
    """A clock that runs while something waits on it, 10 ms longer than was asked for, up to one minute."""

    def __init__(self):
        self.time = 0.0
        self.minute_is_over = threading.Event()

    def now(self):
        return self.time

    def wait(self, over, seconds):
        self.time += max(seconds, 0) + 0.01
        if self.time >= 60:
            self.minute_is_over.set()
            over.wait()

    def look(self):
        """Let a look at a GPU take 5 ms."""
        self.time += 0.005
        return 250_000


class TestSampling:
    def test_is_at_10_hz_of_a_gpu(self, monkeypatch):
        fake_nvml.install(monkeypatch, fake_nvml.Card())
        used = watched(1.0, usage=lambda: ResourceUsage(cpu_seconds=1.0, memory=5, memory_peak=7, source="test"))
        assert 3 <= used.samples <= 14  # a busy machine may be slow, but never too fast
        assert used.gpus[0].joules == pytest.approx(25 * (used.samples - 1))
        assert used.gpus[0].energy_source == "counter"
        assert 0 <= used.sampling_cpus <= used.orchestrator_cpus < 2
        assert used.usage_source == "test"

    def test_stays_at_10_hz_when_looks_take_their_time_and_sleep_lasts_too_long(self, monkeypatch):
        """On a clock of its own: each look takes 5 ms, each sleep 10 ms more than was asked for."""
        clock, asked = FakeClock(), []
        fake_nvml.install(monkeypatch, fake_nvml.Card(power=lambda _: clock.look()))
        beside = Sampler([UUID], clock=clock)
        with beside.beside(lambda: asked.append(clock.time)):
            assert clock.minute_is_over.wait(30)
        taken = beside.observations().samples
        assert len(taken) / 60 >= 10
        assert max(later.t - earlier.t for earlier, later in itertools.pairwise(taken)) <= 0.1
        assert 4 <= len(asked) / 60 <= 6.5

    def test_that_is_slow_delays_the_end_by_one_sample_at_most(self, monkeypatch):
        fake_nvml.install(monkeypatch, fake_nvml.Card(delay=0.05))
        beside = Sampler([UUID])
        with beside.beside(lambda: None):
            time.sleep(0.5)
            ended = time.monotonic()
        assert time.monotonic() - ended < 2 * len(ALL) * 0.05 + 0.5  # the one under way, and none after it but the last
        assert beside.observations().around.notes == ()

    def test_that_hangs_is_left_behind(self, monkeypatch):
        fake_nvml.install(monkeypatch, fake_nvml.Card(delay=1.0))
        with engine_cases.at_most(sampler.END_SECONDS + 2):
            used = watched(0.2)
        assert used.samples == 0
        assert ["took longer than 2 s" in note for note in used.notes] == [True]

    def test_finds_the_timed_part_by_when_events_arrived(self):
        timed = measurement.TimedPart()
        for number, (at, kind, fields) in enumerate((
            (1.0, Ready, {"event": "ready", "load_s": 0.0, "build_s": 0.0, "compile_s": 0.0}),
            (2.0, Step, {"event": "step", "epoch": 1, "step": 1, "samples": 64, "seconds": 0.9, "loss": 1.0}),
            (5.0, Epoch, {"event": "epoch", "epoch": 1, "samples": 640, "seconds": 3.5, "loss": 1.0}),
            (9.0, Epoch, {"event": "epoch", "epoch": 2, "samples": 640, "seconds": 1e9, "loss": 1.0}),
            (20.0, Inference, {"event": "inference", "samples": 64, "seconds": 2.0, "batch_seconds": [2.0]}),
        )):  # fmt: skip
            timed.add(kind(seq=number, t=0.0, **fields), at)
        assert timed.spans == [Timed(1.5, 5.0, 640), Timed(5.0, 9.0, 640), Timed(18.0, 20.0, 64)]

    def test_that_goes_wrong_is_a_note(self, tmp_path, monkeypatch):
        fake_nvml.install(monkeypatch, fake_nvml.Card(power=ValueError("a bug\n\x1b[31m" + "x" * 1000)))
        _, result = run_on_a_gpu(tmp_path, "good")
        assert result.status == "ok", result.failure
        (note,) = result.telemetry.notes
        assert note.startswith("sampling stopped: ValueError: a bug  [31mxxx")
        assert len(note) == 300

    def test_whose_figures_go_wrong_is_a_note(self, tmp_path, monkeypatch):
        fake_nvml.install(monkeypatch, fake_nvml.Card(utilisation="no number"))
        _, result = run_on_a_gpu(tmp_path, "good")
        assert result.status == "ok", result.failure
        (note,) = result.telemetry.notes
        assert note.startswith("there are no figures: TypeError: ")
        assert (result.telemetry.gpus, result.telemetry.samples) == ((), 0)


def run_on_a_gpu(folder, behaviour):
    """Run the echo workload, which says that it sees the GPU of the stand-in; returns the run folder and the result."""
    root = engine_cases.gpu_project(folder)
    (root / "workloads" / "common" / "cuda.py").write_text(f"def visible_gpus():\n    return ['{UUID}']\n")
    chosen = dataclasses.replace(machine("H100").gpus[0], uuid=UUID)
    run_folder, (result,) = engine_cases.run_echo(engine(folder), folder, behaviour, root=root, gpus=[chosen])
    return run_folder, result


def test_a_gpu_job_has_its_gpu_sampled(tmp_path, monkeypatch):
    fake_nvml.install(monkeypatch, fake_nvml.Card(reasons=0x24))
    folder, result = run_on_a_gpu(tmp_path, "slow")
    (gpu,) = result.telemetry.gpus
    assert (gpu.uuid, gpu.utilisation.peak, gpu.power.mean) == (UUID, 90, 250)
    assert gpu.throttled == {"power cap": 1.0, "software thermal slowdown": 1.0}
    assert folder.read_result(result.job.id) == result
    header, first, *_ = map(json.loads, (folder.path / f"{result.job.id}.telemetry.jsonl").read_text().splitlines())
    assert header["gpus"] == [UUID]
    assert first["gpus"][0]["power"] == 250
    assert first["memory"] > 0


V2 = {
    "proc/7/cgroup": "0::/system.slice/docker-abc.scope/inner\n",
    "sys/system.slice/docker-abc.scope/memory.current": "100\n",
    "sys/system.slice/docker-abc.scope/memory.peak": "300\n",
    "sys/system.slice/docker-abc.scope/cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nthrottled_usec 500000\n",
    "sys/system.slice/docker-abc.scope/cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n",
    "sys/system.slice/docker-abc.scope/cgroup.procs": "7\n8\n",
}
V1 = {
    "proc/7/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/docker/abc\n",
    "sys/memory/docker/abc/memory.usage_in_bytes": "100\n",
    "sys/memory/docker/abc/memory.max_usage_in_bytes": "300\n",
    "sys/cpu,cpuacct/docker/abc/cpuacct.usage": "2500000000\n",
    "sys/cpu,cpuacct/docker/abc/cpu.stat": "nr_periods 9\nnr_throttled 8\nthrottled_time 500000000\n",
    "sys/memory/docker/abc/cgroup.procs": "7\n8\n",
}


class TestAControlGroup:
    @pytest.fixture
    def of(self, tmp_path):
        return functools.partial(cgroup.of, proc=tmp_path / "proc", mounted=tmp_path / "sys")

    @pytest.fixture
    def kernel(self, tmp_path):
        def write(files):
            for name, content in files.items():
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_text(content)
            return tmp_path

        return write

    @pytest.mark.parametrize(("files", "source", "pressure"), [(V2, "cgroup v2", 1.5), (V1, "cgroup v1", None)])
    def test_of_either_version_is_read(self, of, kernel, files, source, pressure):
        kernel(files)
        expected = ResourceUsage(
            cpu_seconds=2.5, memory=100, memory_peak=300, source=source, pressure=pressure, throttled=0.5
        )
        assert of(7, "abc").usage() == expected
        assert of(7, "abc").pids() == {7, 8}

    def test_without_a_peak_tells_what_there_is_now(self, of, kernel):
        (kernel(V2) / "sys/system.slice/docker-abc.scope/memory.peak").unlink()
        assert of(7, "abc").usage().memory_peak == 100

    def test_that_is_gone_tells_nothing(self, of, kernel):
        folder = kernel(V2)
        group = of(7, "abc")
        (folder / "sys/system.slice/docker-abc.scope/cpu.stat").unlink()
        assert group.usage() is None

    @pytest.mark.parametrize(("pid", "container"), [(8, "abc"), (7, "another"), (0, "abc")])
    def test_of_another_machine_s_process_is_not_taken(self, of, kernel, pid, container):
        kernel(V2)
        assert of(pid, container) is None

    def test_that_is_not_mounted_here_is_not_taken(self, of, kernel):
        kernel({"proc/7/cgroup": "0::/docker/abc\n"})
        assert of(7, "abc") is None


def engine(folder):
    return ProcessEngine(cache=folder / "cache", pythons={"echo": Path(sys.executable)})
