"""The HTML report: what it shows is a pure function of results, and nothing in a result can get out of its place."""

import dataclasses
import html.parser
import re
import shlex
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import StoreError
from orchestrator.host.neighbours import Neighbour
from orchestrator.host.peak import Peak
from orchestrator.plan import catalog, jobs, spec_file
from orchestrator.plan.jobs import Job
from orchestrator.record.events import Epoch, Step
from orchestrator.report import again, curves, page, sources
from orchestrator.report import html as writer
from orchestrator.report.charts import drawing, style
from orchestrator.text import clip, plain
from tests.support import published as real
from tests.support.facts import with_facts
from tests.support.results import HOSTILE, cnn, failed, measured, result, trained, with_epochs

UNSEEN = ("Cc", "Cs", "Zl", "Zp")  # control characters, surrogates, separators of lines and paragraphs
MAX_BYTES = 3_000_000


@pytest.fixture(scope="session")
def published(root):
    """The page of the real results that README shows."""
    from orchestrator.report import collected, formats

    return "".join(formats.load("html").write(collected.of_runs(real.shown(), root)))


class Reading(html.parser.HTMLParser):
    """What a browser would make of the file: elements, attributes, text outside of scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.attributes, self.scripts, self.text = [], [], [], []
        self._in = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(tag, *attr) for attr in attrs]
        self._in = tag
        if tag == "script":
            self.scripts.append((dict(attrs), []))

    def handle_endtag(self, tag):
        self._in = None

    def handle_data(self, data):
        (self.scripts[-1][1] if self._in == "script" else self.text).append(data)


def test_the_page_says_what_the_tables_say(known):
    only = page.build([measured(cnn(), cnn("numpy", 50.0), failed("caffe2"))], known, {})
    (section,) = only.sections
    assert [row.cells[0].text for row in section.rows] == ["Numpy", "Pytorch", "Caffe2 (failed: exception)"]
    assert [row.status for row in section.rows] == ["ok", "ok", "failed"]
    assert section.rows[1].cells[4].text == "78"  # 2017
    assert only.statuses == ("ok", "failed")
    assert [cell.id for cell in only.cells] == [row.cell for row in section.rows]


def test_cells_sort_as_numbers_and_what_was_not_measured_has_no_key(known):
    band = {"accuracy": (0.9, 0.95)}
    doubtful = cnn("caffe2", 1234.5)
    doubtful = doubtful.model_copy(update={"job": doubtful.job.model_copy(update=band)})
    (section,) = page.build([measured(doubtful, failed())], known, {}).sections
    seconds, rate, accuracy = (float(cell.key) for cell in section.rows[0].cells[1:4])
    assert (accuracy, seconds) == (76.5, 1234.5)
    assert rate == pytest.approx(25600 / 1234.5)  # not as it is shown, 21: rows shown alike have an order too
    assert section.rows[0].cells[3].text == "76.5 !"
    assert section.rows[0].status == "doubtful"
    assert [cell.key for cell in section.rows[1].cells[1:]] == [""] * 5


def test_every_reason_for_doubt_stands_above_the_numbers(known):
    absent = result("gluon").job
    disturbed = cnn("caffe2").model_copy(update={"neighbours": (Neighbour(name="stress", cpus=1.0),)})
    dirty = cnn("chainer")
    dirty = with_facts(dirty, code={"git_dirty": True, "workloads_sha256": "other"})
    low = cnn("keras-tf")
    low = low.model_copy(update={"job": low.job.model_copy(update={"accuracy": (0.9, 0.95)})})
    run = measured(
        cnn(source="synthetic"),
        failed(),
        disturbed,
        dirty,
        low,
        extra=(absent,),
        damaged=(StoreError("a.json: edited", hint="h"),),
    )
    notices = {notice.title: notice.text for notice in page.build([run], known, {}).warnings}
    assert "Pytorch cnn" in notices["Synthetic data"]
    assert notices["1 job: failed"] == "numpy-cnn-cpu-1"
    assert notices["1 planned, without a result"] == "gluon-cnn-cpu-1"
    assert notices["A result was left out"] == "a.json: edited"
    assert notices["Disturbed"].endswith("caffe2-cnn-cpu-1: stress used 1.0 CPUs")
    assert notices["Doubtful"].startswith(
        "keras-tf-cnn-cpu-1: accuracy of 76.5 % is not within the expected 90 to 95 %"
    )
    assert notices["Several versions of the workloads"].endswith("What differs: workloads/")
    assert notices["Uncommitted changes"].endswith("chainer-cnn-cpu-1")
    assert list(page.build([measured(cnn())], known, {}).warnings) == []


@pytest.mark.parametrize(
    ("results", "words"),
    [
        ([cnn(), cnn("numpy")], "Deep-learning frameworks compared: test, 2 frameworks, Acme X1, 1 January 2026"),
        ([cnn()], "Pytorch measured: test, Acme X1, 1 January 2026"),
        ([], "Deep-learning frameworks compared: test, 1 January 2026"),
    ],
)
def test_the_title_is_in_words(results, words):
    results = [with_facts(each, host={"cpu": "Acme(R) X1 CPU @ 2.10GHz"}) for each in results]
    assert page.title([measured(*results)]) == words


def test_a_title_names_days_and_kinds_of_machine():
    one, other = measured(cnn(cpu="A 64-Core Processor")), measured(cnn("numpy", cpu="B"))
    assert page.title([one, one]) == "Pytorch measured: test, A, 1 January 2026"
    later = dataclasses.replace(other, run=other.run.model_copy(update={"began": "2026-01-03T10:00:00+00:00"}))
    assert page.title([one, later]).endswith("2 kinds of machine, 1 to 3 January 2026")
    undated = dataclasses.replace(other, run=other.run.model_copy(update={"began": "<b>yesterday"}))
    assert page.title([undated]) == "Numpy measured: test, B"


def test_a_caption_says_what_the_bars_are(known):
    def caption(*results):
        (section,) = page.build([measured(*results)], known, {}).sections
        return section.charts[0].caption

    assert caption(cnn()) == "Seconds; shorter is better. One run each."
    repeats = [cnn(seconds=100.0 + number, repeat=number) for number in (1, 2, 3)]
    assert "Bars are medians" in caption(*repeats)
    disturbed = cnn("caffe2").model_copy(update={"neighbours": (Neighbour(name="stress", cpus=1.0),)})
    assert caption(cnn(), disturbed).endswith("Dashed, with !: disturbed.")


def test_bars_are_as_long_as_their_values(known):
    (section,) = page.build([measured(cnn("numpy", 50.0), cnn(seconds=100.0))], known, {}).sections
    figure = section.charts[0].figure
    assert [figure.place(bar.parts[0].value) for bar in figure.bars] == [drawing.BAR_ROOM / 2, drawing.BAR_ROOM]


def test_a_chart_says_its_finding_and_has_its_numbers(known):
    repeats = [cnn(seconds=s, repeat=n) for n, s in enumerate((90.0, 100.0, 170.0), start=1)]
    (section,) = page.build([measured(*repeats, cnn("numpy", 50.0))], known, {}).sections
    charts = {chart.id: chart for chart in section.charts}
    time = charts["cnn-time"]
    assert time.finding == "Training time: 50.0 s (Numpy) to 100.0 s (Pytorch). No row is shown to be the fastest."
    assert time.numbers.rows == (("Numpy", 50.0, 50.0, 50.0, 1), ("Pytorch", 90.0, 100.0, 170.0, 3))
    assert [(bar.text, bar.interval) for bar in time.figure.bars] == [("50.0", None), ("100.0", (90.0, 170.0))]
    assert charts["cnn-then"].numbers.rows == (("Numpy", None), ("Pytorch", 169.0))
    assert charts["cnn-loss"].numbers.rows[1] == ("Pytorch", 2.0, 1.5)
    assert all(chart.finding.endswith(".") for chart in section.charts)


@pytest.mark.parametrize(
    ("repeats", "disturbed", "ending"),
    [
        (5, ("numpy",), "Disturbed, and so not ranked: Numpy."),
        (5, ("numpy", "pytorch"), "All were disturbed, so they cannot be ranked."),
    ],
)
def test_a_disturbed_row_is_not_ranked(known, repeats, disturbed, ending):
    results = [
        cnn(framework, seconds + number, repeat=number)
        for framework, seconds in (("numpy", 50.0), ("pytorch", 100.0))
        for number in range(1, repeats + 1)
    ]
    others = (Neighbour(name="stress", cpus=1.0),)
    results = [
        each.model_copy(update={"neighbours": others}) if each.job.framework in disturbed else each for each in results
    ]
    (section,) = page.build([measured(*results)], known, {}).sections
    (time,) = (chart for chart in section.charts if chart.id == "cnn-time")
    assert time.finding.endswith(ending)
    assert "fastest" not in time.finding


@pytest.mark.parametrize(
    ("slow", "fast", "words"),
    [
        ([100.0], [50.0], "One run cannot rank them."),
        ([100.0, 101.0, 99.0], [50.0, 51.0, 52.0], "No row is shown to be the fastest."),
        ([100.0 + n for n in range(5)], [99.0 + n for n in range(5)], "No row is shown to be the fastest."),
        ([100.0 + n for n in range(5)], [50.0 + n for n in range(5)], "Numpy is the fastest."),
    ],
)
def test_a_page_ranks_only_what_compare_ranks(known, slow, fast, words):
    rows = [
        cnn(name, seconds, repeat=number)
        for name, times in (("pytorch", slow), ("numpy", fast))
        for number, seconds in enumerate(times, start=1)
    ]
    (section,) = page.build([measured(*rows)], known, {}).sections
    (chart,) = (each for each in section.charts if each.id == "cnn-time")
    assert words in chart.finding
    everything = " ".join(f"{each.caption} {each.finding}" for each in section.charts)
    claims = re.findall(r"fastest|slowest|lowest|highest|times as|most\b|best\b", everything)
    assert claims == (["fastest"] if "fastest" in words else [])


def test_rows_that_compare_would_not_compare_are_not_ranked(known):
    apart = [cnn("numpy", 50.0 + n, repeat=n + 1, engine="process") for n in range(5)]
    rows = [*apart, *(cnn(seconds=100.0 + n, repeat=n + 1) for n in range(5))]
    (section,) = page.build([measured(*rows)], known, {}).sections
    (chart,) = (each for each in section.charts if each.id == "cnn-time")
    assert chart.finding.endswith("No row is shown to be the fastest.")


def test_accuracy_is_drawn_after_every_epoch_where_it_was_scored_then(known):
    learned = with_epochs(cnn("numpy", 50.0), accuracies=(0.5, 0.765))
    again = learned.model_copy(update={"job": learned.job.model_copy(update={"id": "numpy-cnn-cpu-2", "repeat": 2})})
    (section,) = page.build([measured(learned, again, cnn())], known, {}).sections
    (chart,) = (each for each in section.charts if each.id == "cnn-accuracy")
    curve, ends, once = chart.figure.series
    assert curve.values == ((25.0, 50.0), (50.0, 76.5))
    assert [last for *_, last in curve.marked] == [False, True]
    assert (ends.values, ends.joined) == (((50.0, 76.5),), False)
    assert once.values == ((100.0, 76.5),)
    assert [row[0] for row in chart.numbers.rows] == ["Numpy", "Numpy", "Numpy", "Pytorch"]
    assert "after each epoch" in chart.caption
    assert "If a job was repeated" in chart.caption
    assert chart.figure.bands == ()
    assert chart.finding == "Final test accuracy: 76.5 % in all rows."


def test_the_accepted_band_is_drawn_where_rows_agree_about_it(known):
    def chart(*bands, source="official"):
        results = [cnn(str(n), source=source) for n in range(len(bands))]
        banded = [
            each.model_copy(update={"job": each.job.model_copy(update={"accuracy": band})})
            for each, band in zip(results, bands, strict=True)
        ]
        (section,) = page.build([measured(*banded)], known, {}).sections
        (found,) = (each for each in section.charts if each.id == "cnn-accuracy")
        return found

    agreed = chart((0.74, 0.8), (0.74, 0.8), None)
    assert agreed.figure.bands == (drawing.Band(along="y", low=74.0, high=80.0),)
    assert "the expected accuracy, 74 to 80 %" in agreed.caption
    assert chart((0.74, 0.8), (0.5, 0.6)).figure.bands == ()
    assert chart((0.74, 0.8), source="synthetic").figure.bands == ()


def test_a_framework_looks_the_same_in_every_chart(known):
    results = [cnn(name) for name in "abcdefghij"]
    (section,) = page.build([measured(*results)], known, {}).sections
    accuracy, loss = (next(c for c in section.charts if c.id == f"cnn-{name}") for name in ("accuracy", "loss"))
    styles = [swatch.style for swatch in section.key]
    assert styles == [series.style for series in accuracy.figure.series]
    assert styles == [series.style for series in loss.figure.series]
    assert len(set(styles)) == 10


def test_thirty_frameworks_look_different():
    assert len({style(number) for number in range(30)}) == 30
    for number in range(30):
        one, other = style(number), style(number + 1)
        assert one.hue != other.hue
        assert one.form != other.form


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 245.6, ["0", "50", "100", "150", "200", "250"]),
        (1.407, 2.15, ["1.4", "1.6", "1.8", "2.0", "2.2"]),
        (0.0, 0.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.0, 123_456.0, ["0", "50,000", "100,000", "150,000"]),
    ],
)
def test_an_axis_has_round_ticks_around_all_values(low, high, ticks):
    axis = drawing.axis("s", (low, high), from_zero=False)
    assert [text for _, text in axis.ticks] == ticks
    assert [axis.ticks[0][0], axis.ticks[-1][0]] == [0.0, 100.0]
    assert 0 <= axis.place(low) <= axis.place(high) <= 100


def test_batches_are_counted_in_whole_numbers(known):
    one = result(workload="resnet50", images_per_s=30.0, batch_seconds=(1.0,))
    (section,) = page.build([measured(one)], known, {}).sections
    (chart,) = [chart for chart in section.charts if "batch by batch" in chart.title]
    assert [text for _, text in chart.figure.x.ticks] == ["0", "1"]


def test_speeds_host_by_host_are_a_section_with_provenance(known):
    results = [cnn("numpy"), cnn("numpy", 50.0, cpu="CPU <Y>")]
    only = page.build([measured(*results)], known, {})
    training, hosts = only.sections
    assert (training.id, hosts.id, hosts.charts) == ("cnn", "cnn-hosts", ())
    assert [cell.text for cell in hosts.rows[0].cells] == ["Numpy", "512.0", "256.0"]
    assert {row.cell for section in only.sections for row in section.rows} == {cell.id for cell in only.cells}
    assert "Images/s on CPU &lt;Y&gt;, 2 CPUs" in writer.render(only)


def test_phases_are_the_whole_of_a_job(known):
    def phases(it):
        (section,) = page.build([measured(it)], known, {}).sections
        (chart,) = (chart for chart in section.charts if chart.kind == "phases")
        return [name for name, _ in chart.key], chart.numbers.rows

    # Of the job's 10 s.
    assert phases(cnn(seconds=8.0)) == (
        ["first epoch", "later epochs", "start and stop"],
        (("Pytorch", 4.0, 4.0, 2.0),),
    )
    single = with_epochs(trained(seconds=8.0), losses=(1.0,), accuracies=(None,))
    assert phases(single) == (["first epoch", "start and stop"], (("Pytorch", 8.0, 2.0),))


def test_curves_come_from_events_and_else_from_epochs(known):
    def step(epoch, seconds, samples):
        common = {"seq": 0, "t": 0.0, "epoch": epoch, "samples": samples, "seconds": seconds, "loss": seconds}
        return Step(event="step", step=1, **common)

    end = Epoch(event="epoch", seq=0, t=0.0, epoch=1, samples=128, seconds=4.0, loss=0.5)
    curve = curves.of_events([step(1, 1.0, 64), end, step(2, 2.0, 64)])
    assert [(point.seconds, point.samples) for point in curve] == [(1.0, 64), (4.0, 128), (6.0, 192)]
    assert curves.rates(curve) == [(1.0, 64.0), (4.0, pytest.approx(21.33, abs=0.01)), (6.0, 32.0)]
    fine = page.build([measured(cnn(), curves={"pytorch-cnn-cpu-1": curve})], known, {})
    (loss,) = (chart for chart in fine.sections[0].charts if chart.id == "cnn-loss")
    assert [y for _, y in loss.figure.series[0].values] == [1.0, 0.5, 2.0]
    assert "from the job's events" in loss.caption


def test_a_gigabyte_of_steps_is_a_short_curve():
    steps = (
        Step(event="step", seq=0, t=0.0, epoch=1, step=n, samples=n, seconds=float(n), loss=1.0)
        for n in range(1, 50_001)
    )
    curve = curves.of_events(steps)
    assert len(curve) <= curves.MAX_KEPT
    assert len(curves.thin(curve)) <= curves.MAX_POINTS
    assert curves.thin(curve)[-1].samples == 50_000


def test_two_runs_stand_on_one_page(known):
    other = cnn(seconds=80.0, cpu="CPU Y").model_copy(update={"began": "2026-02-02T00:00:00+00:00"})
    only = page.build([measured(cnn()), measured(other)], known, {})
    assert [line.label for line in only.sections[0].key] == ["Pytorch · CPU Y, 2 CPUs", "Pytorch · CPU X, 2 CPUs"]
    assert len(only.runs) == 2


@pytest.mark.parametrize("results", [[], [failed()], [cnn()], [result(workload="resnet50", images_per_s=3.0)]])
def test_the_smallest_pages_can_be_written(known, results):
    reading = Reading(writer.render(page.build([measured(*results)], known, {})))
    assert "20260101-000000-test" in "".join(reading.text)
    assert "1 January 2026" in "".join(reading.text)


def test_a_row_of_two_devices_says_the_conditions_of_both(known):
    both = [result(workload="resnet50", device=device, images_per_s=3.0) for device in ("gpu", "cpu")]
    (only,) = page.build([measured(*both)], known, {}).cells
    assert "GPU / CPU" in only.conditions
    assert "fp32" in only.conditions


def test_every_batch_counts_however_many_there_are(known):
    """The slow ones come last, where a chart of the first few hundred would not show them."""
    many = result(workload="resnet50", images_per_s=30.0, batch_seconds=(1.0,) * 990 + (4.0,) * 10)
    (section,) = page.build([measured(many)], known, {}).sections
    (chart,) = [chart for chart in section.charts if "batch by batch" in chart.title]
    assert "4.00" in chart.finding
    assert chart.numbers.rows[0][1:] == (8.0, 32.0, 32.0)
    (series,) = chart.figure.series
    assert len(series.values) <= 200
    assert series.values[-1][0] == 1000
    assert len(series.marked) <= drawing.MARKS


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_gets_out_of_its_place(known, text):
    """Wherever untrusted text can stand, it changes no element and no script; and nothing else is lost."""

    def write(text):
        one = cnn(title=text)
        start = one.start.model_copy(update={"notes": [text], "versions": {text: text}, "version": text})
        whole = text.encode(errors="replace").decode()  # no file with half characters can be read
        one = with_facts(one, environment={whole: {whole: [whole]}}, host={"cpu": whole})
        one = one.model_copy(update={"start": start, "neighbours": (Neighbour(name=text, cpus=1.0),)})
        lost = failed(message=text, hint=text, log=(text,))
        return writer.render(page.build([measured(one, lost, damaged=(StoreError(text, hint="h"),))], known, {}))

    def shape(text):
        return [tag for tag in Reading(text).elements if tag != "wbr"]

    written = write(text)
    assert shape(written) == shape(write("plain"))
    written.encode()  # no half characters
    outside = re.sub(r"<script.*?</script>", "", written, flags=re.DOTALL)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", outside)
    assert "x" * 2_500 not in outside


@given(st.text())
def test_plain_text_is_printable_and_as_long_as_before(text):
    shown = plain(text)
    assert len(shown) == len(text)
    assert not [letter for letter in shown if letter not in "\t\n" and unicodedata.category(letter) in UNSEEN]
    shown.encode()
    assert plain(shown) == shown
    assert len(clip(text, 10)) <= 10


@pytest.mark.parametrize("mark", "\u061c\u200b\u200e\u200f\u2028\u202e\u2060\u2069\ufeff")
def test_plain_text_hides_and_reorders_nothing(mark):
    assert plain(f"a{mark}b") == "a\N{REPLACEMENT CHARACTER}b"


def test_the_page_loads_nothing_and_runs_only_its_own_scripts(published):
    reading = Reading(published)
    for tag, name, value in reading.attributes:
        if name in {"src", "href", "action", "data", "poster", "srcset", "xlink:href"}:
            assert value.startswith("#"), (tag, name, value)
        assert not name.startswith("on"), (tag, name)
        assert name != "style", tag
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(reading.elements)
    (policy,) = (value for _, name, value in reading.attributes if name == "content" and "default-src" in value)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert len(reading.scripts) == 1
    assert not re.search(r"url\(|@import", published[: published.index("</style>")])


def test_a_page_is_of_bounded_size(published):
    """For forty results; it has more now."""
    assert len(real_results()) >= 38
    assert len(published.encode()) / len(real_results()) < MAX_BYTES / 40


def real_results():
    return [result for run in real.shown() for result in run.results]


def test_the_code_beside_a_number_is_the_code_that_was_measured(root, published):
    """The published results name two versions of workloads/: both come from the history, and are shown."""
    assert "sha256 " in published
    assert "this checkout&#39;s workloads differ" not in published
    assert sources.trees(root, []) == {}
    unknown = with_facts(cnn(), code={"workloads_sha256": "0" * 64, "git_commit": "--output=/tmp/x"})
    assert sources.trees(root, [unknown]) == {}


def test_code_that_is_not_at_hand_is_not_shown(known):
    text = writer.render(page.build([measured(cnn())], known, {}))
    assert "The measured code is not available" in text
    assert "<summary><code>" not in text


def test_a_jobs_code_is_its_own_files_and_those_it_names():
    tree = {
        "workloads/pytorch/cnn.py": b"from workloads.common import bench\nfrom workloads.theano import runtime",
        "workloads/pytorch/rnn.py": b"x",
        "workloads/pytorch/runtime.py": b"y",
        "workloads/pytorch/__init__.py": b"\n",
        "workloads/common/bench.py": b"z",
        "workloads/common/bench.jl": b"z",
        "workloads/theano/runtime.py": b"w",
        "workloads/theano/cnn.py": b"w",
        "workloads/numpy/cnn.py": b"v",
    }
    assert [source.path for source in sources.of_job(cnn().job, tree)] == [
        "workloads/pytorch/cnn.py",
        "workloads/pytorch/runtime.py",
        "workloads/common/bench.py",
        "workloads/theano/runtime.py",
    ]


def test_the_command_measures_the_same_job_again(root, known):
    """Every published result: its command, read by the spec's own parser, plans the job it came from."""
    rows = catalog.load(root)
    results = [result for run in real.runs() for result in run.results]
    assert results
    for each in results:
        checkout, bench = again.commands(each)
        assert checkout == f"git checkout {each.provenance.code.git_commit}"
        words = shlex.split(bench.replace("\\\n", " "))
        options = dict(zip(words[3::2], words[4::2], strict=True))
        settings = [words[n + 1] for n, word in enumerate(words) if word == "--set"]
        overrides = [
            spec_file.Override(path=("frameworks",), value=[options["--framework"]], origin=""),
            spec_file.Override(path=("workloads",), value=[options["--workload"]], origin=""),
            *map(spec_file.parse_setting, settings),
        ]
        (job,) = jobs.plan(
            spec_file.load(Path(words[2]), folder=root / "configs", overrides=overrides), rows, options["--device"]
        )
        assert comparable(job) == comparable(each.job)


