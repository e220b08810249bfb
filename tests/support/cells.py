"""Cells of the tables, each run in its own container with the smoke spec; each agrees with the NumPy reference."""

import subprocess

import numpy as np
import pytest

from orchestrator import files
from orchestrator.engines.docker import images
from orchestrator.host import machine
from orchestrator.host.neighbours import Turns
from orchestrator.inputs import job_inputs
from orchestrator.plan import catalog, jobs, spec
from orchestrator.record.run_folder import RunFolder
from orchestrator.run.runner import Runner
from tests.support.engine_cases import Silent
from tests.support.paths import ROOT

KNOWN = catalog.load(ROOT)
CELLS = [(framework.id, workload) for framework, _ in KNOWN.frameworks.values() for workload in framework.workloads]
REFERENCE = "numpy"
# Its base image and its packages cannot be downloaded where only Debian and the Python package index can be reached.
NOT_BUILT = {"knet"}
TOLERANCE = 1e-3  # relative; rounding alone stays far below, a different formula does not
CLOSE = {"jax": 1e-4, "pytorch": 1e-4}
TURNS = Turns(files.default_cache(), print)
STORE = job_inputs.Store(cache=files.default_cache(), choice="synthetic")


def has_base(framework):
    """Whether the framework's image can be built here."""
    if framework not in NOT_BUILT:
        return True
    base = images.base_reference(KNOWN.frameworks[framework][1])
    return not subprocess.run(["docker", "image", "inspect", base], capture_output=True, check=False).returncode


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
        catalog=KNOWN, engine=engine, folder=folder, inputs=STORE, code={},
        host=machine.inspect(), listener=Silent(), turns=TURNS,
    )  # fmt: skip
    (result,) = runner.run(jobs.plan(chosen, KNOWN, "cpu"))
    return result, folder.path / f"{result.job.id}.output"


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
