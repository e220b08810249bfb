"""The reader of event streams: exact about bytes, strict about order, bounded in memory."""

import collections
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.record import events
from orchestrator.record.events import Lines, Reader, Violation
from tests.support.results import START

READY = {"event": "ready", "seq": 1, "t": 0.1, "load_s": 1.0, "build_s": 0.5, "compile_s": 0.0}
STEP = {"event": "step", "seq": 2, "t": 0.2, "epoch": 1, "step": 1, "samples": 64, "seconds": 0.1, "loss": 2.3}


def line(base, **changes):
    return json.dumps({**base, **changes}).encode()


def read(*lines):
    reader = Reader()
    return [reader.read(each) for each in lines]


def violation(*lines):
    with pytest.raises(Violation) as caught:
        read(*lines)
    return str(caught.value)


def test_events_come_out_as_they_went_in():
    start, _, step = read(line(START), line(READY), line(STEP))
    assert isinstance(start, events.Start)
    assert (step.epoch, step.samples, step.loss) == (1, 64, 2.3)


def test_unknown_fields_are_ignored_but_unknown_events_are_not():
    read(line(START, colour="blue"))
    assert "no event" in violation(line(START, event="finish"))


@pytest.mark.parametrize(
    "bad",
    [
        b"{",
        b"{}",
        b"[]",
        b"1",
        b"null",
        b'"start"',
        line(START).replace(b'"numpy"', b'"\xff"'),
        line(START, seq="0"),
        line(START, seq=-1),
        line(START, threads=0),
        line(START, threads=True),
        line(START, device="tpu"),
        line(START, version="x" * 201),
        line(START, t=float("nan")),
        line(START, t=float("inf")),
        line(START, t=-1),
        line(START, notes=["x"] * 21),
        line(START, versions={str(i): "1" for i in range(51)}),
        b'{"event":' + b"[" * 10_000,
        b'{"event":"start","seq":' + b"9" * 10_000 + b"}",
    ],
    ids=lambda bad: repr(bad[:40]),
)
def test_what_is_no_event_is_a_violation(bad):
    assert len(violation(bad)) < 600


def test_numbers_count_up_without_gaps():
    assert "has number 2, expected 1" in violation(line(START), line(STEP, seq=2))
    assert "has number 0, expected 1" in violation(line(START), line(START))


def test_the_stream_begins_with_start():
    assert "must begin with 'start'" in violation(line(STEP, seq=0))
    assert "must begin with 'start'" in violation(line(START), line(START, seq=1))


def test_nothing_follows_the_end():
    end = {"event": "end", "seq": 1, "t": 1.0}
    assert "'end' after the end" in violation(line(START), line(end), line(end, seq=2))
    error = {"event": "error", "seq": 1, "t": 1.0, "kind": "exception", "type": "E", "message": "m"}
    assert "'end' after the end" in violation(line(START), line(error), line(end, seq=2))


def test_epochs_count_up():
    epoch = {"event": "epoch", "seq": 1, "t": 1.0, "epoch": 2, "samples": 64, "seconds": 1.0, "loss": 1.0}
    assert "epoch 2 follows epoch 0" in violation(line(START), line(epoch))


def test_no_more_correct_than_scored():
    score = {"event": "score", "seq": 1, "t": 1.0, "samples": 10, "correct": 11, "seconds": 1.0}
    assert "more correct predictions than samples" in violation(line(START), line(score))


@given(st.lists(st.binary(max_size=30).filter(lambda b: b"\n" not in b), max_size=20), st.data())
def test_lines_do_not_depend_on_where_chunks_end(lines, data):
    stream = b"".join(each + b"\n" for each in lines) + b"rest"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    splitter = Lines()
    assert [out for chunk in chunks for out in splitter.feed(chunk)] == lines
    assert splitter.close() == b"rest"


def test_a_line_without_end_is_refused_before_it_fills_memory():
    splitter = Lines()
    chunks = itertools.repeat(b"x" * 65536, 100)
    with pytest.raises(Violation, match="longer than 1 MiB"):
        collections.deque(itertools.chain.from_iterable(map(splitter.feed, chunks)), maxlen=0)


def test_an_overlong_line_in_one_chunk_is_refused():
    with pytest.raises(Violation, match="longer than 1 MiB"):
        list(Lines().feed(b"x" * (2 << 20) + b"\n"))


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(START)) | st.text(max_size=5), inner, max_size=8),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode())))  # fmt: skip
def test_whatever_comes_is_an_event_or_a_violation(data):
    reader = Reader()
    try:
        reader.read(data)
    except Violation as error:
        assert len(str(error)) < 1000  # noqa: PT017  (what an untrusted program prints must not flood a message)
