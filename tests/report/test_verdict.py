"""The verdict says no more than the statistics do, and says first what a reader must know."""

import io
import json

import pytest
from rich.console import Console

from orchestrator.host.neighbours import Neighbour
from orchestrator.report import html, page, tables, terminal, text, verdict
from tests.support.certificates import certificate, mine, ran
from tests.support.facts import with_facts
from tests.support.results import failed, measured, result, trained

FIVE = (1.0, 1.01, 0.99, 1.005, 0.995)


def repeats(framework, seconds, times=FIVE, **kwargs):
    return [trained(framework, seconds * each, repeat=n, **kwargs) for n, each in enumerate(times, start=1)]


def answers(results, known=verdict.certified.NONE):
    return [line.text for line in verdict.of(results, known) if line.workload and line.level == "answer"]


def about_all(results, known=verdict.certified.NONE):
    return [line.text for line in verdict.of(results, known) if not line.workload]


def disturbed(made):
    return made.model_copy(update={"neighbours": (Neighbour(name="stress", cpus=1.0),)})


def test_one_run_each_proves_no_order():
    found = answers([trained("numpy", 74.0), trained("pytorch", 68.5), trained("jax", 300.0)])
    assert found == [
        "Pytorch 68.5 s, then Numpy 1.08 times that (one run each: order not proven; `--repeats auto` decides it)."
    ]


def test_the_advice_is_given_once():
    inference = [result(name, "resnet50", images_per_s=rate) for name, rate in (("numpy", 20.0), ("jax", 30.0))]
    training, rates = answers([trained("numpy", 74.0), trained("pytorch", 68.5), *inference])
    assert "`--repeats auto`" in training
    assert rates == "Jax 30.0 images/s, 1.50 times as fast as the next, Numpy (one run each: order not proven)."


def test_the_option_in_the_advice_is_code_in_markdown_and_no_name_is():
    results = [trained("numpy", 74.0), trained("pytorch", 68.5)]
    shown = text.markdown([], verdict=verdict.of(results, verdict.certified.NONE))
    assert "order not proven; `--repeats auto` decides it" in shown
    line = verdict.VerdictLine(workload="", level="answer", text="`x` won")
    assert "\\`x\\` won" in text.markdown([], verdict=[line])


def test_a_decided_order_names_the_fastest_with_the_interval():
    (found,) = answers([*repeats("numpy", 120.0), *repeats("pytorch", 100.0), *repeats("jax", 300.0)])
    assert found.startswith("Pytorch 100.0 s is the fastest (median of 5 runs): Numpy 120.0 s takes 1.20 times (1.1")
    assert found.endswith(") as long.")


def test_a_rate_is_the_right_way_round():
    def rates(name, rate):
        return [result(name, "resnet50", images_per_s=rate * each, repeat=n) for n, each in enumerate(FIVE, start=1)]

    (found,) = answers([*rates("numpy", 20.0), *rates("jax", 24.0)])
    assert found.startswith("Jax 24.0 images/s is the fastest (median of 5 runs): 1.20 times (1.1")
    assert found.endswith(") as fast as Numpy 20.0 images/s.")


def test_rows_that_are_alike_are_a_tie():
    (found,) = answers([*repeats("numpy", 120.0), *repeats("pytorch", 100.0), *repeats("jax", 100.5)])
    assert found.startswith("Pytorch 100.0 s and Jax 100.5 s: the same within 5 %. Numpy 120.0 s takes 1.20")
    assert "fastest" not in found


@pytest.mark.parametrize(("count", "why"), [(2, "fewer than 5 runs each"), (5, "the intervals overlap")])
def test_an_undecided_order_says_why(count, why):
    wide = (0.8, 1.2, 1.0, 0.9, 1.1)[:count]
    (found,) = answers([*repeats("numpy", 102.0, wide), *repeats("pytorch", 100.0, wide)])
    assert found.startswith("Order not proven: Pytorch 100.0 s and Numpy 102.0 s (" + why)
    assert "fastest" not in found


def test_one_run_of_one_row_and_several_of_another_prove_no_order():
    (found,) = answers([trained("numpy", 50.0), *repeats("pytorch", 100.0)])
    assert found.startswith("Order not proven: Numpy 50.0 s and Pytorch 100.0 s (fewer than 5 runs each")


