"""workloads/common/ranks.py: processes that train together, with a workload that needs no framework."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from orchestrator.record.artifacts import PART
from tests import golden

# Each rank writes down what it was given. The ranks meet after every step, as those of a framework would.
WORKLOAD = """
import os, signal, sys, time
import numpy as np
from workloads.common import bench

def meet(job, word):
    folder = job.meeting if job.ranks > 1 else "."
    os.makedirs(folder, exist_ok=True)
    open(os.path.join(folder, "{}-{}".format(word, job.rank)), "w").close()
    while len([name for name in os.listdir(folder) if name.startswith(word + "-")]) < job.ranks:
        time.sleep(0.005)

def run(job):
    what = sys.argv[1]
    job.start(version="1.0")
    x_train, y_train, x_test, y_test = job.data()
    weights = job.weights()
    job.ready()
    meet(job, "ready")
    if what == "rank 1 raises" and job.rank == 1:
        raise MemoryError("no room for it")
    if what == "rank 1 is killed" and job.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "rank 0 raises" and job.rank == 0:
        raise ValueError("zero")
    given = []
    for epoch in job.epochs(sync=lambda: None, weights=lambda: weights):
        for x, y in epoch.batches(x_train, y_train):
            given.append(x[:, 0, 0, 0] * 255)
            epoch.step(0.5)
            meet(job, "step" + str(len(given)))
        epoch.score(lambda x: np.eye(10)[np.zeros(len(x), int)], x_test, y_test)
    np.save("given-{}.npy".format(job.rank), np.array(given))
    with open("said-{}".format(job.rank), "w") as said:
        said.write("rank {} of {} {} {}".format(job.rank, job.ranks, job.batch, job.threads))

bench.main(run, processes=True)
"""


@pytest.fixture
def start(root, tmp_path):
    """Starts the workload with this many ranks, in a folder of its own."""
    folder = tmp_path / "job"
    (folder / "inputs").mkdir(parents=True)
    golden.write_inputs(folder / "inputs")
    (folder / "together.py").write_text(WORKLOAD)

    def call(what, ranks):
        (folder / "spec.json").write_text(json.dumps({**golden.JOB, "ranks": ranks}))
        variables = {
            **{name: text for name, text in os.environ.items() if name not in {"RANK", "WORLD_SIZE"}},
            "BENCH_SPEC": str(folder / "spec.json"), "BENCH_INPUTS": str(folder / "inputs"),
            "PYTHONPATH": os.pathsep.join([str(root), str(folder)]), "TMPDIR": str(tmp_path),
        }  # fmt: skip
        argv = [sys.executable, "-m", "together", what]
        process = subprocess.Popen(argv, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return process, folder

    return call


def ended(process):
    out, err = process.communicate(timeout=60)
    lines = out.splitlines()
    return [json.loads(line) for line in lines if not line.startswith(PART)], err.decode(), process.returncode


def test_each_rank_gets_an_equal_part_of_every_batch(start):
    alone, _, code = ended(start("train", 1)[0])
    assert code == 0
    process, folder = start("train", 2)
    events, err, code = ended(process)
    assert code == 0, err
    one, zero, first = (np.load(folder / f"given-{rank}.npy") for rank in (1, 0, 0))
    order = np.load(folder / "inputs" / "order.npy")
    pixels = np.load(folder / "inputs" / "x_train.npy")[:, 0, 0, 0]
    batches = pixels[np.concatenate([order[:, :4], order[:, 4:8]], axis=1).reshape(-1, 4)]
    assert np.concatenate([zero, one], axis=1).tolist() == batches.tolist()
    assert first.shape == (4, 2)
    # Only rank 0 is heard, and it counts the samples of all.
    assert [event["event"] for event in events] == [event["event"] for event in alone]
    assert [event["seq"] for event in events] == list(range(len(events)))
    counted = [(event["event"], event["samples"]) for event in events if "samples" in event]
    assert counted == [(event["event"], event["samples"]) for event in alone if "samples" in event]
    assert (events[0]["ranks"], "ranks" in alone[0]) == (2, False)
    assert events[0]["threads"] == alone[0]["threads"]
    threads = max(1, alone[0]["threads"] // 2)
    said = [(folder / f"said-{rank}").read_text() for rank in (0, 1)]
    assert said == [f"rank 0 of 2 2 {threads}", f"rank 1 of 2 2 {threads}"]


@pytest.mark.parametrize(
    ("what", "kind", "message"),
    [
        ("rank 1 raises", "out_of_memory", "rank 1: no room for it"),
        ("rank 1 is killed", "exception", f"rank 1: it ended with exit code {-signal.SIGKILL}"),
        ("rank 0 raises", "exception", "zero"),
    ],
)
def test_the_first_failure_ends_the_job_and_says_which_rank_it_was(start, what, kind, message):
    """The other rank waits for it meanwhile, and would wait for ever."""
    process, folder = start(what, 2)
    events, _, code = ended(process)
    assert code == 1
    last = events[-1]
    assert (last["event"], last["kind"], last["message"]) == ("error", kind, message)
    deadline = time.monotonic() + 10
    while still_there(folder):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def still_there(folder):
    """Whether a process of the job runs."""
    found = subprocess.run(["pgrep", "--full", "together"], capture_output=True, text=True, check=False)
    running = []
    for pid in found.stdout.split():
        try:
            running.append(Path(f"/proc/{pid}/cwd").readlink() == folder)
        except OSError:
            continue
    return any(running)
