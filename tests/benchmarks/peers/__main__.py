"""Measures rows and their peers in turns: `make peers`, `make peers FRAMEWORK="pytorch jax" WORKLOAD=cnn`.

A ratio is the row's rate by that of its peer in the same round. Both are small jobs on one machine that should do
nothing else. Needs Docker.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from workloads.common.startup import THREAD_VARIABLES

ROOT = Path(__file__).resolve().parents[3]
PEERS = Path(__file__).parent
PROGRAMS = {".py": ("python",), ".js": ("node",), ".cpp": ("compile-and-run",)}

# Enough for some seconds of work on two CPUs.
SIZES = {
    "cnn": ("cnn.epochs=1", "cnn.train_samples=1920", "cnn.test_samples=64"),
    "rnn": ("rnn.epochs=1", "rnn.train_samples=3200", "rnn.test_samples=64"),
    "resnet50": ("resnet50.batches=4",),
    "gpt": ("gpt.epochs=1", "gpt.steps=100", "gpt.test_samples=768"),
}
ROW = "{:<18} {:<9} {:>11} {:>11} {:>7}  {}"


class NotMeasured(Exception):
    """A row or a peer that gave no figure; its text says why."""


def cells(frameworks, workloads):
    """The peers there are, as (framework, workload, path), of the frameworks and workloads asked for."""
    paths = sorted(path for path in PEERS.glob("*/*") if path.suffix in PROGRAMS and path.parent.name != "common")
    found = ((path.parent.name, path.stem, path) for path in paths)
    return [
        (framework, workload, path)
        for framework, workload, path in found
        if (not frameworks or framework in frameworks) and (not workloads or workload in workloads)
    ]


def row(framework, workload, folder):
    """Run the row once; return its rate in samples per second, and its result."""
    command = [sys.executable, "-m", "orchestrator", "bench", "configs/quick.yaml", "--framework", framework]
    command += ["--workload", workload, "--dataset", "synthetic", "--engine", "docker", "--device", "cpu"]
    command += [word for size in SIZES[workload] for word in ("--set", size)]
    command += ["--quiet", "--yes", "--results", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = list(folder.glob(f"*/{framework}-{workload}-cpu-1.json"))
    if done.returncode or not found:
        raise NotMeasured(f"the row failed: {done.stderr.strip()[-500:]}")
    result = json.loads(found[0].read_text())
    return result["figures"]["train_samples_per_s"] or result["figures"]["images_per_s"], result


def peer(path, result, folder):
    """Run the peer in the image of the row's `result`, with the job's settings; return samples per second."""
    spec = folder / "spec.json"
    spec.write_text(json.dumps(result["job"]))
    command = ["docker", "run", "--rm", "--network=none", "--tmpfs=/tmp:exec", "--env=HOME=/tmp"]
    command += [f"--user={os.getuid()}:{os.getgid()}", "--workdir=/tmp", "--env=PYTHONDONTWRITEBYTECODE=1"]
    command += [f"--volume={PEERS}:/peers:ro", f"--volume={spec}:/spec.json:ro", "--env=BENCH_SPEC=/spec.json"]
    # As bench.py does for rows. Without it MXNet takes half of the CPUs, and PaddlePaddle one.
    command += [f"--env={name}={result['start']['threads']}" for name in THREAD_VARIABLES]
    command += [f"--env={name}={value}" for name, value in result["job"]["env"].items()]
    command += ["--env=PYTHONPATH=/peers/common", result["provenance"]["environment"]["id"]]
    command += [*PROGRAMS[path.suffix], f"/peers/{path.relative_to(PEERS)}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasured(f"the peer failed with exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    measured = json.loads(done.stdout.splitlines()[-1])
    return measured["samples"] / measured["seconds"]


def compared(framework, workload, path, rounds):
    """Rates of both, in samples per second, one pair for each round."""
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            ours, result = row(framework, workload, Path(folder))
            yield ours, peer(path, result, Path(folder))


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__.splitlines()[0])
    parser.add_argument("--framework", action="append", default=[], help="only this framework (repeatable)")
    parser.add_argument("--workload", action="append", default=[], choices=SIZES, help="only this one (repeatable)")
    parser.add_argument("--rounds", type=int, default=3, help="how often both run, in turns (default: %(default)s)")
    options = parser.parse_args()
    asked = cells(options.framework, options.workload)
    if not asked:
        parser.error("there is no such peer")
    print(ROW.format("framework", "workload", "row", "peer", "ratio", "ratios of the rounds"), flush=True)
    failed = 0
    for framework, workload, path in asked:
        try:
            rates = list(compared(framework, workload, path, options.rounds))
        except NotMeasured as problem:
            print(ROW.format(framework, workload, "-", "-", "-", problem), flush=True)
            failed += 1
            continue
        ratios = [ours / theirs for ours, theirs in rates]
        row_rate, peer_rate = (f"{statistics.median(side):,.1f}/s" for side in zip(*rates, strict=True))
        ratio, each = f"{statistics.median(ratios):.2f}", " ".join(f"{ratio:.2f}" for ratio in ratios)
        print(ROW.format(framework, workload, row_rate, peer_rate, ratio, each), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
