"""Records a terminal session of a real run for README: python -m tests.documents.session writes docs/session.svg.

The command runs on a pseudo-terminal, exactly as a user would start it. The picture shows two screens: one while the
jobs run, and the one at the end.
"""

import fcntl
import io
import itertools
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from tests.support.paths import ROOT

COMMAND = "rosetta bench --framework numpy --framework pytorch --workload resnet50 --set resnet50.batch=1"
TARGET = ROOT / "docs" / "session.svg"
COLUMNS, ROWS = 100, 50
PAUSE = 0.03  # seconds: the display is drawn ten times a second
MOMENT = 0.7  # when the screen in the middle is taken, as a part of the running time
TOKEN = re.compile(r"\x1b\[(?P<number>\??\d*)(?:;\d+)*(?P<kind>[A-Za-z])|(?P<end>[\r\n])|(?P<text>[^\x1b\r\n]+|\x1b)")


def run(argv, *, columns=COLUMNS, rows=ROWS, cwd=ROOT):
    """Run a command on a terminal of its own. Returns its exit code and what it wrote, as (seconds, bytes)."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES", "NO_COLOR"}}
    environment |= {"TERM": "xterm-256color", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    began = time.monotonic()
    with subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=environment, start_new_session=True
    ) as process:
        os.close(theirs)
        written = []
        while part := _read(ours):
            written.append((time.monotonic() - began, part))
    os.close(ours)
    return process.returncode, written


def _read(terminal):
    """What was written to the terminal since the last call; nothing at its end."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux reports the end of a terminal as an error
        return b""


def screen(written):
    """The lines that a terminal shows after some output, with their colours. It has no limit on their number.

    It knows what rich sends: new lines, moves to earlier lines, and erasing of whole lines. ValueError for others.
    """
    lines, row, overwrite = [""], 0, False
    for token in TOKEN.finditer(written):
        kind, number = token["kind"], token["number"]
        if token["end"] == "\n":
            row, overwrite = row + 1, False
            lines += [""] * (row + 1 - len(lines))
        elif token["end"] == "\r":
            overwrite = True
        elif kind == "A":
            row -= int(number or 1)
        elif kind == "K":
            lines[row], overwrite = "", False
        elif kind == "m" or token["text"]:
            lines[row], overwrite = ("" if overwrite else lines[row]) + token[0], False
        elif kind not in {"h", "l"}:
            raise ValueError(f"a terminal would have to understand {token[0]!r}")
        if token["text"] == "\x1b" or row < 0:
            raise ValueError(f"a terminal would have to understand {written[token.start() : token.end() + 10]!r}")
    while lines and not Text.from_ansi(lines[-1]).plain.strip():
        lines.pop()
    return lines


def screens(written):
    """The screen in the middle of a run, and the last one."""
    parts = [part for _, part in written]
    moment = MOMENT * written[-1][0]
    # What was written at once belongs together: without a pause, a line or a bar would be half drawn.
    pauses = [
        place
        for place, ((before, _), (after, _)) in enumerate(itertools.pairwise(written), start=1)
        if before <= moment and after - before > PAUSE
    ]
    early = parts[: max(pauses, default=0)]
    return [screen(b"".join(each).decode()) for each in (early, parts)]


def svg(command, shown, *, columns=COLUMNS):
    """A picture of screens, one below the other. It loads nothing from elsewhere."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for place, lines in enumerate(shown):
        if place:
            console.rule("the same terminal, later", style="dim")
        console.print(Text(f"$ {command}", style="bold"))
        for line in lines:
            console.print(Text.from_ansi(line), overflow="fold")
    style = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="Rosetta", code_format=style, unique_id="session")


def main():
    code, written = run(shlex.split(COMMAND))
    if code:
        sys.exit(f"{COMMAND!r} ended with exit code {code}:\n{b''.join(part for _, part in written).decode()}")
    TARGET.write_text(svg(COMMAND, screens(written)), encoding="utf-8")


if __name__ == "__main__":
    main()
