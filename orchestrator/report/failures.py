"""The jobs without figures, grouped by cause. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.record.results import Result


def by_cause(results: Iterable[Result]) -> list[list[Result]]:
    """The jobs without figures that have the same cause: one image that cannot be built fails several jobs."""
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        if result.status != "ok":
            reason = result.failure
            cause = (reason.kind, reason.message, reason.hint) if reason else ()
            groups.setdefault((result.status, *cause), []).append(result)
    return list(groups.values())
