"""Where work that takes long stands: a build, a download. What does the work reports it, a display shows it.

A report is cheap and prints nothing, so work may report as often as it likes. It is heard in the thread that reports.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

BYTES = "bytes"  # the unit of downloads, which a display shows as MB

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What is done now, and how far it is."""

    what: str  # "building image numpy (about 0.2 GB)"
    done: int = 0
    total: int | None = None  # None where it is not known
    unit: str = ""  # of done and total: BYTES, or a plural such as "reviews"
    at: str = ""  # in place of a unit, where `done` is the number of what is done now: "step"


Hear = Callable[["Activity | None"], None]
_hearers: list[Hear] = []


@contextlib.contextmanager
def heard(by: Hear) -> Iterator[None]:
    """Call `by` with every report while the block runs; None means that what was reported has ended."""
    _hearers.append(by)
    try:
        yield
    finally:
        _hearers.remove(by)


def report(activity: Activity | None) -> None:
    """Tell all who listen."""
    for hear in tuple(_hearers):
        hear(activity)


@contextlib.contextmanager
def reported(start: Activity) -> Iterator[Callable[..., None]]:
    """Report an activity while the block runs. It gets a function that reports what has changed: `now(done=3)`."""
    report(start)
    try:
        yield lambda **changes: report(replace(start, **changes))
    finally:
        report(None)


def counted(items: Iterable[_T], what: str, total: int, unit: str) -> Iterator[_T]:
    """Yield the items, and report how many have been used."""
    with reported(Activity(what=what, total=total, unit=unit)) as now:
        for number, item in enumerate(items, start=1):
            yield item
            now(done=number)
