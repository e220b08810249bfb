"""What a framework's environment and workloads have to hold to, one question each. Pure.

`orchestrator check` asks them all; checking.py makes the runs that the answers come from.
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
# Beside what the clock says, an epoch has the batch order to read and a loss to fetch; the machine may be busy.
SLACK_SECONDS, SLACK_SHARE = 0.1, 0.05


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One question and its answer; `advice` says what to do where it is not ok."""

    question: str
    ok: bool
    answer: str
    advice: str = ""


def workloads(framework: Framework) -> Finding:
    """Whether there is something to run. A framework may be unable to do one; tables then show a dash."""
    missing = [name for name in WORKLOADS if name not in framework.workloads]
    lacking = f", no {' and no '.join(missing)}" if missing else ""
    return Finding(
        question="workloads",
        ok=bool(framework.workloads),
        answer=" ".join(framework.workloads) + lacking if framework.workloads else "there are none",
        advice="" if framework.workloads else f"add workloads/{framework.module}/{missing[0]}.py",
    )


def lock(image: Image, variant: str, text: str) -> Finding:
    """Whether the lock names every file by its hash; `text` is a requirements file."""
    requirements = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and line[0] not in "# "]
    loose = [line.split()[0] for line in requirements if "--hash=sha256:" not in line or "==" not in line]
    if not requirements:
        loose = ["nothing"]
    return Finding(
        question=f"{variant} lock",
        ok=not loose,
        answer=f"does not pin {', '.join(loose[:3])}" if loose else f"{len(requirements)} packages, each with its hash",
        advice=f"run ci/lock.sh {image.name}" if loose else "",
    )


def syntax(path: PurePath, text: str) -> Finding:
    """Whether the oldest Python that images have can read this file."""
    written = ".".join(map(str, OLDEST_PYTHON))
    try:
        ast.parse(text, feature_version=OLDEST_PYTHON)
    except SyntaxError as error:
        return Finding(
            question=f"{path.name} syntax",
            ok=False,
            answer=f"line {error.lineno} is newer than Python {written}: {error.msg}",
            advice="write it the older way: one syntax for all images lets two workloads be read side by side",
        )
    return Finding(question=f"{path.name} syntax", ok=True, answer=f"Python {written} can read it")


def runs(result: Result) -> Finding:
    """Whether the workload came to its end, by the protocol."""
    failure = result.failure
    if failure is None:
        answer = f"{result.seconds:.0f} s, from start to end by the protocol"
        return Finding(question=f"{result.job.workload} runs", ok=True, answer=answer)
    return Finding(
        question=f"{result.job.workload} runs",
        ok=False,
        answer=printable(failure.message, MAX_NOTE),
        advice=printable(failure.log[-1], MAX_NOTE) if failure.log else failure.hint,
    )


def versions(result: Result, framework: Framework, image: Image) -> Finding:
    """Whether the environment holds what its labels say."""
    question = f"{result.job.workload} versions"
    if result.start is None:
        return Finding(question=question, ok=False, answer="it never said what runs", advice="call job.start first")
    found = {"the framework": (result.start.version.partition("+")[0], framework.version)}
    if image.python is not None:
        python = result.start.versions.get("python", "none")
        found["Python"] = (".".join(python.split(".")[:2]), image.python)
    for what, (told, label) in found.items():
        if told != label:
            return Finding(
                question=question,
                ok=False,
                answer=f"{what} is {printable(told)}, the label says {printable(label)}",
                advice=f"correct images/{image.name}/Dockerfile, or the lock",
            )
    return Finding(question=question, ok=True, answer=", ".join(told for told, _ in found.values()))


def clock(result: Result, events: Iterable[Event]) -> Finding:
    """Whether the time that was told is the time that passed between the events around it."""
    began: float | None = None
    told = passed = 0.0
    for event in events:
        if isinstance(event, Ready | Cold):
            began = event.t
        elif isinstance(event, Epoch | Inference) and began is not None:
            told, passed, began = told + event.seconds, passed + event.t - began, event.t
    late = passed - told
    question = f"{result.job.workload} clock"
    if not told:
        return Finding(question=question, ok=False, answer="no time was told", advice="see why it did not run")
    if late > SLACK_SECONDS + SLACK_SHARE * passed:
        return Finding(
            question=question,
            ok=False,
            answer=f"told {told:.2f} s, but {passed:.2f} s passed: the device was still at work when the clock stopped",
            advice="`sync` has to wait until all steps given to the device are done",
        )
    return Finding(question=question, ok=True, answer=f"told {told:.2f} s of {passed:.2f} s that passed")


def repeats(workload: str, first: Figures, again: Figures, allowed: Envelope) -> Finding:
    """Whether the first epoch of the same training ends the same twice: after the same batches, in the same order.

    `first` has told the loss of every step, `again` need not have: the last one hangs on all batches before.
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
    """How long all this took, which is no question: what is slow here may be the machine."""
    return Finding(question="time", ok=True, answer=f"{seconds:.0f} s without building the image")


def fails(result: Result, kind: FailureKind, question: str, advice: str) -> Finding:
    """Whether a job that cannot succeed says so, in the words of the protocol."""
    found = result.failure.kind if result.failure else "ok"
    return Finding(
        question=f"{result.job.workload} {question}",
        ok=found == kind,
        answer=f"ends as {kind!r}" if found == kind else f"ends as {found!r}, not as {kind!r}",
        advice="" if found == kind else advice,
    )


def agrees(workload: str, verdict: Parity, explained: Sequence[str]) -> Finding:
    """Whether it computes what the reference computes."""
    ok = verdict.word in ("certified", "declared")
    sentences = f"it computes what the reference computes when {', or '.join(explained)}" if explained else ""
    return Finding(
        question=f"{workload} parity",
        ok=ok,
        answer=verdict.word if ok else f"{verdict.word}: {printable(verdict.why, MAX_NOTE)}",
        advice="" if ok else sentences or parity.where(verdict),
    )
