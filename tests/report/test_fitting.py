"""Tables fit the terminal: no name and no figure is cut or broken, and what is left out is named."""

import io
import itertools
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from orchestrator.record import capsule
from orchestrator.report import fitting, published, tables, terminal
from tests.support import published as stored
from tests.support.paths import ROOT
from tests.support.results import result, trained

WIDTHS = (60, 80, 100, 200)
CAPSULES = sorted(stored.FOLDER.glob("*.json"))


def studies():
    return published.load(ROOT / "results" / "reference")


def shown(found, width):
    console = Console(width=width, record=True, file=io.StringIO())
    terminal.show(console, found, [])
    return console.export_text()


def words(text):
    return set(text.split())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", CAPSULES, ids=lambda path: path.stem)
def test_published_tables_fit_with_every_name_and_figure(path, width):
    results = [each for run in capsule.runs_in(path) for each in run.results]
    for table in tables.tables(results, studies()):
        text = shown([table], width)
        assert max(map(cell_len, text.splitlines())) <= width
        found = fitting.fitted(table.heads, list(table.texts()), width)
        left_out = re.search(r"Left out to fit: (.*?)\. A wider", " ".join(text.split()))
        assert (left_out[1].split(", ") if left_out else []) == list(found.left_out)
        for head, row in itertools.product(table.heads, list(table.texts())):
            if head.title not in found.left_out:
                assert words(row[table.heads.index(head)]) <= words(text)


@pytest.mark.parametrize("path", CAPSULES, ids=lambda path: path.stem)
def test_the_figures_of_2017_are_left_out_first(path):
    results = [each for run in capsule.runs_in(path) for each in run.results]
    for table in tables.tables(results, studies()):
        wide, *narrower = [
            fitting.fitted(table.heads, list(table.texts()), width).left_out for width in (200, 100, 80, 60)
        ]
        assert wide == ()
        published_columns = tuple(column.title for column in table.columns if column.title.startswith("2017"))
        for titles in filter(None, narrower):
            assert set(published_columns) <= set(titles)


def repeated(name, seconds, title=None):
    results = [trained(name, seconds + step, repeat=step) for step in range(1, 6)]
    jobs = [each.job.model_copy(update={"title": title or each.job.title}) for each in results]
    return [each.model_copy(update={"job": job}) for each, job in zip(results, jobs, strict=True)]


@pytest.mark.parametrize("width", WIDTHS)
def test_medians_with_intervals_fit(width, known):
    (table,) = tables.tables([*repeated("numpy", 12345.0, "Lasagne (Theano)"), *repeated("jax", 20000.0)], known)
    text = shown([table], width)
    assert max(map(cell_len, text.splitlines())) <= width
    assert "12348.0" in text
    assert re.search(r"± \d+\.\d+ \(n=5\)", text)  # an interval stays on one line
    assert "Lasagne" in text


def test_the_measured_time_comes_first_and_published_figures_last(known):
    (training,) = tables.tables([trained()], known)
    titles = [column.title for column in training.heads]
    assert titles == ["DL Library", "Training time (s)", "Images/s", "Test accuracy (%)", "2017 (%)", "2017 (s)"]


def test_the_column_that_sorts_is_marked(known):
    rates = [result(device=device, workload="resnet50", images_per_s=9.0) for device in ("cpu", "gpu")]
    training, inference = tables.tables([trained(), *rates], known)
    assert "Training time (s)▲" in shown([training], 200)
    assert re.search(r"Images/s GPU▼ +Images/s CPU +2017", shown([inference], 200))


def test_without_room_for_columns_a_row_is_a_list(known):
    made = trained()
    made = made.model_copy(update={"job": made.job.model_copy(update={"title": "x" * 50})})
    (table,) = tables.tables([made], known)
    text = shown([table], 60)
    assert "x" * 50 in text
    assert "  Training time (s): 100.0" in text
    assert max(map(cell_len, text.splitlines())) <= 60
