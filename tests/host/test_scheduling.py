"""What the kernel counts about CPUs is read as it is, and what it does not count is unknown."""

import os
import sys
import time

import pytest

from orchestrator.host import scheduling
from orchestrator.host.scheduling import MachineCounters, MachineCpus

STAT = """cpu  900 90 900 9000 90 90 90 90 0 0
cpu0 100 20 30 1000 5 7 11 40 0 0
cpu1 200 0 50 1000 5 7 11 60 0 0
cpu12 999 999 999 999 0 0 0 999 0 0
intr 1 cpu 2
"""
PRESSURE = "some avg10=0.89 avg60=0.93 avg300=3.92 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"


@pytest.fixture
def kernel(tmp_path):
    """Write files as the kernel shows them; returns the folder of control groups."""

    def write(files):
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        return tmp_path / "sys"

    return write


def test_counts_the_cpus_of_the_job_only(tmp_path, kernel):
    kernel({"stat": STAT, "pressure/cpu": PRESSURE})
    second = os.sysconf("SC_CLK_TCK")
    one = MachineCpus([1], proc=tmp_path).read()
    assert one == MachineCounters(busy=250 / second, steal=60 / second, pressure=2.5)
    both = MachineCpus([0, 1], proc=tmp_path).read()
    assert (both.busy, both.steal) == (400 / second, 100 / second)


@pytest.mark.parametrize("stat", ["", "cpu  1 2 3\n", "cpu0 1 2 3 4 5 6 7 8\n", "cpu0 1 2 3\ncpu1 1 2 3\n"])
def test_what_the_kernel_does_not_count_is_unknown(tmp_path, kernel, stat):
    kernel({"stat": stat, "pressure/cpu": "full avg10=0.00 total=7\n"})
    assert MachineCpus([0, 1], proc=tmp_path).read() == MachineCounters()
    assert MachineCpus([0], proc=tmp_path / "none").read() == MachineCounters()
    assert MachineCpus([], proc=tmp_path).read() == MachineCounters()


@pytest.mark.skipif(sys.platform != "linux", reason="counters of Linux")
def test_this_machine_s_busy_time_has_our_own_in_it():
    cpus = MachineCpus(sorted(os.sched_getaffinity(0)))
    before, used = cpus.read(), time.process_time()
    if before.busy is None:
        pytest.skip("this system hides the counters of its CPUs")
    while time.process_time() < used + 0.5:
        pass
    assert cpus.read().busy - before.busy > 0.3  # the kernel counts in steps


V2 = {
    "proc/7/cgroup": "0::/user.slice/job.scope\n",
    "sys/cpu.stat": "usage_usec 9\n",
    "sys/user.slice/cpu.stat": "usage_usec 9\nnr_periods 9\nnr_throttled 8\nthrottled_usec 2500000\n",
    "sys/user.slice/job.scope/cpu.stat": "usage_usec 9\nnr_periods 0\nnr_throttled 0\nthrottled_usec 1000000\n",
}
V1 = {
    "proc/7/cgroup": "5:cpu,cpuacct:/job\n4:cpuset:/job\n1:name=systemd:/job\n",
    "sys/cpu,cpuacct/cpu.stat": "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n",
    "sys/cpu,cpuacct/job/cpu.stat": "nr_periods 39\nnr_throttled 38\nthrottled_time 2500000000\n",
}


@pytest.mark.parametrize(("files", "count"), [(V2, 2), (V1, 2)])
def test_the_quota_that_stops_a_job_most_counts_wherever_it_is(tmp_path, kernel, files, count):
    mounted = kernel(files)
    found = scheduling.quota_files(7, proc=tmp_path / "proc", mounted=mounted)
    assert len(found) == count
    assert scheduling.throttled(found) == 2.5


def test_in_a_container_its_own_group_is_the_root_of_what_it_sees(tmp_path, kernel):
    mounted = kernel({**V1, "proc/7/cgroup": "5:cpu,cpuacct:/docker/abc\n"})
    (found,) = scheduling.quota_files(7, proc=tmp_path / "proc", mounted=mounted)
    assert found == mounted / "cpu,cpuacct" / "cpu.stat"


def test_without_control_groups_throttling_is_unknown(tmp_path):
    assert scheduling.quota_files(7, proc=tmp_path, mounted=tmp_path) == ()
    assert scheduling.throttled(()) is None
