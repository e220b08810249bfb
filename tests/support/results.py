"""Made-up results: for tests of what is computed from results."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.errors import StoreError
from orchestrator.plan import spec
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import EngineName
from orchestrator.plan.workload import Device
from orchestrator.record.events import Start
from orchestrator.record.figures import Figures
from orchestrator.record.provenance import CodeFacts, EnvironmentFacts, HostFacts
from orchestrator.record.results import DataFacts, Failure, Provenance, Result
from orchestrator.record.run_folder import Run
from orchestrator.report import notices

START = {
    "event": "start",
    "seq": 0,
    "t": 0.1,
    "protocol": 2,
    "framework": "numpy",
    "workload": "cnn",
    "version": "2.0",
    "versions": {"python": "3.11"},
    "device": "cpu",
    "device_name": None,
    "precision": "fp32",
    "threads": 2,
    "fused": None,
    "denormals": "flushed",
    "notes": [],
}
CNN = {"epochs": 2, "batch": 64, "train_samples": 12800, "test_samples": None, "lr": 0.01, "momentum": 0.9}
RESNET = {"batch": 32, "batches": 8, "seconds": 0.0, "variant": "v1"}
# Texts that try to leave their place in a page or a terminal.
HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe\x00\x1b[31m",
    "\ud800",
    "<b>bold</b>&amp;<a href='javascript:alert(1)'>x</a>",
    "x" * 10_000,
]


def result(
    framework: str = "pytorch",
    workload: str = "cnn",
    *,
    device: Device = "cpu",
    source: str = "official",
    repeat: int = 1,
    failure: Failure | None = None,
    engine: EngineName = "docker",
    cpu: str = "CPU X",
    **figures: Any,
) -> Result:
    data = "cifar10" if workload == "cnn" else "images"
    job = Job(
        id=f"{framework}-{workload}-{device}-{repeat}", framework=framework, title=framework.title(), image=framework,
        module=framework, env={}, workload=workload, dataset=data, device=device, repeat=repeat, precision="fp32",
        seed=1, trace=0, settings=CNN if workload == "cnn" else RESNET, timeout=1.0, memory=None, cpus=None,
    )  # fmt: skip
    label = data if source == "official" else f"{data} ({source})"
    return Result(
        job=job,
        status="failed" if failure else "ok",
        failure=failure,
        start=Start.model_validate({**START, "notes": ["no fused kernel"] if framework == "numpy" else []}),
        figures=Figures(**figures),
        provenance=Provenance(
            engine=engine, environment=EnvironmentFacts(), code=CodeFacts(), host=HostFacts(cpu=cpu, cpus_used=(0, 1)),
            data=DataFacts(label=label, source=source, fingerprint="f", inputs={}),
        ),
        began="2026-01-01T00:00:00+00:00",
        seconds=10.0,
    )  # fmt: skip


def trained(framework: str = "pytorch", seconds: float = 100.0, **kwargs: Any) -> Result:
    return result(framework, accuracy=0.765, train_s=seconds, train_samples_per_s=25600 / seconds, **kwargs)


def runs(*seconds: float, accuracy: float = 0.765, test_samples: int = 10_000, **kwargs: Any) -> list[Result]:
    return [
        result("numpy", accuracy=accuracy, test_samples=test_samples, train_s=each, repeat=repeat, **kwargs)
        for repeat, each in enumerate(seconds, start=1)
    ]


def failed(framework: str = "numpy", status: str = "failed", **kwargs: Any) -> Result:
    reason: dict[str, Any] = {
        "kind": "exception",
        "message": "it broke",
        "hint": "mend it",
        "log": ("line 1", "line 2"),
        **kwargs,
    }
    return result(framework, failure=Failure(**reason)).model_copy(update={"status": status})


def with_epochs(
    it: Result, losses: Sequence[float] = (2.0, 1.5), accuracies: Sequence[float | None] = (None, None)
) -> Result:
    assert it.figures.train_s is not None
    seconds = it.figures.train_s / len(losses)
    epochs = tuple(
        {"samples": 12800, "seconds": seconds, "loss": loss, "accuracy": accuracy}
        for loss, accuracy in zip(losses, accuracies, strict=True)
    )
    return it.model_copy(update={"figures": it.figures.model_validate({**it.figures.model_dump(), "epochs": epochs})})


def cnn(framework: str = "pytorch", seconds: float = 100.0, *, title: str | None = None, **kwargs: Any) -> Result:
    """A result of the CNN as it is stored."""
    found = with_epochs(trained(framework, seconds, **kwargs))
    return found.model_copy(update={"job": found.job.model_copy(update={"title": title})}) if title else found


def measured(
    *results: Result,
    extra: Iterable[Job] = (),
    curves: Mapping[str, Any] | None = None,
    usage: Mapping[str, Any] | None = None,
    damaged: tuple[StoreError, ...] = (),
) -> notices.Measured:
    """Results as a run that planned them, and the jobs `extra`."""
    run = Run(
        id="20260101-000000-test",
        began="2026-01-01T00:00:00+00:00",
        command=("orchestrator", "bench"),
        engine="docker",
        spec=spec.Spec(name="test"),
        jobs=(*(each.job for each in results), *extra),
    )
    return notices.Measured(
        run=run, results=results, curves=dict(curves or {}), usage=dict(usage or {}), damaged=damaged
    )