def test_a_row_alone_is_ranked_with_nothing():
    assert answers([trained("numpy", 50.0)]) == ["Numpy 50.0 s (one run)."]


def test_a_disturbed_row_is_never_first():
    results = [disturbed(trained("numpy", 50.0)), trained("pytorch", 100.0)]
    assert answers(results) == ["Pytorch 100.0 s (one run). Not ranked, because disturbed: Numpy 50.0 s."]
    assert about_all(results) == ["2 of 2 cells were not verified; 1 job was disturbed."]


@pytest.mark.parametrize(
    "change",
    [{"cpu": "CPU Y"}, {"engine": "process"}, {"source": "synthetic"}, {"device": "gpu"}],
)
def test_rows_under_other_conditions_are_not_ranked_against_each_other(change):
    found = answers([trained("numpy", 50.0), trained("pytorch", 100.0, **change)])
    assert len(found) == 2
    assert found[0].endswith("Numpy 50.0 s (one run).")
    assert found[1].endswith("Pytorch 100.0 s (one run).")
    assert found[0] != "Numpy 50.0 s (one run)."  # the conditions are named


def test_rows_on_other_data_of_the_same_name_are_not_ranked_against_each_other():
    other = trained("pytorch", 100.0)
    data = other.provenance.data.model_copy(update={"fingerprint": "g"})
    assert len(answers([trained("numpy", 50.0), with_facts(other, data=data)])) == 2


def test_a_score_out_of_its_range_is_said():
    made = trained("numpy", 50.0)
    made = made.model_copy(update={"job": made.job.model_copy(update={"accuracy": (0.8, 0.9)})})
    lines = [line for line in verdict.of([made]) if line.level == "caution"]
    assert [line.text for line in lines] == ["Numpy: accuracy of 76.5 % is not within the expected 80 to 90 %."]
    assert {line.workload for line in lines} == {"cnn"}


def test_what_was_verified_is_counted():
    results = [ran(trained()), ran(trained("numpy")), ran(trained("jax")), trained("gluon")]
    known = mine(results, certificate(), certificate("numpy"), certificate("jax", "diverges"))
    assert about_all(results, known) == [
        "2 of 4 cells compute the same as the reference; 1 differs from the reference; 1 was not verified."
    ]
    assert [line.text for line in verdict.of(results, known) if line.level == "caution"] == [
        "Jax: differs from the reference (certificate of 2026-11-23): the loss of step 3 is off."
    ]


def test_data_that_are_not_official_are_named():
    synthetic, imported = (about_all([trained(source=source)]) for source in ("synthetic", "imported"))
    assert synthetic[-1].startswith("SYNTHETIC DATA (cifar10): times are real")
    assert imported[-1].startswith("Imported data (cifar10)")
    assert len(about_all([trained()])) == 1


def test_jobs_without_figures_are_counted():
    results = [trained(), failed(), failed("jax", status="skipped")]
    assert about_all(results)[-1] == "2 of 3 jobs without figures: 1 failed, 1 skipped."
    assert about_all([failed()]) == ["1 of 1 job failed."]
    assert answers([failed()]) == []
    assert verdict.of([]) == ()


def test_every_form_shows_the_verdict_first(known):
    results = [trained("numpy", 74.0), trained("pytorch", 68.5)]
    lines = verdict.of(results)
    first = lines[0].text
    found = tables.tables(results, known)
    console = Console(width=200, record=True, file=io.StringIO())
    terminal.show(console, found, results, verdict=lines)
    shown = console.export_text()
    assert shown.index(first) < shown.index("DL Library")
    written = text.markdown(found, verdict=lines)
    assert written.startswith("- **Training a CNN (VGG-style) on CIFAR-10**: Pytorch 68.5 s, then Numpy 1.08 times")
    document = json.loads(text.json_text(found, results))
    assert document["verdict"][0] == {"workload": "cnn", "level": "answer", "text": first}
    screen = html.render(page.build([measured(*results)], known, {}))
    assert screen.index("then Numpy 1.08 times that") < screen.index("<table")


def test_no_title_leaves_its_sentence():
    hostile = "\x1b[31m✓ evil\nsecond line" + 100 * "x"
    made = trained("numpy", 74.0)
    made = made.model_copy(update={"job": made.job.model_copy(update={"title": hostile})})
    for line in verdict.of([made]):
        assert not set(line.text) & set("\x1b\n✓")
        assert len(line.text) < 200
