"""Every cell of the tables in its own real container, with the smoke spec: it runs, and it computes the same thing.

Without dropout, from the same weights and the same batches, the first losses (or the features) of every framework
must be those of the NumPy reference.
"""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from orchestrator import files
from orchestrator.engines.docker import images
from orchestrator.host import machine
from orchestrator.host.neighbours import Turns
from orchestrator.inputs import job_inputs
from orchestrator.plan import catalog, jobs, spec
from orchestrator.record import fingerprint
from orchestrator.record.run_folder import RunFolder
from orchestrator.run.runner import Runner
from tests.support.engine_cases import Silent

pytestmark = pytest.mark.docker

ROOT = Path(__file__).resolve().parents[2]
KNOWN = catalog.load(ROOT)
CELLS = [(framework.id, workload) for framework, _ in KNOWN.frameworks.values() for workload in framework.workloads]
REFERENCE = "numpy"
NOT_BUILT = {
    "knet"
}  # neither its base image nor its packages can be had where only Debian and the Python package index are within reach
TOLERANCE = 1e-3  # relative; rounding alone stays far below, a different formula does not
CLOSE = {"jax": 1e-4, "pytorch": 1e-4}
TURNS = Turns(files.default_cache(), print)
STORE = job_inputs.Store(cache=files.default_cache(), choice="synthetic", notify=lambda text: None)
WITH_RESNET50 = [framework for framework, workload in CELLS if workload == "resnet50" and framework != REFERENCE]
V1_5 = ("resnet50.variant=v1.5", "resnet50.batches=1")


def has_base(framework):
    """Whether the framework's image can be built here."""
    if framework not in NOT_BUILT:
        return True
    base = images.base_reference(KNOWN.frameworks[framework][1])
    return not subprocess.run(["docker", "image", "inspect", base], capture_output=True, check=False).returncode


@pytest.fixture(scope="session")
def measure(docker_engine, tmp_path_factory):
    return measurement(docker_engine, tmp_path_factory.mktemp("results"))


def measurement(engine, results):
    """A function that runs one cell, given by framework, workload and what differs from the smoke spec; each once."""
    done = {}

    def run(framework, workload, *settings):
        if not has_base(framework):
            pytest.skip(f"there is no base image for {framework}")
        if (framework, workload, settings) not in done:
            done[framework, workload, settings] = run_cell(engine, results, framework, workload, *settings)
        result, output = done[framework, workload, settings]
        assert result.status == "ok", result.failure
        return result, output

    return run


def run_cell(engine, results, framework, workload, *settings):
    """The result of one cell with the smoke spec and `settings` like `resnet50.variant=v1.5`, and its output folder."""
    told = spec.load(ROOT / "configs" / "smoke.yaml", overrides=[spec.parse_setting(each) for each in settings])
    chosen = told.model_copy(update={"frameworks": (framework,), "workloads": (workload,)})
    folder = RunFolder.create(results, "cells")
    runner = Runner(
        catalog=KNOWN, engine=engine, folder=folder, inputs=STORE, code=fingerprint.inspect(ROOT),
        host=machine.inspect(), listener=Silent(), turns=TURNS,
    )  # fmt: skip
    (result,) = runner.run(jobs.plan(chosen, KNOWN, "cpu"))
    return result, folder.path / f"{result.job.id}.output"


@pytest.mark.parametrize(("framework", "workload"), CELLS, ids=[f"{f}-{w}" for f, w in CELLS])
def test_a_cell_runs_and_agrees_with_the_reference(measure, framework, workload):
    assert_agreement(measure, framework, workload)


def assert_agreement(measure, framework, workload):
    """The cell runs, and shows the losses or features of the reference."""
    result, output = measure(framework, workload)
    expected, expected_output = measure(REFERENCE, workload)
    tolerance = CLOSE.get(framework, TOLERANCE)
    assert result.start.denormals == expected.start.denormals
    if workload == "resnet50":
        found, wanted = (np.load(folder / "features-0.npy") for folder in (output, expected_output))
        assert found.std() > 0.1  # a network that returns constants agrees with nothing
        assert np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max()
    else:
        assert len(result.figures.losses) == 5
        np.testing.assert_allclose(result.figures.losses, expected.figures.losses, rtol=tolerance)
        assert len(set(result.figures.losses)) == 5  # the weights move


@pytest.mark.parametrize("framework", WITH_RESNET50)
def test_both_variants_of_resnet50_are_different_networks(measure, framework):
    """v1.5 on the reference and on the framework: equal to each other, different from v1."""
    theirs, ours, v1 = (
        np.load(output / "features-0.npy")
        for _, output in (
            measure(framework, "resnet50", *V1_5),
            measure(REFERENCE, "resnet50", *V1_5),
            measure(REFERENCE, "resnet50"),
        )
    )
    assert np.abs(ours - theirs).max() <= CLOSE.get(framework, TOLERANCE) * np.abs(ours).max()
    assert np.abs(ours - v1).max() > 0.01 * np.abs(ours).max()


@pytest.mark.parametrize("framework", ["pytorch", "keras-tf"])
@pytest.mark.parametrize("workload", ["cnn", "rnn", "resnet50"])
def test_mixed_precision_computes_nearly_the_same(measure, framework, workload):
    """On a CPU that is bfloat16 with 8 significant bits. Equal to the last bit would mean that nothing was mixed."""
    result, mixed = measure(framework, workload, "precision=amp")
    assert result.start.precision == "amp"
    expected, output = measure(framework, workload)
    if workload == "resnet50":
        found, wanted = (np.load(each / "features-0.npy") for each in (mixed, output))
    else:
        found, wanted = np.array(result.figures.losses), np.array(expected.figures.losses)
    difference = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert 1e-7 < difference < (0.3 if workload == "resnet50" else 5e-2)  # the features pass through 53 roundings


def test_a_precision_that_a_framework_lacks_is_told_as_such(docker_engine, tmp_path):
    result, _ = run_cell(docker_engine, tmp_path, REFERENCE, "cnn", "precision=amp")
    assert (result.status, result.failure.kind) == ("failed", "unsupported")
    assert "not in amp" in result.failure.message
