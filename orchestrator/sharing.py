"""Many results in a third of the memory: what results of a run have in common becomes one object. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from orchestrator.results import Result


def shared(results: Iterable[Result]) -> Iterator[Result]:
    """The same results; equal settings, environments, hosts, code and data of theirs are held once.

    Nobody may change them in place, which nobody does: a Result is frozen.
    """
    known: dict[str, Any] = {}

    def one(part: Any) -> Any:
        # A model's own repr takes ten times as long as its JSON.
        words = part.model_dump_json() if isinstance(part, BaseModel) else repr(part)
        return known.setdefault(f"{type(part).__name__} {words}", part)

    for result in results:
        told, job = result.provenance, result.job
        provenance = {name: one(getattr(told, name)) for name in ("environment", "code", "host", "data")}
        yield result.model_copy(
            update={
                "job": job.model_copy(update={"settings": one(job.settings), "env": one(job.env)}),
                "start": one(result.start),
                "provenance": told.model_copy(update=provenance),
            }
        )
