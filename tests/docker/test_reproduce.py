"""`orchestrator reproduce` on results that this machine has just made, in their containers."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.docker

FRAMEWORKS = ("numpy", "pytorch")
TRIES = 3  # an honest repetition may be called SLOWER or FASTER now and then, and on a busy machine more often


@pytest.fixture(scope="module")
def run(root, docker_engine, tmp_path_factory):
    """A run of both frameworks, and a function that calls the orchestrator as its user would."""
    results = tmp_path_factory.mktemp("reproduce")

    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", *map(str, arguments), "--results", results],
            cwd=root, capture_output=True, text=True, timeout=900, check=False, env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip

    names = [option for name in FRAMEWORKS for option in ("--framework", name)]
    size = ("--set", "resnet50.batch=4", "--set", "resnet50.batches=8")
    done = call("bench", *names, "--workload", "resnet50", "--engine", "docker", "--repeats", "3", *size)
    assert done.returncode == 0, done.stderr + done.stdout
    (folder,) = results.iterdir()
    return folder, call


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_result_made_here_is_reproduced_here(run, framework):
    folder, call = run
    capsule = folder.parent.parent / f"{framework}.json"
    assert call("report", folder.name, "--capsule", capsule).returncode == 0
    told = []
    for _ in range(TRIES):
        done = call("reproduce", capsule, "--job", f"{framework}-resnet50-cpu", "--repeats", "3", "--json")
        told.append(json.loads(done.stdout))
        assert done.returncode == {"REPRODUCED": 0, "CANNOT": 4}.get(told[-1]["word"], 1), done.stderr
        if told[-1]["word"] == "REPRODUCED":
            break
    if {each["word"] for each in told} == {"CANNOT"} and all("too noisy" in each["why"] for each in told):
        pytest.skip(f"this machine is too busy to tell anything: {told[-1]['why']}")
    assert told[-1]["word"] == "REPRODUCED", told
    assert len(told[-1]["here"]) == len(told[-1]["stored"]) == 3
