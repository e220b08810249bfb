"""What control groups allow is found wherever they are mounted, and nothing that they hold breaks anything."""

import contextlib
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.host import machine, quotas
from orchestrator.host.quotas import Limits

UNLIMITED = "9223372036854771712"  # what version 1 writes where there is no limit


class Kernel:
    """A /proc, and groups mounted anywhere."""

    def __init__(self, folder):
        self.folder = folder
        self.proc = folder / "proc"
        (self.proc / "self").mkdir(parents=True)
        self._mounts, self._paths = [], []
        self._write()

    def mount(self, kind, controllers="", *, at="sys/fs/cgroup", root="/"):
        folder = self.folder / at
        folder.mkdir(parents=True, exist_ok=True)
        escaped = str(folder).replace(" ", r"\040")
        self._mounts.append(f"40 30 0:29 {root} {escaped} rw shared:9 - {kind} {kind} rw,{controllers}")
        self._write()
        return folder

    def group(self, controllers, path):
        self._paths.append(f"{len(self._paths)}:{controllers}:{path}")
        self._write()

    def limits(self):
        return quotas.inspect(self.proc)

    def _write(self):
        other = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw"
        (self.proc / "self" / "mountinfo").write_text("\n".join([other, *self._mounts, ""]))
        (self.proc / "self" / "cgroup").write_text("\n".join([*self._paths, ""]))


@pytest.fixture
def kernel(tmp_path):
    return Kernel(tmp_path)


