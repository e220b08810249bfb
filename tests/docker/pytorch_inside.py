"""Runs inside the PyTorch image: a training with its rehearsal and one without. Prints JSON.

    pytorch_inside.py MODULE REHEARSES WORKLOAD INPUTS

MODULE is a folder below workloads/, REHEARSES the file in it that has the function `rehearse`. INPUTS holds what a job
of this workload finds below BENCH_INPUTS.
"""

import importlib
import json
import sys
from pathlib import Path

SPEC = {
    "protocol": 2,
    "framework": "pytorch",
    "device": "cpu",
    "ranks": 1,
    "precision": "fp32",
    "seed": 7,
    "trace": 3,
    "learning_curve": False,
}


class Heard:
    """The events of a job, kept."""

    def __init__(self):
        self.events = []

    def emit(self, event, **fields):
        self.events.append(dict(fields, event=event))

    def emit_parts(self, data):
        pass


def training(module, workload, settings, inputs):
    """{"losses": of the first steps, "weights": {name: sha256} after the first, "compile_s"} of one job."""
    heard = Heard()
    bench = importlib.import_module("workloads.common.bench")
    spec = dict(SPEC, workload=workload, settings=settings)
    importlib.import_module(f"workloads.{module}.{workload}").run(bench.Job(spec, inputs, heard))
    ready = next(event for event in heard.events if event["event"] == "ready")
    return {
        "losses": [event["loss"] for event in heard.events if event["event"] == "step"],
        "weights": {event["name"]: event["sha256"] for event in heard.events if event["event"] == "artifact"},
        "compile_s": ready["compile_s"],
    }


def main(module, rehearses, workload, inputs):
    settings = json.loads(Path(inputs, "settings.json").read_text(encoding="utf-8"))
    importlib.import_module("torch").use_deterministic_algorithms(True)
    rehearsed = training(module, workload, settings, inputs)
    importlib.import_module(f"workloads.{module}.{rehearses}").rehearse = lambda *arguments, **options: None
    figures = {"rehearsed": rehearsed, "fresh": training(module, workload, settings, inputs)}
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
