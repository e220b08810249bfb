"""The same spec through the ray engine and through the docker engine underneath."""

import re
import subprocess
import sys

import pytest

pytest.importorskip("ray")

from orchestrator.record.run_folder import RunFolder
from orchestrator.report import published as reference
from orchestrator.report import tables, text
from tests.support.paths import ROOT

FRAMEWORKS = ("numpy", "pytorch")
WORKLOADS = ("cnn", "rnn", "resnet50")
SMALLER = {
    **{f"{training}.{key}": 64 for training in ("cnn", "rnn") for key in ("train_samples", "test_samples")},
    "cnn.epochs": 1,
    "rnn.epochs": 1,
    "resnet50.batch": 1,
    "resnet50.batches": 1,
}
ENGINES = {"docker": (), "ray": ("--address=local", "--set=hosts.engine=docker")}


@pytest.mark.docker
def test_tables_of_the_ray_engine_are_those_of_the_docker_engine(docker_engine, tmp_path):
    found = {}
    for engine, options in ENGINES.items():
        argv = [sys.executable, "-m", "orchestrator", "bench", "configs/smoke.yaml", f"--engine={engine}", *options]
        argv += [f"--framework={name}" for name in FRAMEWORKS] + [f"--workload={name}" for name in WORKLOADS]
        argv += [f"--set={key}={value}" for key, value in SMALLER.items()]
        argv += [f"--results={tmp_path / engine}"]
        ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        (folder,) = (tmp_path / engine).iterdir()
        found[engine] = RunFolder(folder).results()
    published = reference.load(ROOT / "results" / "reference" / "2017.json")
    made = {engine: tables.tables(results, published) for engine, results in found.items()}
    assert len(made["ray"]) == len(WORKLOADS)
    assert masked(text.markdown(made["ray"])) == masked(text.markdown(made["docker"]))
    for ours, theirs in zip(found["ray"], found["docker"], strict=True):
        assert ours.job.id == theirs.job.id
        assert ours.figures.losses == pytest.approx(theirs.figures.losses, rel=1e-3)
        assert ours.provenance.environment == theirs.provenance.environment
        assert ours.provenance.data == theirs.provenance.data
        assert ours.provenance.node.engine == "docker"


def masked(markdown):
    """The lines of rendered tables without figures, which also decide their order, and who else was busy meanwhile."""
    lines = [re.sub(r"[0-9][0-9.,]*( !)?", "0", line.replace(" through ray", "")) for line in markdown.splitlines()]
    return sorted(line for line in lines if "disturbed" not in line and "the orchestrator itself" not in line)
