"""`make benchmark` works; what it measures is not judged here."""

from tests.benchmarks import __main__ as benchmarks


def test_the_benchmarks_that_need_no_engine_run(tmp_path):
    rows = []
    benchmarks.protocol_and_store(rows, tmp_path, 2000)
    benchmarks.planning(rows)
    assert [row[0] for row in rows] == ["2,000 events, protocol + store", "plan of 10,000 jobs"]
