"""Measure what there is to learn on a machine with a GPU, in minutes and without a network: see README.md.

Runs in the Python that has the frameworks, and needs nothing but its standard library.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CARRIED = ROOT / ".gpu"
LAST_SECONDS = 15.0  # kept for the report


class Day:
    """The steps of a day: each with a time limit, a log, and a line in the summary."""

    def __init__(self, options):
        self.options = options
        self.began = time.monotonic()
        self.work = Path(tempfile.mkdtemp(prefix="gpu-day-"))
        self.logs = self.work / "logs"
        self.logs.mkdir()
        self.results = self.work / "results"
        self.dataset = options.dataset
        self.python = self.work / "venv" / "bin" / "python"
        self.environment = {**os.environ, "ROSETTA_CACHE": str(self.work / "cache"), "COLUMNS": "170"}
        self.environment |= {"PYTHONUNBUFFERED": "1", "OUT": str(options.out)}
        self.given = [f"--python={name}={self.python}" for name in options.frameworks]
        self.on = ["--device", options.device, "--engine", "process", *self.given]

    def left(self):
        """Seconds until the report has to begin."""
        return self.options.total - LAST_SECONDS - (time.monotonic() - self.began)

    def note(self, line):
        line = f"[{time.monotonic() - self.began:4.0f} s] {line}"
        print(line, flush=True)
        with (self.options.out / "summary.txt").open("a") as file:
            file.write(line + "\n")

    def run(self, name, limit, *command, least=10.0):
        """Run a command for at most `limit` seconds; its output goes to a log. Returns whether it succeeded."""
        if shutil.which(command[0]) is None:
            self.note(f"{name}: there is no {command[0]} here")
            return False
        limit = min(limit, self.left())
        if limit < least:
            self.note(f"{name}: left out, there is no time for it")
            return False
        began = time.monotonic()
        path = self.logs / f"{name}.txt"
        with path.open("ab") as log:
            child = subprocess.Popen(
                [str(word) for word in command], cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
            try:
                end = f"exit code {child.wait(limit)}"
            except subprocess.TimeoutExpired:
                # SIGINT first: `rosetta` then ends its jobs and writes what it has.
                for signal in (2, 9):
                    os.killpg(child.pid, signal)
                    try:
                        child.wait(8)
                        break
                    except subprocess.TimeoutExpired:
                        pass
                end = f"ended at its limit of {limit:.0f} s"
        self.note(f"{name}: {end}, {time.monotonic() - began:.0f} s")
        print("\n".join(path.read_text(errors="replace").splitlines()[-self.options.tail :]), flush=True)
        return child.returncode == 0

    def rosetta(self, name, limit, *arguments):
        return self.run(name, limit, self.python, "-m", "orchestrator", *arguments)

    def bench(self, name, limit, frameworks, workloads, *settings):
        words = [word for each in frameworks for word in ("--framework", each)]
        words += [word for each in workloads for word in ("--workload", each)]
        words += [word for each in (*self.options.set, *settings) for word in ("--set", each)]
        words += ["--dataset", self.dataset, "--yes", "--results", self.results]
        return self.rosetta(name, limit, "bench", "configs/seed.yaml", *self.on, *words)


def setup(day):
    site = "import sysconfig, sys; print(sysconfig.get_path('purelib'))"
    if not day.run("setup", 60, sys.executable, "-m", "venv", "--without-pip", day.work / "venv"):
        return False
    own, theirs = (
        subprocess.run([str(python), "-c", site], check=True, capture_output=True, text=True).stdout.strip()
        for python in (day.python, sys.executable)
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    wheels = sorted((CARRIED / "wheels").glob("*.whl"))
    if wheels and not day.run("setup", 60, *pip, "--target", own, *wheels):
        return False
    # Packages of the machine itself (its frameworks, NumPy) come behind the carried ones.
    Path(own, "zz-machine.pth").write_text(f"{theirs}\n")
    Path(own, "zz-rosetta.pth").write_text(f"{ROOT}\n")
    return day.rosetta("setup", 60, "--version")


def data(day):
    source = CARRIED / "data"
    if source.is_dir() and day.dataset != "synthetic":
        unpack = source / "unpack"
        if unpack.is_file():
            day.run("data", 90, unpack, day.work / "data")
            source = day.work / "data"
        found = {path.stem: path for path in source.iterdir()} if source.is_dir() else {}
        names = [name for name in ("cifar10", "imdb", "tinyshakespeare") if name in found]
        done = [day.rosetta("data", 90, "data", "import", name, found[name]) for name in names]
        if len(done) == 3 and all(done):
            return True
    day.note("data: not all real datasets are here, so all jobs use synthetic ones: accuracies mean nothing")
    day.dataset = "synthetic"
    return True


def facts(day):
    day.run("facts", 20, "nvidia-smi", "-q")
    day.run("facts", 30, day.python, "-m", "tests.gpu.facts")
    return day.run("facts", 30, sys.executable, "-m", "pip", "list", "--disable-pip-version-check")


def doctor(day):
    return day.rosetta("doctor", 30, "doctor", *day.given)


def fp32(day):
    return day.bench("fp32", 190, day.options.frameworks, ["cnn", "rnn", "resnet50"])


def verify(day):
    """Certificates, and beside them what `check` finds: neither measures."""
    names = day.options.frameworks
    words = [*day.on, "--steps", "5", "--results", day.results]
    beside = ["check", names[0], "--device", day.options.device, "--engine", "process", day.given[0]]
    check = threading.Thread(target=day.rosetta, args=("check", 150, *beside, "--results", day.results))
    check.start()
    done = day.rosetta("verify", 150, "verify", *names, *words)
    check.join()
    return done


def amp(day):
    return day.bench("amp", 90, day.options.frameworks[:1], ["cnn", "rnn", "resnet50"], "precision=amp")


def tf32(day):
    return day.bench("tf32", 90, day.options.frameworks[:1], ["cnn", "rnn", "resnet50"], "precision=tf32")


def gpt(day):
    return day.bench("gpt", 400, day.options.frameworks, ["gpt"], "precision=amp")


def profiles(day):
    return day.run("profiles", 75, day.python, "-m", "tests.gpu.profiles", day.options.device, day.dataset)


def variants(day):
    seconds = max(10.0, min(90.0, day.left() - 15.0))
    return day.run(
        "variants", 110, day.python, "-m", "tests.gpu.variants", day.options.device, day.dataset, f"{seconds:.0f}"
    )


def failures(day):
    if day.options.device == "gpu":
        ready = day.work / "gpu-is-full"
        command = [day.python, "-m", "tests.gpu.occupy", ready, "45"]
        with subprocess.Popen([str(word) for word in command], cwd=ROOT) as occupier:
            until = time.monotonic() + 30
            while not ready.exists() and occupier.poll() is None and time.monotonic() < until:
                time.sleep(0.2)
            day.bench("failures", 45, day.options.frameworks[:1], ["cnn"], "cnn.epochs=1", "cnn.batch=4096")
            occupier.terminate()
    small = ("cnn.epochs=1", "cnn.train_samples=6400", "cnn.lr=1e38")
    return day.bench("failures", 45, day.options.frameworks[:1], ["cnn"], *small)


def report(day):
    """Tables, a capsule and all logs: few files, as what can be brought back may be limited."""
    out = day.options.out
    runs = sorted(path.name for path in day.results.glob("2*-seed*")) if day.results.is_dir() else []
    if runs:
        day.options.total += 60.0  # it is the last
        words = ["--format", "markdown", "-o", out / "tables.md", "--capsule", out / "capsule.json"]
        day.rosetta("report", 60, "report", *runs, *words, "--results", day.results)
    with tarfile.open(out / "logs.tar.gz", "w:gz") as archive:
        archive.add(day.logs, "logs")
        if day.results.is_dir():
            archive.add(day.results, "results", filter=lambda each: None if each.name.endswith(".npy") else each)
    shutil.rmtree(day.work)


STEPS = (setup, data, facts, doctor, fp32, verify, amp, tf32, profiles, variants, failures, gpt)
NEEDED = (setup, data)  # by all others


def main():
    names = [step.__name__ for step in STEPS]
    parser = argparse.ArgumentParser(prog="python3 -m tests.gpu.day", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="an empty folder for the results")
    parser.add_argument("--total", type=float, default=480.0, metavar="SECONDS", help="when it ends (default: 480)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="only these steps")
    parser.add_argument("--frameworks", nargs="+", default=["pytorch", "jax"], help="those that this Python has")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="cpu: a rehearsal")
    parser.add_argument("--dataset", default="imported", help="as in `rosetta bench`")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of every run, as in `bench`")
    parser.add_argument("--tail", type=int, default=25, help="how many lines of each log are shown")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.out = options.out.resolve()
    day = Day(options)
    day.note(f"{sys.executable}, Python {sys.version.split()[0]}, {len(os.sched_getaffinity(0))} CPUs")
    try:
        for step in STEPS:
            wanted = step in NEEDED or step.__name__ in options.only
            if wanted and not step(day) and step is setup:
                day.note("setup failed, so nothing else can run")
                break
    finally:
        report(day)
    day.note("done")


if __name__ == "__main__":
    main()
