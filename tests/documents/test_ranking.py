"""The chart in README: bars as long as their times, and words that follow what was measured."""

import re
import xml.etree.ElementTree as ET

import pytest

from orchestrator.report.tables import tables
from tests.documents import ranking
from tests.support.results import cnn, failed


def drawn(*results):
    (table,) = tables(results, {})
    picture = ET.fromstring(ranking.svg(table))  # noqa: S314  (made by the line itself)
    bars = [
        float(bar.get("width")) for bar in picture.iter("{http://www.w3.org/2000/svg}rect") if bar.get("class") == "bar"
    ]
    return bars, [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]


def test_a_bar_is_as_long_as_its_time():
    bars, words = drawn(cnn("numpy", 200.0), cnn("pytorch", 50.0))
    assert bars == pytest.approx([ranking.BAR_WIDTH / 4, ranking.BAR_WIDTH])
    assert [word for word in words if re.fullmatch(r"[\d.]+", word)] == ["50.0", "200.0"]


def test_one_run_each_is_said_and_no_row_is_called_the_fastest():
    _, words = drawn(cnn("numpy", 200.0), cnn("pytorch", 50.0))
    assert words[-1] == "One run each: the order is not proven."
    assert not any("fastest" in word for word in words)


def test_repeats_are_shown_with_their_interval():
    repeats = [cnn("numpy", 100.0 + number, repeat=number) for number in range(1, 6)]
    _, words = drawn(*repeats)
    assert words[-1] == "Medians, with half their 95 % intervals."
    assert any(re.fullmatch(r"103\.0 ± .* \(n=5\)", word) for word in words)


def test_a_framework_that_failed_has_no_bar():
    bars, words = drawn(cnn("pytorch", 50.0), failed("numpy"))
    assert len(bars) == 1
    assert "numpy" not in " ".join(words).lower()


def test_a_title_is_text():
    _, words = drawn(cnn("pytorch", 50.0, title="<b>&"))
    assert "<b>&" in words
