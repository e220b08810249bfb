"""Pytest's side of the ledger: skips checks that have passed with the same inputs, and records those that pass.

A test belongs to a check by `@pytest.mark.check(...)`, see tests/support/checks.py. ROSETTA_CHECKS says which run:

    changed   those whose inputs differ from when they passed on this CPU, but for rare ones (the default)
    all       every check
    none      no check

A check is recorded when all of its tests were selected and passed; a test that fails or is skipped prevents it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator import files
from orchestrator.host import machine
from tests.support.ledger import COMMITTED, Check, Fingerprints, Ledger

MODES = ("changed", "all", "none")


class Checks:
    """The checks of one pytest session."""

    def __init__(self, root: Path, ledger: Ledger, mode: str, *, write: bool) -> None:
        self._root, self._ledger, self._mode, self._write = root, ledger, mode, write
        self._fingerprints = Fingerprints(root)
        self._whole_files = True  # False where single tests were asked for by name
        self._found: dict[str, tuple[Check, Path]] = {}  # by name, with the file of its tests
        self._names: dict[str, str] = {}  # id of a test → name of its check
        self._waiting: defaultdict[str, set[str]] = defaultdict(set)  # name → its tests that are not over
        self._unproven: set[str] = set()  # names of checks of which a test did not pass, or was not selected

    def due(self, check: Check) -> bool:
        """Whether the tests of a check are to run in this session."""
        return self._why_not(check) is None

    def _why_not(self, check: Check) -> str | None:
        """Why a check does not run; None when it does."""
        if self._mode == "none":
            return "checks are off: ROSETTA_CHECKS=none"
        date = self._passed(check)
        if check.always or self._mode == "all":
            return None
        if date is None:
            return "takes long; ROSETTA_CHECKS=all runs it" if check.rare else None
        return f"passed on {date} with the same inputs; ROSETTA_CHECKS=all repeats it"

    def _passed(self, check: Check) -> str | None:
        return self._ledger.passed(check, self._fingerprints.of(check))

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._unproven.update(check.name for item in items if (check := check_of(item)))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._whole_files = not any("::" in argument for argument in session.config.args)
        for item in session.items:
            if check := check_of(item):
                # Tests of a check in two files would be recorded as passed when one of the files is run.
                if self._found.setdefault(check.name, (check, item.path)) != (check, item.path):
                    raise pytest.UsageError(f"two checks, or two files of tests, are called {check.name!r}")
                self._names[item.nodeid] = check.name
                self._waiting[check.name].add(item.nodeid)

    def pytest_report_collectionfinish(self, items: Sequence[pytest.Item]) -> str | None:
        found = {check.name: check for item in items if (check := check_of(item))}
        due = sum(self.due(check) for check in found.values())
        return f"checks: {due} of {len(found)} run (ROSETTA_CHECKS={self._mode})" if found else None

    @pytest.hookimpl(tryfirst=True)  # before fixtures, which are what makes a check expensive
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        check = check_of(item)
        if check is None or (reason := self._why_not(check)) is None:
            return
        if self._write and (date := self._passed(check)):
            self._ledger.commit(check, self._fingerprints.of(check), date)
        pytest.skip(reason)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = self._names.get(report.nodeid)
        if name is None:
            return
        if not report.passed:
            self._unproven.add(name)
        if report.when == "teardown":
            self._waiting[name].discard(report.nodeid)
            if not self._waiting[name] and name not in self._unproven and self._whole_files:
                self._record(self._found[name][0])

    def _record(self, check: Check) -> None:
        fingerprint = self._fingerprints.of(check)
        if Fingerprints(self._root).of(check) != fingerprint:  # an input was edited while the check ran
            return
        date = self._ledger.record(check, fingerprint)
        if self._write:
            self._ledger.commit(check, fingerprint, date)


CHECKS = pytest.StashKey[Checks]()  # where the configuration of a session has them


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-ledger", action="store_true", help=f"write what passed into {COMMITTED}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "check(Check): part of an expensive check, which the ledger may leave out")
    mode = os.environ.get("ROSETTA_CHECKS") or MODES[0]
    if mode not in MODES:
        raise pytest.UsageError(f"ROSETTA_CHECKS is {mode!r}; it takes {', '.join(MODES)}")
    root = config.rootpath
    ledger = Ledger(root / COMMITTED, files.default_cache() / "checked", machine.inspect().cpu)
    checks = Checks(root, ledger, mode, write=config.getoption("--write-ledger"))
    config.stash[CHECKS] = checks
    config.pluginmanager.register(checks, "ledger-of-checks")


def check_of(item: pytest.Item) -> Check | None:
    """The check that a test belongs to, or None."""
    mark = item.get_closest_marker("check")
    return mark.args[0] if mark else None
