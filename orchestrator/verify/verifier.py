"""Runs small jobs of the chosen cells as `bench` does, and compares them with the reference."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from orchestrator.engines import registry
from orchestrator.errors import UsageError
from orchestrator.judge import dropout, parity, traces
from orchestrator.judge.parity import ReferenceRun
from orchestrator.plan import catalog, spec_file
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import WorkloadName
from orchestrator.plan.spec_file import Override
from orchestrator.plan.workload import TrainingSettings
from orchestrator.plan.workloads import MISTAKES, WORKLOADS
from orchestrator.record import certificates, run_folder
from orchestrator.record.certificates import Envelope, FirstStep, Parity
from orchestrator.record.figures import Figures
from orchestrator.record.results import Failure, Result
from orchestrator.run import preparation
from orchestrator.run.listener import Listener
from orchestrator.verify.reference import ReferenceRuns

# Same weights, same batches, no dropout: the declarations of the workloads add their small sizes to this.
SPEC = """
name: verify
description: Checks that every framework computes the same; the times mean nothing.
dataset: synthetic
"""


@dataclass(frozen=True, kw_only=True)
class VerifiedCell:
    """One framework × workload, judged; `notes` are the differences that the framework declares."""

    framework: str
    title: str
    workload: WorkloadName
    parity: Parity
    envelope: Envelope | None  # None if there was nothing to judge
    notes: tuple[str, ...]


def request(base: preparation.Request, steps: int, overrides: Sequence[Override]) -> preparation.Request:
    """The request for a run that traces `steps` training steps. Raises SpecError, UsageError."""
    small = [
        Override(path=(name, key), value=value, origin=f"the declaration of {name}")
        for name, workload in WORKLOADS.items()
        for key, value in workload.small.items()
    ]
    frameworks = catalog.load(base.root).frameworks
    chosen = spec_file.parse(
        SPEC, name="verify", frameworks=frameworks, engines=registry.names(), overrides=[*small, *overrides]
    )
    if not registry.is_local(chosen.engine):  # a certificate is for one engine on one machine
        local = " or ".join(each.name for each in registry.registrations() if each.local)
        raise UsageError("cells are verified on this machine, not on a cluster", hint=f"use --engine {local}")
    settings = {
        name: each.with_steps(steps)
        for name in WORKLOADS
        if isinstance(each := chosen.settings_of(name), TrainingSettings)
    }
    return replace(
        base, given_spec=chosen.model_copy(update={"trace": steps, **settings}), results=base.results / "verify"
    )


def prepare(request: preparation.Request) -> preparation.PreparedRun:
    """Resolve the run of `request`, as bench.prepare does, with a second job for cells that have dropout."""
    prepared = preparation.prepare(request)
    pairs = [(job, dropout.job(job, on=True)) for job in prepared.jobs]
    skips = {second.id: prepared.skips[job.id] for job, second in pairs if second and job.id in prepared.skips}
    jobs = [job for pair in pairs for job in pair if job]
    return replace(prepared, jobs=jobs, skips={**prepared.skips, **skips})


class Verifier:
    """Judges the cells of one run."""

    def __init__(
        self,
        request: preparation.Request,
        folder: run_folder.RunFolder,
        prepared: preparation.PreparedRun,
        listener: Listener,
        *,
        only_mistakes: Collection[str] | None = None,
    ) -> None:
        """A diverging cell is compared with the known mistakes of its workload, or with those in `only_mistakes`."""
        self._request = request
        self._folder = folder
        self._prepared = prepared
        self._listener = listener
        reference_folder = run_folder.RunFolder(folder.path / "reference")
        self._reference = ReferenceRuns(request, prepared, reference_folder, listener, only_mistakes)

    def run(self) -> list[VerifiedCell]:
        """Run and judge all cells, storing a certificate for each. Raises HostError when the reference fails."""
        found = preparation.run(self._request, self._folder, self._prepared, self._listener)
        results = {result.job.id: result for result in found}
        return [
            self._cell(result, results.get(dropout.second(name)))
            for name, result in results.items()
            if not dropout.is_second(name)
        ]

    def _cell(self, result: Result, with_dropout: Result | None) -> VerifiedCell:
        job, failure = result.job, result.failure
        notes = tuple(result.start.notes) if result.start else ()
        reference = None
        if failure is not None and not _judged(failure, result.figures):
            verdict = _not_run(failure.message or failure.kind)
        else:
            reference = self._reference.reference(job.workload)
            verdict = self._verdict(result, with_dropout, reference)
        # A difference is accepted as declared only if the notes name every mistake that was found.
        if verdict.culprits and {MISTAKES[name].sentence for name in verdict.culprits} <= set(notes):
            verdict = verdict.model_copy(update={"word": "declared"})
        if reference is not None and verdict.word != "not run":
            certificates.write(self._request.results.parent, self._certificate(result, verdict, reference))
        return VerifiedCell(
            framework=job.framework,
            title=job.title,
            workload=job.workload,
            parity=verdict,
            envelope=reference.envelope if reference else None,
            notes=notes,
        )

    def _verdict(self, result: Result, with_dropout: Result | None, reference: ReferenceRun) -> Parity:
        cell = traces.read(self._folder, result)
        broke_off = result.failure.message if result.failure else ""
        verdict = parity.judge(cell, reference.trace, reference.envelope, broke_off=broke_off)
        if with_dropout is not None and reference.initial is not None and verdict.word != "not run":
            if with_dropout.failure is None:
                second = traces.read(self._folder, with_dropout)
                verdict = dropout.judge(verdict, cell, second, reference)
            elif verdict.word == "certified":  # a cell that diverges may fail here for the same reason
                return _not_run(f"with dropout: {with_dropout.failure.message or with_dropout.failure.kind}")
        if verdict.word == "diverges" and not verdict.culprits:
            mistakes = self._reference.mistakes(result.job.workload)
            found = parity.explain(cell, reference.trace, mistakes, reference.envelope)
            verdict = verdict.model_copy(update={"culprits": found})
        return verdict

    def _certificate(self, result: Result, verdict: Parity, reference: ReferenceRun) -> certificates.Certificate:
        job, data, code = result.job, result.provenance.data, result.provenance.code
        if result.start is None or data is None or code.parts_sha256 is None or code.workloads_sha256 is None:
            raise AssertionError(job.id)
        return certificates.Certificate(
            framework=job.framework,
            workload=job.workload,
            variant=certificates.variant_of(job),
            device=job.device,
            engine=result.provenance.engine,
            parity=verdict,
            envelope=reference.envelope,
            steps=job.trace,
            environment=certificates.environment_hashes(result.provenance.environment),
            code=code.parts_sha256,
            workloads_sha256=code.workloads_sha256,
            weights_sha256=data.inputs[certificates.WEIGHTS],
            data=data.fingerprint,
            versions={job.framework: result.start.version, **result.start.versions},
            oracle=dict(reference.versions),
            run=self._folder.id,
            made=run_folder.now(),
            by=result.provenance.by,
            **_expected_of_timed_jobs(job, reference),
        )


def _expected_of_timed_jobs(job: Job, reference: ReferenceRun) -> dict[str, Any]:
    """What a job that is timed has to give as well; the reference ran without dropout."""
    probe, envelope = reference.trace.probe, reference.envelope
    if job.declaration.trains:
        amounts = {name: job.settings[name] for name in ("batch", "train_samples")}
        return {"first_step": FirstStep(loss=reference.trace.losses[0], **amounts)}
    if probe is None:
        return {}
    return {"features": traces.some_of(probe), "features_tolerance": envelope.probe * float(np.abs(probe).max())}


def _judged(failure: Failure, figures: Figures) -> bool:
    """Whether a failed job computed something that can be judged.

    A loss of NaN or infinity is a divergence. A wrong number of test samples breaks the protocol, and is one too.
    """
    return failure.kind == "diverged" or (failure.kind == "protocol" and figures.test_samples is not None)


def _not_run(why: str) -> Parity:
    return Parity(word="not run", why=why.splitlines()[0])
