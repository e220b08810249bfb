"""The inputs of a training so small that any framework ends it in a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.inputs import weights

SAMPLES, BATCH = 24, 8
COUNTS = {"epochs": 1, "batch": BATCH, "train_samples": SAMPLES, "test_samples": SAMPLES}
SETTINGS = {
    "cnn": {"lr": 0.01, "momentum": 0.9, "dropout_conv": 0.25, "dropout_dense": 0.5},
    "rnn": {"lr": 0.001, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
}


def write_inputs(workload: str, folder: Path) -> None:
    """Write what the job finds below BENCH_INPUTS, and settings.json."""
    draw = np.random.default_rng(1)
    for split in ("train", "test"):
        images = draw.integers(0, 256, (SAMPLES, 3, 32, 32), np.uint8)
        reviews = draw.integers(0, 30000, (SAMPLES, 150), np.int32)
        np.save(folder / f"x_{split}.npy", images if workload == "cnn" else reviews)
        np.save(folder / f"y_{split}.npy", draw.integers(0, 2, SAMPLES, np.int32))
    np.save(folder / "order.npy", np.arange(SAMPLES, dtype=np.int32)[None])
    arrays: dict[str, Any] = dict(weights.initial_weights(workload, seed=1))
    np.savez(folder / "weights.npz", **arrays)
    (folder / "settings.json").write_text(json.dumps({**COUNTS, **SETTINGS[workload]}))
    folder.chmod(0o755)
