"""One chosen GPU for a job, and only that one: at a Docker daemon whose machine seems to have two.

The daemon, the container and what it is asked for are real; what NVIDIA installs on a machine is played by
tests/gpu_machine, in each of the ways there are to hand out a GPU.
"""

import os
import shutil
import subprocess

import docker
import pytest

from orchestrator.engines.docker import images
from orchestrator.host.machine import Gpu
from tests.support import checks, engine_cases
from tests.support.daemons import Daemon
from tests.support.docker_images import build_folder

CHECK = checks.engine("gpu requests", "tests/docker/test_gpu_requests.py", "tests/gpu_machine")
pytestmark = [pytest.mark.docker, checks.mark(CHECK)]

IMAGE = "rosetta-test/gpu-machine"
BASE = "debian:trixie-slim"
UUIDS = ("GPU-11111111-2222-3333-4444-555555555555", "GPU-66666666-7777-8888-9999-aaaaaaaaaaaa")
GPUS = tuple(
    Gpu(index=index, name="Made up", uuid=uuid, memory=80 << 30, capability="9.0") for index, uuid in enumerate(UUIDS)
)
WAYS = {
    "runtime": ["--add-runtime=nvidia=/fake/nvidia-container-runtime"],
    "cdi": ["--config-file=/fake/daemon.json", "--cdi-spec-dir={shared}/cdi"],
    "hook": [],
    "nothing": [],
}


@pytest.fixture(scope="module")
def machine(root, docker_engine, tmp_path_factory):
    """The folder that holds the files of the machine with two GPUs, and beside it one that it shares with this one."""
    prefix = os.environ.get("ROSETTA_BASE_PREFIX")
    base = f"{prefix}/{BASE}" if prefix else BASE
    build_folder(root / "tests" / "gpu_machine", IMAGE, BASE_IMAGE=base)
    folder = tmp_path_factory.mktemp("m")
    (folder / "root").mkdir()
    (folder / "shared" / "cdi").mkdir(parents=True)
    shutil.copy(root / "tests" / "gpu_machine" / "nvidia.json", folder / "shared" / "cdi")
    container = subprocess.run(["docker", "create", IMAGE], check=True, capture_output=True, text=True).stdout.strip()
    try:
        with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as exported:
            subprocess.run(["tar", "-x", "-C", folder / "root"], stdin=exported.stdout, check=True)
    finally:
        subprocess.run(["docker", "rm", container], check=True, capture_output=True)
    return folder


@pytest.fixture
def ask(machine, root, tmp_path, monkeypatch):
    """Run the echo workload with GPUs at a daemon that hands them out in a certain way."""
    folder = machine / "shared" / tmp_path.name
    folder.mkdir()
    project = engine_cases.gpu_project(folder)
    tag = images.build(engine_cases.behaving(["good"], project).images[0], "cuda")

    def run(way, *gpus):
        hook = "/fake/hook:" if way == "hook" else ""
        if hook:  # the engine looks for it on its own PATH
            monkeypatch.setenv("PATH", f"{machine / 'root' / 'fake' / 'hook'}:{os.environ['PATH']}")
        shared = machine / "shared"
        options = [option.format(shared=shared) for option in WAYS[way]]
        daemon = Daemon(shared, *options, root=machine / "root", shared=shared, path=hook)
        try:
            with daemon.engine(tag, monkeypatch) as engine:
                problem = engine.gpu_problem()
                _, (result,) = engine_cases.run_echo(engine, folder, "good", root=project, gpus=gpus)
        finally:
            daemon.stop()
        return problem, result

    return run


@pytest.mark.parametrize("way", ["runtime", "cdi", "hook"])
@pytest.mark.parametrize("chosen", [GPUS[1:], GPUS], ids=["one", "all"])
def test_a_job_sees_the_gpus_it_was_given(ask, way, chosen):
    problem, result = ask(way, *chosen)
    assert problem is None
    assert result.status == "ok", result.failure
    assert result.start.gpus == [gpu.uuid for gpu in chosen]


def test_a_job_that_sees_another_gpu_is_no_result(ask):
    """The CDI device called 0 is not the GPU that was asked for."""
    mistaken = Gpu(index=0, name="Made up", uuid=UUIDS[1], memory=80 << 30, capability="9.0")
    _, result = ask("cdi", mistaken)
    assert (result.status, result.failure.kind) == ("failed", "no_gpu")
    assert result.failure.message == f"the job was given {UUIDS[1]} and sees {UUIDS[0]}"
    assert "nvidia-smi" in result.failure.hint


def test_a_daemon_without_the_toolkit(ask):
    problem, result = ask("nothing", GPUS[0])
    assert "neither the nvidia runtime nor CDI devices" in problem
    assert (result.status, result.failure.kind) == ("failed", "no_gpu")
    assert "could not select device driver" in result.failure.message
    assert "NVIDIA Container Toolkit" in result.failure.hint


@pytest.mark.parametrize(
    ("info", "word"),
    [
        ({"Runtimes": {"nvidia": {}}}, "nvidia"),
        ({"DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}], "CDISpecDirs": ["/etc/cdi"]}, "cdi"),
    ],
    ids=["runtime", "cdi"],
)
def test_a_way_that_is_gone_when_the_job_starts(ask, monkeypatch, info, word):
    """The daemon had it when it was asked, and refuses now: `unknown runtime`, or knows no driver `cdi`."""
    monkeypatch.setattr(docker.DockerClient, "info", lambda client: info)
    _, result = ask("nothing", GPUS[0])
    assert (result.status, result.failure.kind, word in result.failure.message) == ("failed", "no_gpu", True)
    assert "NVIDIA Container Toolkit" in result.failure.hint


def test_a_gpu_that_cdi_does_not_know(ask):
    """Docker: `unresolvable CDI devices nvidia.com/gpu=7`."""
    _, result = ask("cdi", Gpu(index=7, name="Made up", uuid="GPU-7", memory=80 << 30, capability="9.0"))
    assert (result.status, result.failure.kind) == ("failed", "no_gpu")
    assert "unresolvable CDI devices nvidia.com/gpu=7" in result.failure.message
