"""Reads the Trace of a job from its artifacts. The files come from a container, so everything is validated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.inputs import npy, weights
from orchestrator.judge import parity
from orchestrator.judge.parity import Trace
from orchestrator.record.figures import TIMED_FEATURES
from orchestrator.record.results import Result
from orchestrator.record.run_folder import RunFolder

TIMED = "timed-0.npy"  # the artifact with the features of the first image in the first timed pass
MAX_BYTES = 32 << 20  # of one array; the embedding in float64 has 30 MB


def read(folder: RunFolder, result: Result) -> Trace:
    """The trace of a job. A missing or invalid probe is None; an update of a wrong shape is left out."""
    workload = result.job.declaration
    probe = _array(folder, result, workload.probe)
    if probe is not None and probe.ndim != 2:
        probe = None
    if not workload.trains:
        return Trace(losses=(), probe=probe)
    updates = {}
    for name, initial in weights.initial_weights(workload.name, result.job.seed, result.job.settings).items():
        found = _array(folder, result, f"weights-1.{name}.npy")
        if found is not None and found.shape == initial.shape:
            updates[name] = found - initial
    probe = None if probe is None else parity.log_probabilities(probe)
    return Trace(losses=result.figures.losses, probe=probe, updates=updates, scored=result.figures.test_samples)


def timed_features(folder: RunFolder, result: Result) -> tuple[float, ...]:
    """TIMED_FEATURES of the first image in the first timed pass, evenly spaced; empty if the job sent no valid ones."""
    found = _array(folder, result, TIMED)
    return () if found is None else some_of(found)


def some_of(features: NDArray[np.float64]) -> tuple[float, ...]:
    """TIMED_FEATURES of the first image, evenly spaced; empty where there are fewer."""
    if features.ndim != 2 or not len(features) or features.shape[1] < TIMED_FEATURES:
        return ()
    return tuple(map(float, features[0, :: features.shape[1] // TIMED_FEATURES][:TIMED_FEATURES]))


def _array(folder: RunFolder, result: Result, name: str) -> NDArray[np.float64] | None:
    """An artifact of finite floating point numbers; None if it is missing or not valid."""
    if name not in result.figures.artifacts:
        return None
    try:
        array: NDArray[Any] = npy.open_array(folder.path / f"{result.job.id}.output" / name)
    except (OSError, ValueError):
        return None
    if array.dtype.kind != "f" or not 0 < array.nbytes <= MAX_BYTES:
        return None
    numbers = np.array(array, np.float64)
    return numbers if np.isfinite(numbers).all() else None
