"""`make benchmark` works; what it measures is not judged here."""

from tests.benchmarks import __main__ as benchmarks


def test_the_benchmarks_that_need_no_engine_run(tmp_path):
    rows = []
    benchmarks.protocol_and_store(rows, tmp_path, 2000)
    benchmarks.planning(rows)
    benchmarks.sampling(rows, rounds=2, seconds=0.5)
    assert [row[0] for row in rows[:4]] == [
        "2,000 events, protocol + store",
        "plan of 10,000 jobs",
        "a look at a GPU, without NVML's own time",
        "a look at a job, process engine",
    ]
    assert "of a core" in rows[4][1]
