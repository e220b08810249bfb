"""What a job used over time: few points, of the right height, whatever the file holds."""

import json
import math
import re

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.host.samples import Sample
from orchestrator.record import capsule, usage
from orchestrator.record.run_folder import RunFolder
from orchestrator.record.telemetry import Telemetry
from orchestrator.report import html, page
from orchestrator.report.charts import usage as charts
from tests.support import published as real
from tests.support.results import cnn, measured
from tests.support.usage_samples import GIB, gpu_samples, host_samples, lines


def test_cpus_are_the_growth_of_cpu_time_and_memory_keeps_its_peak():
    found = usage.of_lines(lines(host_samples(), timed=[(10.0, 60.0)]))
    assert found.timed == ((10.0, 60.0),)
    assert len(found.cpus) < usage.MAX_POINTS
    assert {round(cpus, 6) for t, cpus in found.cpus if t < 9.9} == {0.0}
    assert {round(cpus, 6) for t, cpus in found.cpus if t > 10.5} == {1.5}
    assert found.memory[-1] == (60.0, 2 * GIB)
    peak = [Sample(t=n / 5, memory=7 if n == 777 else 1) for n in range(2_000)]
    assert max(value for _, value in usage.of_lines(lines(peak)).memory) == 7


def test_a_gpu_job_shows_its_gpus_and_another_its_cpus():
    drawn = charts.of("x", usage.of_lines(lines(gpu_samples(cards=2), gpus=["GPU-a", "GPU-b"])))
    assert [chart.id for chart in drawn] == ["x-utilisation", "x-power", "x-memory"]
    assert [len(chart.figure.series) for chart in drawn] == [2, 2, 2]
    assert drawn[1].finding.startswith("GPU 0: 60.0 to 280.0 W, 24")
    (cpus, memory) = charts.of("x", usage.of_lines(lines(host_samples())))
    assert cpus.finding == "0.0 to 1.5 CPUs, 1.3 on average."
    assert memory.numbers.rows[0][-1] == 2.0


def test_a_counter_that_was_reset_is_no_negative_use():
    found = [Sample(t=float(t), cpu_seconds=s) for t, s in enumerate((0.0, 1.0, 0.5, 1.5))]
    assert usage.of_lines(lines(found)).cpus == ((1.0, 1.0), (3.0, 1.0))


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\n", b"[]", b"{", b'{"timed": 1}', b'{}\n{"t": -1}', b'{}\n{"t": 1}\n{"t": 0}', b"{}\n" + b"[" * 50_000,
        b'{}\n{"t": 1, "memory": true}', b'{}\n{"t": 1, "memory": -1}', b'{}\n{"t": 1, "memory": NaN}',
        b'{}\n{"t": 1, "memory": 1e400}', b'{}\n{"t": 1, "memory": ' + b"9" * 400 + b"}", b'{}\n{"t": 1, "gpus": [1, {}]}',
        b'{}\n{"t": NaN, "memory": 1}', b'{}\n{"t": "1", "memory": 1}', b'{}\n{"t": 1, "gpus": {"0": 1}}', b"\xff\xfe",
    ],
)  # fmt: skip
def test_what_is_no_sample_shows_nothing(text):
    assert usage.of_lines(text.splitlines(keepends=True)) is None


numbers = st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=3))
readings = st.dictionaries(st.sampled_from(usage.GPU_QUANTITIES), numbers)
samples = st.fixed_dictionaries(
    {"t": st.one_of(st.floats(0, 100), numbers)},
    optional={"cpu_seconds": numbers, "memory": numbers, "gpus": st.one_of(numbers, st.lists(readings, max_size=12))},
)
heads = st.fixed_dictionaries(
    {}, optional={"timed": st.one_of(numbers, st.lists(st.lists(numbers, max_size=3), max_size=30))}
)


@given(heads, st.lists(samples, max_size=30))
def test_any_file_gives_charts_that_can_be_written(head, found):
    used = usage.of_lines(json.dumps(each).encode() for each in [head, *found])
    for chart in charts.of("x", used) if used else ():
        figure = chart.figure
        assert len(figure.series) <= usage.MAX_GPUS
        assert len(figure.spans()) <= usage.MAX_SPANS
        drawn = [figure.points(series) for series in figure.series]
        assert not re.search("nan|inf", " ".join(drawn))
        assert all(math.isfinite(value) for row in chart.numbers.rows for value in row[1:])


