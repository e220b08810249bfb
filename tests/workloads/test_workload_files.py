"""Every workload file has the same steps in the same order, so that two frameworks can be read side by side."""

import ast
import re
from pathlib import Path

import pytest

from orchestrator.plan.workload import WindowTraining
from orchestrator.plan.workloads import WORKLOADS

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(
    path for name in WORKLOADS for path in (ROOT / "workloads").glob(f"*/{name}.py") if path.parent.name != "mistakes"
)
BATCH = ["epoch.batches", "epoch.step", "epoch.score"]
TRAINING = ["runtime.start", "job.data", "build", "job.ready", "job.epochs", *BATCH]
OF_A_TEXT = {"job.data": "job.windows", "epoch.score": "epoch.score_loss"}
WINDOWS = [OF_A_TEXT.get(name, name) for name in TRAINING]
INFERENCE = ["runtime.start", "job.images", "build", "job.ready", "job.extract"]


def story(source):
    """The chapters of a workload that its run(job) comes to, in the order of its lines."""
    (run,) = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "run")
    calls = [node for node in ast.walk(run) if isinstance(node, ast.Call)]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    return [
        name for name in map(ast.unparse, (call.func for call in calls)) if name in {*TRAINING, *WINDOWS, *INFERENCE}
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_workload_tells_the_story_of_all(path):
    workload = WORKLOADS[path.stem]
    training = WINDOWS if isinstance(workload, WindowTraining) else TRAINING
    assert story(path.read_text()) == (training if workload.trains else INFERENCE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_workload_ends_in_the_same_words(path):
    words = r'\n\n\nif __name__ == "__main__":\n    bench\.main\(run(, processes=True)?\)\n\Z'
    assert re.search(words, path.read_text())


@pytest.mark.parametrize(
    ("first", "second"), [("build(", "job.ready("), ("job.data(", "build("), ("epoch.step(", "epoch.score(")]
)
def test_chapters_in_another_order_are_another_story(first, second):
    source = (ROOT / "workloads" / "pytorch" / "cnn.py").read_text()
    head, mark, run = source.partition("def run(job):")
    swapped = run.replace(first, "@@").replace(second, first).replace("@@", second)
    assert story(head + mark + swapped) != TRAINING
