"""`orchestrator reproduce` on results that this machine has just made, in their containers."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.docker

SIZE = ("--workload", "resnet50", "--engine", "docker", "--set", "resnet50.batch=4", "--set", "resnet50.batches=8")
# An honest repetition is called SLOWER or FASTER now and then. And rightly so on a machine that others share: it may be
# 20 % slower half a minute later. Each try therefore measures anew what it reproduces.
TRIES = 3


@pytest.mark.parametrize("framework", ["numpy", "pytorch"])
def test_a_result_made_here_is_reproduced_here(root, docker_engine, tmp_path, framework):
    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "orchestrator", *map(str, arguments)],
            cwd=root, capture_output=True, text=True, timeout=900, check=False, env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip

    told = []
    for number in range(TRIES):
        results, capsule = ("--results", tmp_path / str(number)), tmp_path / f"{number}.json"
        done = call("bench", "--framework", framework, "--repeats", "3", *SIZE, *results)
        assert done.returncode == 0, done.stderr + done.stdout
        assert call("report", "--capsule", capsule, *results).returncode == 0
        done = call("reproduce", capsule, "--repeats", "3", "--json", *results)
        told += json.loads(done.stdout)["jobs"]
        assert done.returncode == {"REPRODUCED": 0, "CANNOT": 4}.get(told[-1]["word"], 1), done.stderr
        if told[-1]["word"] == "REPRODUCED":
            assert len(told[-1]["here"]) == len(told[-1]["stored"]) == 3
            return
    if all("too noisy" in each["why"] for each in told):
        pytest.skip(f"this machine is too busy to tell anything: {told[-1]['why']}")
    pytest.fail(f"not reproduced: {[(each['word'], each['why']) for each in told]}")
