"""The process engine, with real children."""

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from orchestrator import activity
from orchestrator.engines.base import Launch, job_variables
from orchestrator.engines.process import pythons, venvs
from orchestrator.engines.process.engine import ProcessEngine
from orchestrator.errors import HostError
from orchestrator.host import quotas
from orchestrator.host.quotas import Limits
from orchestrator.plan import catalog, jobs, spec
from tests.support import engine_cases
from tests.support.fake_docker import command
from tests.support.machines import machine


@pytest.fixture
def engine(tmp_path):
    return ProcessEngine(cache=tmp_path / "cache", pythons={"echo": Path(sys.executable)})


@pytest.mark.slow
@pytest.mark.parametrize("check", [value for name, value in vars(engine_cases).items() if name.startswith("check_")])
def test_the_contract_of_engines(check, engine, tmp_path):
    check(engine, tmp_path)


def test_a_job_sees_its_own_environment_only(engine, tmp_path, monkeypatch):
    monkeypatch.setenv("ROSETTA_TEST_SECRET", "hush")
    folder, (result,) = engine_cases.run_echo(engine, tmp_path, "nosy", cpus=1)
    facts = engine_cases.facts_of(folder, result)
    assert facts["secret"] is None
    assert facts["variable"] == "very"
    assert facts["listing"] == ["weights.npz"]
    assert facts["cpus"] == [min(os.sched_getaffinity(0))]
    assert not Path(facts["home"]).exists()  # a job's home goes with the job


