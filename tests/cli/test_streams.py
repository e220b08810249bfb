"""A screen that lacks characters, or that is lost, costs no result and shows no traceback."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli import streams

RUN = "results/published/intel-xeon-2-cpus-quick.json"


@pytest.fixture
def start(root, tmp_path):
    """Starts the command line; keyword arguments are those of Popen, and variables of the environment."""

    def call(*arguments, variables=None, **kwargs):
        environment = {**os.environ, "ROSETTA_CACHE": str(tmp_path), "COLUMNS": "120", **(variables or {})}
        argv = [sys.executable, "-m", "orchestrator", *arguments]
        return subprocess.Popen(argv, cwd=root, env=environment, **kwargs)

    return call


def ended(child):
    """Exit code, stdout and stderr, as bytes."""
    out, err = child.communicate(timeout=120)
    assert b"Traceback" not in (err or b"")
    return child.returncode, out, err


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1", "gbk", "euc-jp", "cp437", "utf-8"])
def test_a_report_is_shown_in_any_encoding(start, encoding):
    child = start("report", RUN, stdout=-1, stderr=-1, variables={"PYTHONIOENCODING": encoding})
    code, out, err = ended(child)
    text = out.decode(encoding)
    assert (code, err) == (0, b"")
    assert ("─────" if encoding == "utf-8" else "-----") in text
    assert "PyTorch " in text
    assert "39.2" in text
    assert "?" not in text.replace("Fused kernel?", "").replace("kernel?", "").replace("cuDNN?", "")


def test_the_locale_c_gets_ascii(start):
    variables = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    code, out, _ = ended(start("report", RUN, stdout=-1, stderr=-1, variables=variables))
    assert code == 0
    assert b"PyTorch " in out
    assert b"-----" in out
    out.decode("ascii")


@pytest.mark.parametrize("arguments", [["bench", "nope.yaml"], ["report", "nope"], ["list", "--nope"]])
def test_an_error_is_shown_in_any_encoding(start, arguments):
    code, _, err = ended(start(*arguments, stdout=-1, stderr=-1, variables={"PYTHONIOENCODING": "latin-1"}))
    assert code in {2, 3, 8}
    assert err.decode("latin-1").strip()


FULL = [
    ["report", RUN],
    ["report", RUN, "--format", "csv"],
    ["report", RUN, "--format", "json"],
    ["list", "--json"],
    ["--help"],
    ["bench", "--help"],
]


@pytest.mark.parametrize("arguments", FULL, ids=" ".join)
def test_output_that_is_lost_has_its_own_exit_code_and_one_line(start, arguments):
    with Path("/dev/full").open("wb") as full:
        code, _, err = ended(start(*arguments, stdout=full, stderr=-1))
    assert (code, err.decode()) == (74, "error: the output is incomplete: No space left on device\n")


def test_a_verdict_keeps_its_exit_code_when_output_is_lost(start):
    with Path("/dev/full").open("wb") as full:
        assert ended(start("bench", "nope.yaml", stdout=full, stderr=full))[0] == 2


@pytest.mark.parametrize("arguments", FULL, ids=" ".join)
def test_a_reader_that_ends_early_is_no_error(start, arguments):
    reader, writer = os.pipe()
    child = start(*arguments, stdout=writer, stderr=-1)
    os.close(reader)  # before the child has started: every write fails
    os.close(writer)
    code, _, err = ended(child)
    assert (code, err) == (0, b"")


def test_closed_streams_are_no_error(start):
    def close():
        for descriptor in range(3):
            os.close(descriptor)

    child = start("list", preexec_fn=close)
    assert child.wait(120) == 0


def test_a_terminal_that_is_gone_is_no_crash(start):
    ours, theirs = pty.openpty()
    child = start("list", stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    os.close(ours)  # before the child has printed: its writes fail with EIO
    assert child.wait(120) == 74


def test_a_non_blocking_stream_loses_nothing(start):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    child = start("report", RUN, "--format", "json", stdout=writer, stderr=-1)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        out = stream.read()
    assert ended(child)[0] == 0
    assert len(out) > 1 << 16  # more than the pipe holds
    assert out.endswith(b"}\n")


@given(st.text())
def test_any_text_can_be_written_in_any_encoding(text):
    for encoding in ("ascii", "latin-1", "gbk", "euc-jp", "shift-jis", "koi8-r", "utf-8"):
        rest = iter(text.encode(encoding, streams.ERRORS).decode(encoding))
        assert all(character in rest for character in text if character.isascii())  # in the same order


def test_a_report_and_a_capsule_can_go_to_stdout(start):
    for arguments in (["--format", "html", "-o", "-"], ["--format", "html", "-o", "/dev/stdout"]):
        code, out, _ = ended(start("report", RUN, *arguments, stdout=-1, stderr=-1, variables={"LC_ALL": "C"}))
        assert code == 0
        assert out.startswith(b"<!doctype html>")
        assert out.decode().rstrip().endswith("</html>")  # UTF-8, and nothing after it
    code, out, _ = ended(start("report", RUN, "--capsule", "-", stdout=-1, stderr=-1))
    assert code == 0
    assert json.loads(out)["kind"] == "capsule"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-o", "/dev/full"], 8, "/dev/full: cannot be written: No space left on device"),
        (["-o", "."], 8, ".: cannot be written: Is a directory"),
        (["-o", "missing/report"], 8, "cannot be written: there is no folder "),
        (["--capsule", "/dev/full"], 8, "/dev/full: cannot be written: No space left on device"),
        (["-o", "-", "--open"], 2, "--open needs a file"),
        (["-o", "x", "--capsule", "x"], 2, "would both be written to x"),
    ],
)
def test_an_output_that_cannot_be_written_is_one_line(start, arguments, code, words):
    found, _, err = ended(start("report", RUN, *arguments, stdout=-1, stderr=-1))
    assert found == code
    assert words in err.decode()
    assert len(err.decode().splitlines()) == 2


@pytest.mark.parametrize(
    ("variables", "colored"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_an_error_is_in_colour_on_a_terminal_that_allows_it(monkeypatch, variables, colored):
    for name, value in ({"NO_COLOR": "", "TERM": "xterm"} | variables).items():
        monkeypatch.setenv(name, value)
    leader, follower = pty.openpty()
    with open(follower, "w") as terminal:  # noqa: PTH123  (a descriptor)
        monkeypatch.setattr(sys, "stderr", terminal)
        streams.print_error("error: wrong", "red")
        written = os.read(leader, 100)
    os.close(leader)
    assert (b"\x1b[31m" in written) == colored
    assert b"error: wrong" in written
