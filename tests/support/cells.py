"""Cells in real containers, with the smoke spec: each runs once in a session, and is compared with the reference."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from orchestrator import files
from orchestrator.engines.docker import images
from orchestrator.engines.docker.engine import DockerEngine
from orchestrator.engines.one_node import OneNode
from orchestrator.inputs import job_inputs
from orchestrator.plan import catalog, jobs, spec_file
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.record import fingerprint
from orchestrator.record.results import Result
from orchestrator.record.run_folder import RunFolder
from orchestrator.run.attempt import RunContext
from orchestrator.run.crew import gather
from tests.support.checks import REFERENCE, ROOT
from tests.support.engine_cases import Silent

Measure = Callable[..., tuple[Result, Path]]

KNOWN = catalog.load(ROOT)
CELLS = [(framework.id, workload) for framework, _ in KNOWN.frameworks.values() for workload in framework.workloads]
NOT_BUILT = {"knet"}  # Debian and the Python package index have neither its base image nor its packages
TOLERANCE = 1e-3  # relative; rounding alone stays far below, a different formula does not
CLOSE = {"jax": 1e-4, "pytorch": 1e-4}


@functools.cache
def has_base(framework: str) -> bool:
    """Whether the framework's image can be built here."""
    if framework not in NOT_BUILT:
        return True
    base = images.base_reference(KNOWN.frameworks[framework][1])
    return not subprocess.run(["docker", "image", "inspect", base], capture_output=True, check=False).returncode


def measurement(engine: DockerEngine, results: Path) -> Measure:
    """A function that runs one cell, given by framework, workload and what differs from the smoke spec; each once."""
    done: dict[tuple[str, ...], tuple[Result, Path]] = {}

    def run(*cell: str) -> tuple[Result, Path]:
        if not has_base(cell[0]):
            pytest.skip(f"there is no base image for {cell[0]}")
        if cell not in done:
            done[cell] = run_cell(engine, results, *cell)
        result, output = done[cell]
        assert result.status == "ok", result.failure
        return result, output

    return run


def run_cell(engine: DockerEngine, results: Path, framework: str, workload: str, *settings: str) -> tuple[Result, Path]:
    """The result of one cell with the smoke spec and `settings` like `resnet50.variant=v1.5`, and its output folder."""
    run_spec = spec_file.load(
        ROOT / "configs" / "smoke.yaml", overrides=[spec_file.parse_setting(each) for each in settings]
    )
    chosen = run_spec.model_copy(update={"frameworks": (framework,), "workloads": (workload,)})
    folder, cache = RunFolder.create(results, "cells"), files.default_cache()
    here, inputs = OneNode(engine, cache=cache), job_inputs.Store(cache=cache, choice="synthetic")
    run = RunContext(
        catalog=KNOWN, engine=here.name, folder=folder, inputs=inputs, code=fingerprint.inspect(ROOT), cache=cache
    )
    (result,) = gather(here, run, spec=chosen, listener=Silent()).run(jobs.plan(chosen, KNOWN, "cpu"))
    return result, folder.path / f"{result.job.id}.output"


def assert_agreement(measure: Measure, framework: str, workload: str, *settings: str) -> None:
    """Check that the cell runs, and computes the losses or the features of the reference."""
    result, output = measure(framework, workload, *settings)
    expected, expected_output = measure(REFERENCE, workload, *settings)
    tolerance = CLOSE.get(framework, TOLERANCE)
    assert result.start is not None
    assert expected.start is not None
    assert result.start.denormals == expected.start.denormals
    if not WORKLOADS[workload].trains:
        found, wanted = features(output), features(expected_output)
        assert found.std() > 0.1  # a network that returns constants agrees with nothing
        assert np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max()
    else:
        assert len(result.figures.losses) == 5
        np.testing.assert_allclose(result.figures.losses, expected.figures.losses, rtol=tolerance)
        assert len(set(result.figures.losses)) == 5  # the weights move


def features(output: Path) -> np.ndarray:
    """What a job of ResNet-50 computed from the first batch."""
    found: np.ndarray = np.load(output / "features-0.npy")
    return found