def test_a_job_gets_as_many_cpus_as_the_quota_is_enough_for(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(quotas, "inspect", lambda: Limits(cpus=0.5, memory=1 << 30))
    folder, (result,) = engine_cases.run_echo(engine, tmp_path, "nosy")
    assert engine_cases.facts_of(folder, result)["cpus"] == [min(os.sched_getaffinity(0))]
    host = result.provenance.host
    assert (host.cpus_used, host.cpu_quota, host.memory_limit) == ((min(os.sched_getaffinity(0)),), 0.5, 1 << 30)


def test_a_job_sees_the_gpu_it_was_given_only(engine, tmp_path, monkeypatch):
    """The engine sets the variable that CUDA reads. There is no driver here, so the job reports that it sees no GPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    chosen = machine("H100").gpus
    project = engine_cases.gpu_project(tmp_path)
    _, (result,) = engine_cases.run_echo(engine, tmp_path, "good", root=project, gpus=chosen)
    assert (result.failure.kind, result.failure.message) == ("no_gpu", "the job was given GPU-0 and sees no GPU")
    assert result.failure.log[0] == "visible: GPU-0"


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [("gpu", "fp32", "0"), ("gpu", "tf32", None), ("gpu", "amp", None), ("cpu", "fp32", None)],
)
def test_nvidia_s_libraries_are_kept_from_tf32_where_fp32_is_asked_for(tmp_path, root, device, precision, expected):
    """By a variable of every engine, there before any library is loaded."""
    wanted = spec.Spec(name="t", frameworks=("pytorch",), workloads=("cnn",), precision=precision)
    (job,) = jobs.plan(wanted, catalog.load(root), device, machine("H100").gpus)
    launch = Launch(job=job, run="r", workloads=root, inputs={}, spec=root, cpus=(0,))
    variables = job_variables(launch, spec="s", inputs="i", home="h")
    assert variables.get("NVIDIA_TF32_OVERRIDE") == expected


def test_children_of_a_job_go_with_it(engine, tmp_path):
    before = set(psutil.pids())
    with engine_cases.at_most(60):
        _, (result,) = engine_cases.run_echo(engine, tmp_path, "fork", timeout=3.0)
    assert result.failure.kind == "timeout"  # its child held the pipes open
    time.sleep(0.2)
    left = [
        process
        for pid in set(psutil.pids()) - before
        if (process := _command(pid)) and process == f"{sys.executable} -c import time; time.sleep(600)"
    ]
    assert left == []


def test_a_missing_python_is_reported_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    with pytest.raises(HostError, match=r"image 'old' needs Python 2\.0") as caught:
        pythons.find("2.0", "old")
    assert "--python old=" in caught.value.hint


@pytest.mark.parametrize(
    "place", ["bin/python{version}", "bin/python3", "pyenv/versions/{version}.99/bin/python{version}"]
)
def test_a_python_is_found_on_path_and_among_those_of_pyenv(tmp_path, monkeypatch, place):
    """One that does not run is skipped."""
    version = "3.9"  # not this one: the orchestrator needs a newer one
    try:
        real = pythons.find(version, "echo")
    except HostError as error:
        pytest.skip(error.message)
    found = tmp_path / place.format(version=version)
    found.parent.mkdir(parents=True)
    found.symlink_to(real)
    command(tmp_path / "broken", f"python{version}", "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/broken:{tmp_path}/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert pythons.check(pythons.find(version, "echo")).startswith("3.9.")
    found.unlink()
    with pytest.raises(HostError):
        pythons.find(version, "echo")


def test_of_a_virtual_environment_its_own_python_is_not_taken(monkeypatch):
    """A new environment must not see the packages of the one that the orchestrator runs in."""
    found = pythons.find("{}.{}".format(*sys.version_info), "echo")
    asked = [str(found), "-c", "import sys; print(sys.prefix == sys.base_prefix)"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == "True\n"


@pytest.mark.parametrize("given", [{}, {"julia": Path(sys.executable)}])
def test_an_image_without_python_is_left_to_docker(root, tmp_path, given):
    """Also where an interpreter was named for it: no Python can run its workloads."""
    image = dataclasses.replace(catalog.load(root).images[0], name="julia", python=None)
    with pytest.raises(
        HostError, match="'julia' is not a Python environment: only the docker engine can run it"
    ) as one:
        ProcessEngine(cache=tmp_path, pythons=given).prepare(image, "cpu")
    assert "--engine docker" in one.value.hint
    assert "--engine process" not in one.value.hint


def test_an_environment_reports_by_name_which_package_it_is_at(root, tmp_path):
    """With a Python that makes environments whose pip prints what real ones print, and installs nothing."""
    pip = command(
        tmp_path / "pip", "python", "printf '%s\\n' 'Looking in' 'Collecting a==1' 'Processing /b.whl' Installing"
    )
    making = f'if [ "$1" = -m ]; then mkdir "$3/bin"; cp {pip} "$3/bin"; else exec {sys.executable} "$@"; fi'
    lock = tmp_path / "requirements-cpu.txt"
    lock.write_text("a==1 \\\n    --hash=sha256:0\nb==2 --hash=sha256:0\n# c==3\nd[x]==3 --hash=sha256:0\n")
    image = dataclasses.replace(catalog.load(root).images[0], name="demo", folder=tmp_path, locks={"cpu": lock})
    heard = []
    with activity.heard(heard.append):
        made = venvs.ensure(image, "cpu", command(tmp_path / "bin", "python", making), tmp_path / "cache")
    assert Path(made.handle).is_file()
    assert {each.what for each in heard if each} == {"making the environment of demo (cpu)"}
    assert [(each.done, each.total) for each in heard if each] == [(0, 3), (1, 3), (2, 3)]
    assert heard[-1] is None


def test_a_python_that_does_not_run_is_refused(tmp_path):
    with pytest.raises(HostError, match="not a working Python interpreter"):
        pythons.check(tmp_path / "python")


def _command(pid):
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return None


QUOTA = """
import os, pathlib, sys
from tests.support import engine_cases
pathlib.Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
engine = engine_cases.engine_called("process", pathlib.Path(sys.argv[2]))
_, (result,) = engine_cases.run_echo(engine, pathlib.Path(sys.argv[2]), "busy")
print(result.telemetry.throttled, *(each.text for each in disturbances.of_result(result)), sep="\\n")
"""


@pytest.fixture
def half_a_cpu():
    """A control group that may use half a CPU, of either version; skips where none can be made."""
    name = f"rosetta-test-{os.getpid()}"
    first, second = Path("/sys/fs/cgroup/cpu") / name, Path("/sys/fs/cgroup") / name
    try:
        if first.parent.is_dir():
            first.mkdir()
            (first / "cpu.cfs_period_us").write_text("100000")
            (first / "cpu.cfs_quota_us").write_text("50000")
        else:
            second.mkdir()
            (second / "cpu.max").write_text("50000 100000")
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    else:
        yield first if first.is_dir() else second
    finally:
        for group in (first, second):
            if group.is_dir():
                group.rmdir()


def test_a_job_that_a_quota_stops_is_marked(half_a_cpu, tmp_path):
    source = f"from orchestrator.judge import disturbances\n{QUOTA}"
    done = subprocess.run(
        [sys.executable, "-c", source, half_a_cpu, tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    share, *reasons = done.stdout.splitlines()
    assert float(share) >= 0.02, done.stdout
    assert any("a CPU quota stopped it for " in reason for reason in reasons), reasons
