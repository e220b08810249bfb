"""The tests of `rosetta check`: what the environment and the workloads of a framework must fulfil. Pure.

Each function is one test. framework_check.py makes the runs whose results they judge.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from orchestrator.judge import parity
from orchestrator.plan.catalog import Framework, Image
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.record.certificates import Envelope, Parity
from orchestrator.record.events import Cold, Epoch, Event, Inference, Ready
from orchestrator.record.figures import Figures
from orchestrator.record.results import FailureKind, Result
from orchestrator.text import MAX_NOTE, printable

OLDEST_PYTHON = (3, 6)
# An epoch also reads the batch order and fetches a loss outside the measured time, and the machine may be busy.
SLACK_SECONDS, SLACK_SHARE = 0.1, 0.05


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one test; `advice` is what to do if it failed."""

    question: str
    ok: bool
    answer: str
    advice: str = ""


def workloads(framework: Framework) -> Finding:
    """Whether the framework has any workload. It need not have all: tables show a dash for a missing one."""
    missing = [name for name in WORKLOADS if name not in framework.workloads]
    lacking = f", no {' and no '.join(missing)}" if missing else ""
    return Finding(
        question="workloads",
        ok=bool(framework.workloads),
        answer=" ".join(framework.workloads) + lacking if framework.workloads else "there are none",
        advice="" if framework.workloads else f"add workloads/{framework.module}/{missing[0]}.py",
    )


def lock(image: Image, variant: str, text: str) -> Finding:
    """Whether the lock pins every package by its hash; `text` is a requirements file."""
    requirements = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and line[0] not in "# "]
    loose = [line.split()[0] for line in requirements if "--hash=sha256:" not in line or "==" not in line]
    if not requirements:
        loose = ["nothing"]
    return Finding(
        question=f"{variant} lock",
        ok=not loose,
        answer=f"does not pin {', '.join(loose[:3])}"
        if loose
        else f"{len(requirements)} package{'s' * (len(requirements) != 1)}, each with its hash",
        advice=f"run ci/lock.sh {image.name}" if loose else "",
    )


def syntax(path: PurePath, text: str) -> Finding:
    """Whether the oldest Python of all images can read this file."""
    written = ".".join(map(str, OLDEST_PYTHON))
    try:
        ast.parse(text, feature_version=OLDEST_PYTHON)
    except SyntaxError as error:
        return Finding(
            question=f"{path.name} syntax",
            ok=False,
            answer=f"line {error.lineno} is newer than Python {written}: {error.msg}",
            advice="use older syntax: all workloads share one, so that they can be compared line by line",
        )
    return Finding(question=f"{path.name} syntax", ok=True, answer=f"Python {written} can read it")


def unchanged(workload: str, day: str) -> Finding:
    """The finding of a cell that is not run: it passed on this day, and nothing changed that it depends on."""
    return Finding(question=workload, ok=True, answer=f"passed on {day}, unchanged (--again runs it)")


def runs(result: Result) -> Finding:
    """Whether the workload finished, as the protocol requires."""
    failure = result.failure
    if failure is None:
        answer = f"{result.seconds:.0f} s, from start to end by the protocol"
        return Finding(question=f"{result.job.workload} runs", ok=True, answer=answer)
    last = failure.log[-1] if failure.log else ""
    return Finding(
        question=f"{result.job.workload} runs",
        ok=False,
        answer=printable(failure.message, MAX_NOTE),
        # The message often ends in the last line of the log. Then the hint says more.
        advice=printable(failure.hint if last in failure.message else last, MAX_NOTE),
    )


def versions(result: Result, framework: Framework, image: Image) -> Finding:
    """Whether the environment has the versions in its labels."""
    question = f"{result.job.workload} versions"
    if result.start is None:
        return Finding(
            question=question, ok=False, answer="the job did not report its versions", advice="call job.start first"
        )
    found = {"the framework": (result.start.version.partition("+")[0], framework.version)}
    if image.python is not None:
        python = result.start.versions.get("python", "none")
        found["Python"] = (".".join(python.split(".")[:2]), image.python)
    for what, (reported, label) in found.items():
        if reported != label:
            return Finding(
                question=question,
                ok=False,
                answer=f"{what} is {printable(reported)}, but its label is {printable(label)}",
                advice=f"correct images/{image.name}/Dockerfile, or the lock",
            )
    return Finding(question=question, ok=True, answer=", ".join(reported for reported, _ in found.values()))


def clock(result: Result, events: Iterable[Event]) -> Finding:
    """Whether the reported times agree with the times at which the events arrived."""
    began: float | None = None
    reported = passed = 0.0
    for event in events:
        if isinstance(event, Ready | Cold):
            began = event.t
        elif isinstance(event, Epoch | Inference) and began is not None:
            reported, passed, began = reported + event.seconds, passed + event.t - began, event.t
    late = passed - reported
    question = f"{result.job.workload} clock"
    if not reported:
        return Finding(question=question, ok=False, answer="no time was reported", advice="find out why it did not run")
    if late > SLACK_SECONDS + SLACK_SHARE * passed:
        return Finding(
            question=question,
            ok=False,
            answer=f"reported {reported:.2f} s, but {passed:.2f} s passed: the clock stopped before the device did",
            advice="`sync` has to wait until all steps given to the device are done",
        )
    return Finding(question=question, ok=True, answer=f"reported {reported:.2f} s of {passed:.2f} s that passed")


def repeats(workload: str, first: Figures, again: Figures, allowed: Envelope) -> Finding:
    """Whether two runs of a training end the first epoch with the same loss: same batches, in the same order.

    `first` must have the loss of every step, `again` only that of the epoch, which depends on all batches before it.
    """
    losses = [first.losses[-1:], tuple(epoch.loss for epoch in again.epochs[:1])]
    (error,) = parity.loss_errors(*losses) or (float("inf"),)
    same = len(first.losses) == len(allowed.losses) and error <= allowed.losses[-1]
    return Finding(
        question=f"{workload} repeats",
        ok=same,
        answer="two runs, the same losses" if same else "two runs of the same job have different losses",
        advice="" if same else "take the batches from epoch.batches, in its order; leave dropout off at rate 0",
    )


def took(seconds: float) -> Finding:
    """How long the tests took. This cannot fail: the machine may be slow."""
    return Finding(question="time", ok=True, answer=f"{seconds:.0f} s without building the image")


def fails(result: Result, kind: FailureKind, question: str, advice: str) -> Finding:
    """Whether a job that cannot succeed ends with the expected kind of failure."""
    found = result.failure.kind if result.failure else "ok"
    return Finding(
        question=f"{result.job.workload} {question}",
        ok=found == kind,
        answer=f"ends as {kind!r}" if found == kind else f"ends as {found!r}, not as {kind!r}",
        advice="" if found == kind else advice,
    )


def agrees(workload: str, verdict: Parity, explained: Sequence[str]) -> Finding:
    """Whether the workload computes what the reference computes."""
    ok = verdict.word in ("certified", "declared")
    sentences = f"it computes what the reference computes when {', or '.join(explained)}" if explained else ""
    return Finding(
        question=f"{workload} parity",
        ok=ok,
        answer=f"{verdict.word}, certificate written" if ok else f"{verdict.word}: {printable(verdict.why, MAX_NOTE)}",
        advice="" if ok else sentences or parity.where(verdict),
    )
