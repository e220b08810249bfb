"""Engines are found by their folders: adding one takes a folder, and no change anywhere else."""

import subprocess
import sys
import textwrap

import pytest

from orchestrator import engines
from orchestrator.cli import app
from orchestrator.engines import registry
from orchestrator.engines.registration import Setup
from orchestrator.errors import HostError, UsageError
from orchestrator.plan.spec import Spec
from orchestrator.plan.workloads.resnet50 import ResNet50
from orchestrator.run import preparation
from tests.support import engine_cases

TOY = """
    import contextlib
    import os
    import subprocess
    import sys
    from pathlib import Path

    from orchestrator.engines.base import Environment, Exit, Output, job_variables
    from orchestrator.engines.one_node import OneNode
    from orchestrator.engines.registration import Registration
    from orchestrator.errors import HostError


    class ToyEngine:
        name = "toy"

        def gpu_problem(self):
            return "a toy has no GPU"

        def facts(self):
            return {"toy": "1"}

        def prepare(self, image, variant):
            return Environment(handle=sys.executable, facts={"made_of": "wood"})

        @contextlib.contextmanager
        def run(self, environment, launch):
            names = {"spec": launch.spec, "inputs": Path(), "home": launch.spec.parent}
            variables = job_variables(launch, **{name: str(path) for name, path in names.items()})
            command = [environment.handle, *launch.job.argv[1:]]
            place, pipe = launch.workloads.parent, subprocess.PIPE
            with subprocess.Popen(command, env={**os.environ, **variables}, cwd=place, stdout=pipe) as child:
                yield ToyJob(child)


    class ToyJob:
        def __init__(self, child):
            self._child = child

        def output(self):
            for line in self._child.stdout:
                yield Output("stdout", line)
            self._child.wait()

        def usage(self):
            return None

        def pids(self):
            return {self._child.pid}

        def stop(self):
            self._child.kill()

        @property
        def exit(self):
            return Exit(code=self._child.returncode)


    def connect(setup):
        if (setup.cache / "broken").exists():
            raise HostError("the toy is broken", hint="mend it")
        return OneNode(ToyEngine(), cache=setup.cache)


    ENGINE = Registration(name="toy", connect=connect, priority=99)
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A folder with one more engine, as if it stood beside the others."""
    package = tmp_path / "engines" / "toy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(textwrap.dedent(TOY))
    monkeypatch.setattr(engines, "__path__", [*engines.__path__, str(package.parent)])
    yield
    sys.modules.pop("orchestrator.engines.toy", None)


@pytest.fixture
def request_for(tmp_path):
    """Builds the request for an echo job on an engine."""

    def build(engine):
        run_spec = Spec(
            name="toy",
            frameworks=("good",),
            workloads=("resnet50",),
            device="cpu",
            dataset="synthetic",
            engine=engine,
            resnet50=ResNet50(batch=2, batches=3, seconds=0),
        )
        return preparation.Request(
            root=engine_cases.ECHO, results=tmp_path / "results", cache=tmp_path / "cache", given_spec=run_spec
        )

    return build


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("choice", ["toy", "auto"])
def test_an_engine_of_its_own_folder_runs_a_job(request_for, choice):
    request = request_for(choice)
    prepared = preparation.prepare(request)
    assert prepared.engine.name == "toy"
    folder = preparation.start(request, prepared)
    (result,) = preparation.run(request, folder, prepared, engine_cases.Silent())
    assert result.status == "ok", result.failure
    assert result.provenance.engine == "toy"
    assert result.provenance.environment.model_dump() == {"made_of": "wood"}
    assert result.provenance.host.model_dump()["toy"] == "1"
    assert result.telemetry.samples >= 1
    assert folder.read_run().engine == "toy"
    assert folder.read_result(result.job.id) == result


@pytest.mark.usefixtures("toy")
def test_it_is_offered_like_the_others():
    assert registry.names() == ["auto", "toy", "docker", "process", "ray"]
    assert registry.is_local("toy")
    assert not registry.is_local("ray")


@pytest.mark.usefixtures("toy")
def test_auto_goes_on_to_the_next_where_one_cannot_be_used(tmp_path, monkeypatch, caplog):
    (tmp_path / "broken").touch()
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert registry.connect("auto", Setup(root=tmp_path, cache=tmp_path)).name == "process"
    assert caplog.messages[0] == "the toy is broken; using the docker engine"
    assert caplog.messages[1].endswith("; using the process engine")
    with pytest.raises(HostError, match="the toy is broken"):
        registry.connect("toy", Setup(root=tmp_path, cache=tmp_path))


def test_an_unknown_engine_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(UsageError, match="no engine is called 'dokcer'; did you mean 'docker'") as caught:
        registry.connect("dokcer", Setup(root=tmp_path, cache=tmp_path))
    assert "auto, docker, process, ray" in caught.value.hint


def test_interpreters_are_for_engines_that_take_them(tmp_path):
    setup = Setup(root=tmp_path, cache=tmp_path, pythons={"echo": tmp_path / "python"})
    with pytest.raises(HostError, match="--python works only with the process engine"):
        registry.connect("docker", setup)
    assert registry.connect("auto", setup).name == "process"


def test_nodes_of_a_cluster_run_their_jobs_themselves(tmp_path):
    with pytest.raises(UsageError, match=r"hosts\.engine: the ray engine cannot run jobs on a node"):
        registry.connect_local("ray", Setup(root=tmp_path, cache=tmp_path))


def test_the_names_are_known_without_loading_any_engine(root):
    source = (
        "import sys\n"
        "from orchestrator.engines import registry\n"
        "assert registry.names()\n"
        "print(*sorted({'docker', 'ray', 'pydantic', 'psutil'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", source], cwd=root, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("\n", 0), done.stderr


def test_help_names_the_engines():
    from typer.testing import CliRunner

    shown = CliRunner().invoke(app.app, ["bench", "--help"], terminal_width=200).output
    assert ", ".join(registry.names()) in shown
