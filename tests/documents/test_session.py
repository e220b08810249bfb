"""The recorder of the terminal session in README."""

import re
import sys

import pytest

from tests.documents import session

PROGRAM = """
import os, sys
print(os.get_terminal_size().columns, sys.stdout.isatty())
print("first try", end="", flush=True)
print("\\r\\x1b[2Kworking", end="", flush=True)
print("\\rdone   ")
print("\\x1b[?25lbar 1\\nbar 2\\n\\x1b[1A\\x1b[2K\\x1b[1A\\x1b[2K\\x1b[32mall bars\\x1b[0m\\x1b[?25h")
"""


def test_a_program_is_recorded_on_a_terminal_with_what_stays_on_its_screen():
    code, written = session.run([sys.executable, "-c", PROGRAM], columns=60)
    assert code == 0
    assert session.screens(written)[1] == [
        "60 True",
        "done   ",
        "\x1b[32mall bars\x1b[0m",
    ]


def test_the_exit_code_is_known():
    assert session.run([sys.executable, "-c", "raise SystemExit(3)"])[0] == 3


@pytest.mark.parametrize("sequence", ["\x1b[5;5H", "\x1b[2J", "\x1b(B", "a\x1b[3A"])
def test_what_is_not_understood_is_an_error(sequence):
    with pytest.raises(ValueError, match="a terminal would have to understand"):
        session.screen(sequence)


def test_the_picture_has_the_colours_and_all_screens():
    drawn = session.svg("some command", [["\x1b[31mred\x1b[0m"], ["end"]], columns=40)
    words = re.sub(r"<[^>]*>", " ", drawn).replace("&#160;", " ")
    assert re.search(r"\$ some command.*red.*the same terminal, later.*end", words, re.DOTALL)
    assert "#cc555a" in drawn  # rich's red
