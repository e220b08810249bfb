"""Documents that name tests name tests that exist."""

import re

import pytest


@pytest.fixture(scope="session")
def tests_there_are(root):
    sources = [path.read_text() for path in (root / "tests").rglob("*.py")]
    return {name for source in sources for name in re.findall(r"def ((?:test|check)_\w+)", source)}


def test_every_fault_is_injected_by_a_test(root, tests_there_are):
    rows = [line for line in (root / "docs" / "reliability.md").read_text().splitlines() if line.startswith("| ")]
    faults = [row for row in rows if not row.endswith("| test |")]
    assert len(faults) > 40
    for row in faults:
        named = re.findall(r"`((?:test|check)_\w+)`", row.rsplit("|", 2)[1])
        assert named, row
        assert set(named) <= tests_there_are, row
