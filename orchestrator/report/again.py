"""The commands that measure a job again, for a reader of the report to copy. Pure."""

from __future__ import annotations

import json
import re
import shlex

from orchestrator.record.results import Result

BASE = "quick"  # any spec works: the options below set every value that decides the outcome


def commands(result: Result) -> tuple[str, ...]:
    """Shell commands: check out the recorded commit, if the result has one; run one job with the same settings."""
    job, code = result.job, result.provenance.code
    values = {
        "seed": job.seed,
        "precision": job.precision,
        "trace": job.trace,
        "learning_curve": job.learning_curve,
        "limits.timeout": job.timeout,
        "limits.silence": job.silence,
        "limits.memory": job.memory,
        "limits.cpus": job.cpus,
        **{f"{job.workload}.{key}": value for key, value in job.settings.items()},
    }
    options = [("--framework", job.framework), ("--workload", job.workload), ("--device", job.device)]
    if job.gpus:
        options.append(("--gpu", "all" if len(job.gpus) > 1 else job.gpus[0]))
    options.append(("--engine", result.provenance.local_engine))
    if result.provenance.data is not None and job.declaration.trains:
        options.append(("--dataset", result.provenance.data.source))
    for key, value in values.items():
        if value is not None:
            options.append(("--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"))
    bench = " \\\n  ".join([f"rosetta bench {BASE}", *map(shlex.join, options)])
    commit = code.git_commit
    is_exact = commit is not None and re.fullmatch(r"[0-9a-f]{40}", commit) and not code.git_dirty
    return (*([f"git checkout {commit}"] if is_exact else []), bench)