def comparable(job: Job):
    # A framework's folder may have another name today; the command checks the old commit out.
    return job.model_dump(exclude={"id", "repeat", "retries", "env", "command", "accuracy", "loss", "title", "module"})


def test_a_hostile_setting_stays_one_word():
    it = cnn()
    it = it.model_copy(update={"job": it.job.model_copy(update={"framework": "a; rm -rf ~", "precision": "$(x)"})})
    (command,) = again.commands(it)
    assert "'a; rm -rf ~'" in command
    assert "'precision=$(x)'" in command


def test_the_jobs_behind_a_row_have_no_empty_column(known):
    (cell,) = page.build([measured(cnn())], known, {}).cells
    assert [column.title for column in cell.jobs.columns] == [
        "job",
        "status",
        "began (UTC)",
        "accuracy (%)",
        "training (s)",
        "whole job (s)",
        "GFLOP/s",
        "weights (GB/s)",
    ]
    (row,) = cell.jobs.rows
    assert row[:6] == ("pytorch-cnn-cpu-1", "ok", "2026-01-01 00:00:00", 76.5, 100.0, 10.0)
    assert row[6] == pytest.approx(256 * 1.3e8 * 3 / 1e9)


@pytest.mark.parametrize(("flops", "shown"), [(2e11, "50 %"), (5e10, "200 %: impossible")])
def test_a_row_shows_its_share_of_what_this_machine_can_do(known, flops, shown):
    peak = Peak(host=None, cpu="CPU X", cpus=2, flops=flops, bandwidth=1e12, measured="2026-11-30", numpy="2")
    it = cnn()
    it = it.model_copy(update={"figures": it.figures.model_copy(update={"train_samples_per_s": 1e11 / (3 * 1.3e8)})})
    (cell,) = page.build([measured(it)], known, {}, peak=peak).cells
    column = [each.title for each in cell.jobs.columns].index("of this machine's peak")
    assert cell.jobs.rows[0][column] == shown


def test_of_very_many_jobs_the_first_are_listed(known):
    many = [cnn(repeat=n) for n in range(1, 131)]
    (cell,) = page.build([measured(*many)], known, {}).cells
    assert (len(cell.jobs.rows), cell.more_jobs) == (50, 80)
    assert "and 80 more" in writer.render(page.build([measured(*many)], known, {}))
