"""Runs cells and the oracle on the same small job and judges the cells: all of `verify` but the screen.

The oracle is the reference workload in float64, run by this program's own Python. Cells run exactly as `bench` runs
them; only the spec is another one, configs/verify.yaml.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from orchestrator import bench, catalog, certificates, code, culprits, inputs, neighbours, parity, plan, spec, store
from orchestrator.datasets import npy
from orchestrator.engines.process import ProcessEngine
from orchestrator.errors import HostError
from orchestrator.parity import Envelope, Parity, Trace
from orchestrator.plan import Job
from orchestrator.planted_oracle import NUDGES
from orchestrator.results import Result
from orchestrator.runner import Listener, Runner
from orchestrator.spec import Override, WorkloadName

ORACLE = "numpy"  # the framework under workloads/ that the others are held to
SPEC = Path("configs") / "verify.yaml"
MAX_PROBE_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What the oracle says about one workload."""

    oracle: Trace
    envelope: Envelope
    versions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One framework × workload, judged; `notes` are what the framework says it does differently."""

    framework: str
    title: str
    workload: WorkloadName
    parity: Parity
    envelope: Envelope
    notes: tuple[str, ...]


def request(base: bench.Request, steps: int, overrides: Sequence[Override]) -> bench.Request:
    """The request for a run that traces `steps` training steps. Raises SpecError."""
    told = spec.load(base.root / SPEC, frameworks=catalog.load(base.root).frameworks, overrides=overrides)
    sizes = {name: {"train_samples": steps * getattr(told, name).batch} for name in ("cnn", "rnn")}
    settings = {name: getattr(told, name).model_copy(update=size) for name, size in sizes.items()}
    # Runs of this kind have a folder of their own: they are no measurements, and no report should take them for one.
    return replace(base, told=told.model_copy(update={"trace": steps, **settings}), results=base.results / "verify")


class Verifier:
    """Judges the cells of one run."""

    def __init__(
        self,
        request: bench.Request,
        folder: store.RunFolder,
        prepared: bench.Prepared,
        listener: Listener,
        notify: Callable[[str], None],
    ) -> None:
        self._request = request
        self._folder = folder
        self._prepared = prepared
        self._listener = listener
        self._notify = notify
        self._references: dict[WorkloadName, Reference] = {}
        self._planted: dict[WorkloadName, dict[str, Trace]] = {}
        self._oracle_folder = store.RunFolder(folder.path / "oracle")
        self._oracle_runner = self._runner()

    def run(self) -> list[Cell]:
        """Run everything; certificates are stored as verdicts are known. Raises HostError when the oracle fails."""
        workloads = dict.fromkeys(job.workload for job in self._prepared.jobs)
        self._references = {workload: self._reference(workload) for workload in workloads}
        results = bench.run(self._request, self._folder, self._prepared, self._listener, self._notify)
        return [self._judge(result) for result in results]

    def _reference(self, workload: WorkloadName) -> Reference:
        exact = self._ask(workload, "fp64")
        rounded = [self._ask(workload, "fp32", plant=name) for name in ("", *NUDGES)]
        for result in (exact, *rounded):
            if result.failure is not None:
                raise HostError(
                    f"the reference cannot run {workload} here: {result.failure.message}",
                    hint=f"see {self._oracle_folder.path / result.job.id}.log",
                )
        oracle = trace(self._oracle_folder, exact)
        allowed = parity.envelope(oracle, [trace(self._oracle_folder, each) for each in rounded])
        versions = dict(exact.start.versions) if exact.start else {}
        return Reference(oracle=oracle, envelope=allowed, versions=versions)

    def _judge(self, result: Result) -> Cell:
        job = result.job
        reference = self._references[job.workload]
        verdict = _verdict(self._folder, result, reference)
        if verdict.word == "diverges":
            found = parity.explain(
                trace(self._folder, result), reference.oracle, self._mistakes(job.workload), reference.envelope
            )
            verdict = verdict.model_copy(update={"culprits": found})
        if verdict.word != "not run":
            certificates.write(self._request.results.parent, self._certificate(result, verdict, reference))
        return Cell(
            framework=job.framework,
            title=job.title,
            workload=job.workload,
            parity=verdict,
            envelope=reference.envelope,
            notes=tuple(result.start.notes) if result.start else (),
        )

    def _mistakes(self, workload: WorkloadName) -> dict[str, Trace]:
        """What the oracle computes with each of the known mistakes. Asked once per workload."""
        if workload not in self._planted:
            found = {}
            for name in culprits.of(workload):
                self._listener.preparing(f"the reference with a mistake: {culprits.CULPRITS[name].sentence}")
                result = self._ask(workload, "fp64", plant=name)
                if result.failure is not None and result.failure.kind != "diverged":
                    self._notify(f"{result.job.id} cannot be compared with: {result.failure.message}")
                    continue
                found[name] = trace(self._oracle_folder, result)
            self._planted[workload] = found
        return self._planted[workload]

    def _ask(self, workload: WorkloadName, precision: spec.Precision, *, plant: str = "") -> Result:
        """Run the oracle on the job that the cells have, with one of planted_oracle.PLANTS where it is named."""
        told = self._prepared.spec.model_copy(
            update={"frameworks": (ORACLE,), "workloads": (workload,), "precision": precision}
        )
        (job,) = plan.plan(told, self._prepared.catalog, "cpu")
        changes = {"id": f"{workload}-{plant or precision}"}
        if plant:
            changes["command"] = f"python -m orchestrator.planted_oracle {plant} {{workload}}"
        (result,) = self._oracle_runner.run([job.model_copy(update=changes)])
        return result

    def _runner(self) -> Runner:
        self._oracle_folder.path.mkdir()
        _, image = self._prepared.catalog.frameworks[ORACLE]
        return Runner(
            catalog=self._prepared.catalog,
            engine=ProcessEngine(cache=self._request.cache, pythons={image.name: Path(sys.executable)}),
            folder=self._oracle_folder,
            inputs=inputs.Store(cache=self._request.cache, choice=self._prepared.spec.dataset, notify=self._notify),
            code=code.facts(self._request.root),
            host=self._prepared.host,
            listener=Quiet(self._listener),
            turns=neighbours.Turns(self._request.cache, self._listener.notice),
        )

    def _certificate(self, result: Result, verdict: Parity, reference: Reference) -> certificates.Certificate:
        job, data = result.job, result.provenance.data
        framework, _ = self._prepared.catalog.frameworks[job.framework]
        if result.start is None or data is None:  # a judged job has said what it is, and had inputs
            raise AssertionError(job.id)
        return certificates.Certificate(
            framework=job.framework,
            workload=job.workload,
            device=job.device,
            engine=result.provenance.engine,
            parity=verdict,
            envelope=reference.envelope,
            steps=job.trace,
            environment=certificates.environment_hashes(result.provenance.environment),
            code=certificates.code_hashes(self._request.root, framework),
            workloads_sha256=result.provenance.code["workloads_sha256"],
            weights_sha256=data.inputs["weights.npz"],
            data=data.fingerprint,
            versions={job.framework: result.start.version, **result.start.versions},
            oracle=dict(reference.versions),
            run=self._folder.id,
            made=store.now(),
        )


class Quiet:
    """Lets a listener know what is prepared, and nothing about jobs: the oracle's are not the run's."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.log = listener.log
        self.notice = listener.notice

    def lane(self, node: str) -> Quiet:
        return Quiet(self._listener.lane(node))

    def preparing(self, what: str) -> None:
        self._listener.preparing(f"the reference: {what}")

    def job_started(self, job: Job, number: int, total: int, epoch_samples: int | None) -> None: ...

    def job_event(self, job: Job, event: object) -> None: ...

    def job_finished(self, result: Result) -> None: ...


def trace(folder: store.RunFolder, result: Result) -> Trace:
    """What a job left to be compared. A probe that is missing, or none, is None."""
    name = "features-0.npy" if result.job.workload == "resnet50" else "scores-0.npy"
    probe = None
    if name in result.figures.artifacts:
        try:
            array = npy.open_array(folder.path / f"{result.job.id}.output" / name)
        except (OSError, ValueError):
            array = np.empty(0)
        if array.ndim == 2 and array.dtype.kind == "f" and 0 < array.nbytes <= MAX_PROBE_BYTES:
            probe = np.array(array, np.float64)
    if probe is not None and not np.isfinite(probe).all():
        probe = None
    if probe is not None and result.job.workload != "resnet50":
        probe = parity.log_probabilities(probe)
    return Trace(losses=result.figures.losses, probe=probe)


def _verdict(folder: store.RunFolder, result: Result, reference: Reference) -> Parity:
    failure = result.failure
    if failure is not None and failure.kind != "diverged":  # a loss that is no number any more is a divergence too
        return Parity(word="not run", why=failure.message.splitlines()[0] if failure.message else failure.kind)
    return parity.judge(
        trace(folder, result), reference.oracle, reference.envelope, broke_off=failure.message if failure else ""
    )
