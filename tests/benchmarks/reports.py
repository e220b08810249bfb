"""A run of 1,000 results and a hundred runs, and what every form of their report costs."""

import concurrent.futures
import os
import random
import subprocess
import sys
import time

from orchestrator.record.run_folder import RunFolder
from tests.support import published

RESULTS = 1_000
RUNS = 100
FORMS = ("table", "markdown", "json", "csv", "html")
GOAL = "goal: 2 s, 500 MB"


def fill(results, count=RESULTS):
    """A run folder with `count` results: the published ones again and again, as repeats whose times differ by 2 %."""
    kept = published.runs()[0]
    dice = random.Random(1)  # noqa: S311  (a spread, no secret)
    folder = RunFolder(results / kept.run.id)
    folder.path.mkdir(parents=True)
    jobs = []
    for number in range(count):
        repeat, which = divmod(number, len(kept.results))
        result = again(kept.results[which], repeat + 1, dice.lognormvariate(0.0, 0.02))
        folder.write_result(result)
        jobs.append(result.job)
    folder.write_run(kept.run.model_copy(update={"jobs": tuple(jobs)}))
    return folder.path


def again(result, repeat, factor):
    """Repeat number `repeat` of a result, `factor` times as slow."""
    job = result.job.model_copy(update={"id": f"{result.job.id.rpartition('-')[0]}-{repeat}", "repeat": repeat})
    figures = result.figures
    scaled = {name: value * factor for name in ("train_s", "inference_s") if (value := getattr(figures, name))}
    scaled |= {
        name: value / factor
        for name in ("train_samples_per_s", "steady_samples_per_s", "images_per_s")
        if (value := getattr(figures, name))
    }
    start = result.start and result.start.model_copy(update={"t": result.start.t * factor})
    return result.model_copy(update={"job": job, "start": start, "figures": figures.model_copy(update=scaled)})


def cost(runs, form, output):
    """What `rosetta report` takes: CPU seconds, wall seconds, peak memory in MB (10⁶ bytes)."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "orchestrator", "report", *map(str, runs), "--format", form, "-o", str(output)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    return used.ru_utime + used.ru_stime, time.perf_counter() - began, used.ru_maxrss * 1024 / 1e6


def measure(folder):
    """A row for each form; CPU time, for it does not depend on who else uses the machine."""
    # In a process of its own: a child's peak of memory counts what its parent had when it was started.
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        large = pool.submit(fill, folder / "reports").result()
        one = pool.submit(published.unpack, folder / "runs").result()
    asked = [([large], form, f"report of {RESULTS:,} results, {form}", f"; {GOAL}") for form in FORMS]
    asked += [([one] * RUNS, form, f"report of {RUNS:,} runs, {form}", "") for form in ("csv", "table")]
    for runs, form, title, goal in asked:
        cpu, wall, megabytes = cost(runs, form, folder / f"report.{form}")
        yield title, f"{cpu:.2f} CPU s, {megabytes:.0f} MB", f"{wall:.2f} s{goal}"
