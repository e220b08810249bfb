"""docs/environment.md lists every environment variable that the program reads."""

import re

import pytest

from orchestrator.engines.docker import build_inputs
from orchestrator.engines.process import engine

READ = re.compile(r"environ(?:\.get|\.setdefault|\.pop)?[\[(]\"(\w+)\"\s*[\]),]")


@pytest.fixture(scope="module")
def listed(root):
    rows = [line for line in (root / "docs" / "environment.md").read_text().splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}


@pytest.fixture(scope="module")
def sources(root):
    return [path.read_text(encoding="utf-8") for path in (root / "orchestrator").rglob("*.py")]


def test_it_lists_exactly_the_variables_of_this_program(listed, sources):
    used = {name for text in sources for name in re.findall(r"ROSETTA_[A-Z_]*[A-Z]", text)}
    assert used == {name for name in listed if name.startswith("ROSETTA_")}


def test_it_lists_every_other_variable_that_is_read_by_name(listed, sources):
    read = {name for text in sources for name in READ.findall(text)}
    assert {"NO_COLOR", "DOCKER_HOST", "PYENV_ROOT"} <= read
    assert read <= listed


def test_it_lists_what_builds_and_jobs_take_over(listed):
    pip = {"PIP_" + option.upper().replace("-", "_") for option in build_inputs.PIP_OPTIONS}
    assert pip | {*build_inputs.PROXIES, *build_inputs.CERTIFICATES, *engine.INHERITED} <= listed
