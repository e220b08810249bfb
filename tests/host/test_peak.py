"""What a machine can do at most is measured without other programs, and kept for the machine that it was measured on."""

import time
from types import SimpleNamespace

import pytest

from orchestrator.errors import HostError
from orchestrator.host import machine, peak, scheduling
from orchestrator.host.peak import Peak

KNOWN = Peak(
    host="a", cpu="Xeon", cpus=4, flops=4e11, bandwidth=2e10, measured="2026-11-30", numpy="2.4.6"
)  # fmt: skip


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(peak, "SECONDS", 0.01)
    monkeypatch.setattr(peak, "MATRIX", 64)
    monkeypatch.setattr(peak, "COPIED", 1 << 16)


def others(monkeypatch, cpus):
    """Other programs use so many CPUs all the time."""

    def read(_):
        return SimpleNamespace(busy=time.process_time() + cpus * time.perf_counter(), steal=0.0)

    monkeypatch.setattr(scheduling.MachineCpus, "read", read)


def test_both_rates_are_measured_and_kept(quick, monkeypatch, tmp_path):
    others(monkeypatch, 0)
    host = machine.inspect()
    found = peak.measure(host)
    assert found.flops > 1e6
    assert found.bandwidth > 1e6
    assert (found.host, found.cpu, found.cpus) == (host.id, host.cpu, len(host.cpus_for(None)))
    peak.store(found, tmp_path)
    assert peak.load(tmp_path) == found


def test_a_peak_beside_other_programs_is_none(quick, monkeypatch):
    others(monkeypatch, len(machine.inspect().cpus))
    with pytest.raises(HostError, match=r"other programs used \S+ of \d+ CPUs while their peak was measured") as caught:
        peak.measure(machine.inspect())
    assert "rosetta doctor --bench" in caught.value.hint


@pytest.mark.parametrize("content", ["", "{}", '{"flops": "many"}', "\x00"])
def test_a_file_that_is_damaged_or_missing_is_no_peak(tmp_path, content):
    assert peak.load(tmp_path) is None
    (tmp_path / peak.FILE).write_text(content)
    assert peak.load(tmp_path) is None


def test_it_counts_for_jobs_of_the_same_machine_only():
    assert peak.of_job(None, "a", "Xeon", range(4)) is None
    assert peak.of_job(KNOWN, "b", "Xeon", range(4)) is None
    assert peak.of_job(KNOWN, "a", "EPYC", range(4)) is None
    assert peak.of_job(KNOWN, "a", "Xeon", range(5)) is None
    assert peak.of_job(KNOWN, "a", "Xeon", ()) is None
    assert peak.of_job(KNOWN, "a", "Xeon", range(4)) == KNOWN
    part = peak.of_job(KNOWN, "a", "Xeon", [2])
    assert (part.flops, part.bandwidth) == (1e11, 2e10)