def files(folder, **contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def version_1(kernel, **places):
    cpu = kernel.mount("cgroup", "cpu,cpuacct", at="sys/fs/cgroup/cpu,cpuacct", **places)
    memory = kernel.mount("cgroup", "memory", at="sys/fs/cgroup/memory", **places)
    return cpu, memory


def test_a_machine_without_groups_limits_nothing(kernel, tmp_path):
    assert kernel.limits() == Limits()
    assert quotas.inspect(tmp_path / "absent") == Limits()


def test_version_2(kernel):
    top = kernel.mount("cgroup2")
    kernel.group("", "/user.slice/run.scope")
    files(top / "user.slice/run.scope", cpu__max="150000 100000", memory__max=4 << 30)
    assert kernel.limits() == Limits(cpus=1.5, memory=4 << 30)


def test_version_1(kernel):
    cpu, memory = version_1(kernel)
    kernel.group("cpu,cpuacct", "/batch/job")
    kernel.group("memory", "/batch/job")
    files(cpu / "batch/job", cpu__cfs_quota_us=50000, cpu__cfs_period_us=100000)
    files(memory / "batch/job", memory__limit_in_bytes=1 << 30)
    assert kernel.limits() == Limits(cpus=0.5, memory=1 << 30)


@pytest.mark.parametrize("low", ["slice", "slice/unit", "slice/unit/job"])
def test_the_smallest_limit_of_a_group_and_its_ancestors_holds(kernel, low):
    top = kernel.mount("cgroup2")
    kernel.group("", "/slice/unit/job")
    for group in ("slice", "slice/unit", "slice/unit/job"):
        files(top / group, cpu__max="400000 100000", memory__max=8 << 30)
    files(top / low, cpu__max="200000 100000", memory__max=2 << 30)
    files(top / "slice/another", cpu__max="1000 100000", memory__max=1 << 20)  # of another program
    assert kernel.limits() == Limits(cpus=2.0, memory=2 << 30)


def test_version_1_tells_the_limits_of_ancestors_that_cannot_be_seen(kernel):
    _, memory = version_1(kernel, root="/docker/abc")
    kernel.group("memory", "/docker/abc")
    files(memory, memory__limit_in_bytes=UNLIMITED, memory__stat=f"cache 0\nhierarchical_memory_limit {3 << 30}\nrss 1")
    assert kernel.limits().memory == 3 << 30


def test_in_a_container_the_mount_shows_its_own_group(kernel):
    cpu, memory = version_1(kernel, root="/docker/abc")
    for controllers in ("cpu,cpuacct", "memory"):
        kernel.group(controllers, "/docker/abc/inner")
    files(cpu, cpu__cfs_quota_us=50000, cpu__cfs_period_us=100000)
    files(cpu / "inner", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100000)
    files(memory, memory__limit_in_bytes=1 << 30)
    assert kernel.limits() == Limits(cpus=0.5, memory=1 << 30)


@pytest.mark.parametrize("path", ["/../../other", "/elsewhere", "/"])
def test_a_group_outside_of_what_is_mounted_has_the_limits_of_the_mount(kernel, path):
    top = kernel.mount("cgroup2", root="/" if path == "/" else "/docker/abc")
    kernel.group("", path)
    files(top, cpu__max="50000 100000", memory__max=1 << 30)
    assert kernel.limits() == Limits(cpus=0.5, memory=1 << 30)


def test_groups_are_found_where_they_are_mounted(kernel):
    top = kernel.mount("cgroup2", at="a place/of its own")
    kernel.group("", "/job")
    files(top / "job", cpu__max="100000 50000")
    assert kernel.limits().cpus == 2.0


def test_both_versions_at_once(kernel):
    """A hybrid machine: controllers in version 1, and an empty hierarchy of version 2."""
    cpu, _ = version_1(kernel)
    kernel.mount("cgroup2", at="sys/fs/cgroup/unified")
    kernel.group("cpu,cpuacct", "/job")
    kernel.group("", "/")
    files(cpu / "job", cpu__cfs_quota_us=50000, cpu__cfs_period_us=100000)
    assert kernel.limits().cpus == 0.5


@pytest.mark.parametrize(
    "cpu_max", ["max 100000", "max", "-1 100000", "0 100000", "50000 0", "", "fast", "1e5 100000", "9" * 5000, "\0"]
)
@pytest.mark.parametrize("memory_max", ["max", "-1", "0", "", "1 GiB", "9" * 5000])
def test_what_is_no_limit_limits_nothing(kernel, cpu_max, memory_max):
    top = kernel.mount("cgroup2")
    kernel.group("", "/job")
    files(top / "job", cpu__max=cpu_max, memory__max=memory_max)
    assert kernel.limits() == Limits()


def test_a_folder_in_the_place_of_a_file_limits_nothing(kernel):
    top = kernel.mount("cgroup2")
    kernel.group("", "/job")
    (top / "job" / "cpu.max").mkdir(parents=True)
    (top / "job" / "memory.max").mkdir()
    assert kernel.limits() == Limits()


def test_a_place_that_no_path_can_name_limits_nothing(kernel):
    (kernel.proc / "self" / "mountinfo").write_text("1 2 0:1 / /a\\000b rw - cgroup2 none rw\n")
    (kernel.proc / "self" / "cgroup").write_text("0::/\n")
    assert kernel.limits() == Limits()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_bytes_of_the_kernel_break_it(tmp_path, mounts, paths):
    here = tmp_path / "proc" / "self"
    here.mkdir(parents=True, exist_ok=True)
    (here / "mountinfo").write_bytes(b"1 2 0:1 / / rw - cgroup2 none rw\n" + mounts)
    (here / "cgroup").write_bytes(paths)
    quotas.inspect(tmp_path / "proc")


class TestMachine:
    @pytest.fixture
    def limited(self, monkeypatch):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})

        def limit(**limits):
            monkeypatch.setattr(quotas, "inspect", lambda: Limits(**limits))
            return machine.inspect()

        return limit

    @pytest.mark.parametrize(
        ("quota", "cpus"), [(None, 4), (0.25, 1), (1.0, 1), (1.5, 1), (2.0, 2), (3.99, 3), (4.0, 4), (64.0, 4)]
    )
    def test_a_job_gets_as_many_cpus_as_the_quota_is_enough_for(self, limited, quota, cpus):
        here = limited(cpus=quota)
        assert here.cpus == (0, 1, 2, 3)
        assert here.cpus_for(None) == here.cpus[:cpus]
        assert here.cpus_for(2) == here.cpus[: min(2, cpus)]

    def test_a_limit_that_the_machine_has_anyway_is_none(self, limited):
        here = limited(cpus=4.0, memory=1 << 60)
        assert (here.cpu_quota, here.memory_limit, here.usable_memory) == (None, None, here.memory)
        assert "quota" not in here.title()

    def test_its_title_says_both(self, limited):
        here = limited(cpus=0.5, memory=1 << 30)
        assert here.title().endswith("GiB, quota of 0.5 CPUs, memory limit of 1 GiB")
        assert here.usable_memory == 1 << 30


@pytest.fixture
def half_a_cpu():
    """A group of version 1 or 2 below our own, with a quota."""
    if os.geteuid():
        pytest.skip("only root can make a control group")
    for above in quotas.groups("cpu"):
        group = above / f"rosetta-test-{os.getpid()}"
        with contextlib.suppress(OSError):
            group.mkdir()
            if _limited(group):
                yield group
                group.rmdir()
                return
            group.rmdir()
    pytest.skip("this machine does not allow to make a control group with a quota")


def _limited(group):
    for name, quota in (("cpu.max", "50000 100000"), ("cpu.cfs_quota_us", "50000")):
        if (group / name).exists():
            (group / name).write_text(quota)
            return True
    return False


def test_half_a_cpu_for_real(half_a_cpu, root):
    assert inside(half_a_cpu, root) == "0.5"


def inside(group, root):
    """What a process in `group` finds."""
    script = (
        "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid()));"
        "from orchestrator.host import quotas; print(quotas.inspect().cpus)"
    )
    argv = [sys.executable, "-c", script, str(group / "cgroup.procs")]
    return subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
