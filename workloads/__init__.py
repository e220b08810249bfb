"""Workloads: one folder per framework, one file per workload, started as `python -m workloads.<module>.<workload>`.

Importing this package is the first thing that happens in a job, before any framework loads: see common/startup.py.
"""

from workloads.common import startup  # noqa: F401  (imported for what it does)