def test_a_long_file_is_few_points():
    endless = (json.dumps({"t": n, "cpu_seconds": n, "memory": n}).encode() for n in range(10**9))
    found = usage.of_lines(endless)
    assert len(found.cpus) <= len(found.memory) <= usage.MAX_POINTS


def test_the_page_holds_charts_of_one_job_for_each_row(known):
    used = usage.of_lines(lines(host_samples()))
    runs = [measured(cnn(), cnn(repeat=2), usage={"pytorch-cnn-cpu-1": used, "pytorch-cnn-cpu-2": used})]
    (cell,) = page.build(runs, known, {}).cells
    assert [(each.job, len(each.charts)) for each in cell.used] == [("pytorch-cnn-cpu-1", 2)]
    written = html.render(page.build(runs, known, {}))
    assert 'id="cnn-0-cpu-cpus"' in written
    assert "1.3 on average" in written


def test_samples_that_were_not_kept_are_none(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.usage("job") is None
    first, second = (json.dumps({"t": t, "memory": 1}).encode() + b"\n" for t in (1, 2))
    (tmp_path / "job.telemetry.jsonl").write_bytes(b"{}\n" + first + b"x" * (1 << 22) + b"\n" + second)
    assert folder.usage("job").memory == ((1.0, 1.0),)


def test_a_capsule_keeps_what_is_drawn_and_nothing_more(known, tmp_path):
    folder = RunFolder(real.unpack(tmp_path))
    for job in ("pytorch-cnn-cpu-1", "numpy-cnn-cpu-1"):
        folder.write_telemetry(job, map(json.loads, lines(gpu_samples(600.0, cards=usage.MAX_GPUS + 1))))
    kept, _ = capsule.kept(folder, ())
    capsule.write(tmp_path / "without.json", [kept.model_copy(update={"used": {}})])
    capsule.write(tmp_path / "with.json", [kept])
    (again,) = capsule.runs_in(tmp_path / "with.json")
    assert again.used.keys() == {"pytorch-cnn-cpu-1", "numpy-cnn-cpu-1"}
    assert again.usage("pytorch-cnn-cpu-1") == folder.usage("pytorch-cnn-cpu-1")
    assert again.usage("mxnet-cnn-cpu-1") is None
    more = (tmp_path / "with.json").stat().st_size - (tmp_path / "without.json").stat().st_size
    assert more / 2 < 300_000  # bytes for a job on eight GPUs


@pytest.mark.parametrize(
    "change",
    [
        {"memory": [[1.0, float(n)] for n in range(usage.MAX_POINTS + 1)]},
        {"cpus": [[1.0, -1.0]]},
        {"cpus": [[1.0]]},
        {"timed": [[0.0, 1.0]] * (usage.MAX_SPANS + 1)},
        {"gpus": [{}] * (usage.MAX_GPUS + 1)},
        {"gpus": [{str(n): [] for n in range(4)}]},
    ],
)
def test_a_capsule_holds_no_more_than_could_be_drawn(change):
    used = {"timed": [], "gpus": [], "cpus": [], "memory": []}
    usage.UsageCurves.model_validate_json(json.dumps(used))
    with pytest.raises(pydantic.ValidationError):
        usage.UsageCurves.model_validate_json(json.dumps({**used, **change}))


def test_a_row_without_samples_says_so(known):
    telemetry = Telemetry(
        over="job", seconds=1.0, samples=3, hz=3.0, timed_s=0.5, timed_samples=1, orchestrator_cpus=0.0, sampling_cpus=0.0
    )  # fmt: skip
    sampled = cnn().model_copy(update={"telemetry": telemetry})
    (cell,) = page.build([measured(sampled)], known, {}).cells
    assert cell.no_usage in html.render(page.build([measured(sampled)], known, {}))
    assert cell.no_usage.startswith("Usage over time cannot be drawn")
    there = measured(sampled, usage={"pytorch-cnn-cpu-1": usage.of_lines(lines(host_samples()))})
    assert [each.no_usage for each in page.build([there], known, {}).cells] == [""]
    assert [each.no_usage for each in page.build([measured(cnn())], known, {}).cells] == [""]
