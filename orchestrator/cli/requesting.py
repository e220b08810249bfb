"""Converts options of the command line to a Request for run/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator import files
from orchestrator.cli import place
from orchestrator.cli.options import python_option
from orchestrator.plan.spec_file import Override, parse_setting
from orchestrator.run.preparation import Request

# The keys of a spec whose option has another name; every other option has the name of its key.
SPEC_KEYS = {"--framework": "frameworks", "FRAMEWORK": "frameworks", "--workload": "workloads"}


def overrides(options: Mapping[str, object], assignments: Sequence[str] | None = None) -> list[Override]:
    """The values of the spec that options change. Raises UsageError.

    `options` are values by the name of their option, None or an empty list if it was not given; `assignments` are
    those of --set, KEY=VALUE.
    """
    changed = [
        Override(path=(SPEC_KEYS.get(name, name.removeprefix("--")),), value=value, origin=name)
        for name, value in options.items()
        if value is not None and value != []
    ]
    return [*changed, *map(parse_setting, assignments or ())]


def base_request(results: Path, pythons: Sequence[str] | None) -> Request:
    """The part of a request that all verbs that run jobs share. Raises UsageError."""
    return Request(
        root=place.current().root,
        results=results,
        cache=files.default_cache(),
        pythons=dict(map(python_option, pythons or ())),
    )
