"""A job's output reaches its reader, and so does its end."""

import pytest

from orchestrator.engines.base import Output
from orchestrator.engines.pump import Pump

CHUNK = Output("stdout", b"x")


def heard(pump):
    return [output for output in pump.outputs() if output is not None]


def test_every_reader_sees_the_end():
    """Who was interrupted in one loop over the output drains it in another."""
    pump = Pump(iter([CHUNK, CHUNK]))
    assert [each.data for each in heard(pump)] == [CHUNK.data, CHUNK.data]
    assert heard(pump) == []


def test_so_is_an_error():
    def source():
        yield CHUNK
        raise OSError("gone")

    pump = Pump(source())
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            heard(pump)
