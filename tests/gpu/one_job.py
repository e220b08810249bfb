"""A job of PyTorch's rows inside this process, for programs that look into it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from orchestrator import files
from orchestrator.inputs.job_inputs import Store
from orchestrator.plan import catalog, jobs, spec_file
from workloads.common import bench

ROOT = Path(__file__).resolve().parents[2]


def of(workload, precision, device, dataset, **settings):
    """A bench.Job with the study's settings, of which `settings` replaces some; its events go nowhere."""
    known = catalog.load(ROOT)
    wanted = {"frameworks": ["pytorch"], "workloads": [workload], "learning_curve": False}
    wanted |= {f"{workload}.{name}": value for name, value in settings.items()}
    overrides = [
        spec_file.Override(path=tuple(key.split(".")), value=value, origin="here") for key, value in wanted.items()
    ]
    spec = spec_file.load(ROOT / "configs" / "seed.yaml", frameworks=known.frameworks, overrides=overrides)
    (job,) = jobs.plan(spec, known, "cpu")
    inputs = Path(tempfile.mkdtemp())
    for name, path in Store(cache=files.default_cache(), choice=dataset).for_job(job).files.items():
        (inputs / name).symlink_to(path)
    document = {**job.for_workload(), "device": device, "precision": precision}
    return bench.Job(document, str(inputs), bench.Events(os.open(os.devnull, os.O_WRONLY)))
