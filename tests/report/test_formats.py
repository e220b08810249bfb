"""The registry of report formats: what is a file there is a format of `report`."""

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.report import formats
from tests.support import published

COUNT = """
FILE_NAME = {file!r}

def write(content):
    yield f"{{len(content.results)}} results"
"""


@pytest.fixture
def added(tmp_path, monkeypatch):
    """Add a format of one file; `file` is where it goes without an option."""
    folder = tmp_path / "formats"
    folder.mkdir()
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(folder)])

    def add(name, file):
        (folder / f"{name}.py").write_text(COUNT.format(file=file))

    return add


def report(*arguments):
    return CliRunner().invoke(app.app, ["report", *map(str, arguments)])


def test_the_formats_there_are():
    assert formats.names() == ["csv", "html", "json", "markdown", "table"]
    assert {formats.DEFAULT, formats.PAGE} < set(formats.names())


def test_a_format_is_added_by_a_file(added, tmp_path):
    folder = published.unpack(tmp_path / "results")
    added("count_printed", None)
    done = report(folder, "--format", "count_printed")
    assert (done.exit_code, done.stdout) == (0, f"{len(published.runs()[0].results)} results"), done.output
    added("count_filed", "count.txt")
    done = report(folder, "--format", "count_filed")
    assert done.exit_code == 0, done.output
    assert "count.txt" in done.stdout.replace("\n", "")
    assert (folder / "count.txt").read_text().endswith(" results")


def test_a_format_that_does_not_exist_is_refused_with_those_that_do():
    done = report("--format", "xml")
    assert done.exception.exit_code == 2
    assert "csv, html, json, markdown or table" in done.exception.message
