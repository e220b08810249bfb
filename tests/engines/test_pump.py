"""A job's output reaches whoever reads it, and so does its end."""

import pytest

from orchestrator.engines.base import Output
from orchestrator.engines.pump import Pump

CHUNK = Output("stdout", b"x")


def heard(pump):
    return [output for output in pump.outputs() if output is not None]


def test_the_end_is_told_to_everybody_who_asks():
    """Who was interrupted in one loop over the output drains it in another."""
    pump = Pump(iter([CHUNK, CHUNK]))
    assert heard(pump) == [CHUNK, CHUNK]
    assert heard(pump) == []


def test_so_is_an_error():
    def source():
        yield CHUNK
        raise OSError("gone")

    pump = Pump(source())
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            heard(pump)
