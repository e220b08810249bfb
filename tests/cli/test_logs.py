"""Where log messages go: to the terminal, and to the log file of a run."""

import logging
import re

import pytest

from orchestrator.cli import logs
from orchestrator.cli.screen import Screen
from orchestrator.errors import StoreError

LOG = logging.getLogger("orchestrator.somewhere")


def talk():
    LOG.debug("a fine point")
    LOG.info("a detail")
    LOG.warning("a warning")


@pytest.mark.parametrize(("verbose", "details"), [(False, 0), (True, 1)])
def test_a_person_sees_warnings_and_asks_for_details(verbose, details, capsys):
    with Screen(verbose=verbose):
        talk()
    shown = capsys.readouterr()
    assert "┃ a warning" in shown.err
    assert "note" in shown.err
    assert shown.err.count("a detail") == details
    assert "a fine point" not in shown.err
    assert not shown.out


def test_nothing_is_shown_twice_and_nothing_after_the_end(capsys):
    for _ in range(2):
        with Screen():
            LOG.warning("a warning")
    LOG.info("a detail")
    assert capsys.readouterr().err.count("a warning") == 2


@pytest.fixture
def terminal(monkeypatch, capsys):
    """Act as on a terminal; what was shown, line by line, without colours."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    return lambda: [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in capsys.readouterr().err.splitlines()]


def test_a_warning_appears_above_the_bars(terminal):
    with Screen() as screen, screen.live() as listener:
        listener.preparing("an environment")
        LOG.warning("a warning")
    lines = terminal()
    (warned,) = (number for number, line in enumerate(lines) if "a warning" in line)
    assert any("preparing an environment" in line for line in lines[warned + 1 :])


def test_output_of_builds_is_no_progress(terminal):
    """It is for the log file, and for --verbose."""
    with Screen() as screen, screen.live() as listener:
        listener.preparing("an environment")
        LOG.info("#6 0.566 Collecting numpy")
        LOG.warning("a warning")
    assert "Collecting numpy" not in "".join(terminal())


def test_a_run_keeps_all_messages_those_before_its_folder_too(tmp_path):
    with Screen():
        LOG.warning("before")
        with logs.in_folder(tmp_path):
            talk()
        with logs.in_folder(tmp_path):  # as --resume does
            LOG.info("again")
    kept = (tmp_path / "orchestrator.log").read_text().splitlines()
    assert [line.rpartition("] ")[2] for line in kept] == ["before", "a fine point", "a detail", "a warning", "again"]
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING orchestrator\.somewhere \[MainThread\] before", kept[0]
    )


def test_a_log_file_that_cannot_be_made_is_an_error(tmp_path):
    with pytest.raises(StoreError, match=r"orchestrator\.log: cannot be written"), logs.in_folder(tmp_path / "nowhere"):
        talk()


def test_a_log_file_that_cannot_be_written_any_more_is_one_warning(tmp_path, capsys):
    (tmp_path / "orchestrator.log").symlink_to("/dev/full")
    with Screen(), logs.in_folder(tmp_path):
        talk()
        talk()
    shown = re.sub(r"\s*┃\n┃ ", " ", capsys.readouterr().err)
    assert shown.count("cannot be written") == 1
    assert shown.count("a warning") == 2
