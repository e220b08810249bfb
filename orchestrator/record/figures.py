"""Events → the figures of a job. Pure: the same stored events always give the same figures.

All times are seconds on the workload's own monotonic clock, read while the device was idle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from orchestrator.plan.jobs import PROTOCOL_VERSION, Job
from orchestrator.plan.workload import TrainingWorkload
from orchestrator.record import events
from orchestrator.record.events import Event, Violation
from orchestrator.strict import Strict

# Figures are read back from files that may have been edited: values that no stream can give are rejected.
Amount = Annotated[float, Field(ge=0, le=1e22, allow_inf_nan=False)]
Time = Annotated[float, Field(gt=0, le=1e22, allow_inf_nan=False)]  # of work: rates divide by it

TIMED_FEATURES = 64  # of an image's features that a result keeps: enough to see that they are others


class EpochFigure(Strict):
    """One pass over the training set."""

    samples: int
    seconds: Time
    loss: float
    accuracy: Amount | None = None  # share of all test samples predicted correctly after it; None if not scored
    test_loss: float | None = None  # mean loss over all test samples after it, of a workload scored by it

    @property
    def score(self) -> float | None:
        """The accuracy or the test loss, as the workload is scored; None if it was not scored after this epoch."""
        return self.accuracy if self.accuracy is not None else self.test_loss


class Figures(Strict):
    """What was measured. Training fields are None for inference, and the other way round."""

    load_s: Amount | None = None
    build_s: Amount | None = None
    compile_s: Amount | None = None
    epochs: tuple[EpochFigure, ...] = ()
    train_s: Time | None = None  # all epochs, the first one included
    train_samples_per_s: Amount | None = None
    steady_samples_per_s: Amount | None = None  # without the first epoch; None when there is only one
    test_samples: events.Samples | None = None
    accuracy: Amount | None = None  # share of all test samples predicted correctly, 0 to 1
    test_loss: float | None = None  # mean loss over all test samples, of a workload scored by it
    score_s: Amount | None = None  # of all scorings: with a learning curve there is one after every epoch
    cold_s: Amount | None = None
    inference_s: Amount | None = None
    images_per_s: Amount | None = None
    batch_seconds: tuple[Amount, ...] = ()
    losses: tuple[float, ...] = ()  # of the first `trace` steps
    first_loss: float | None = None  # of the first step, whatever `trace` is; None in earlier versions
    # TIMED_FEATURES of the first image in the first timed pass, evenly spaced; empty if the job sent none
    timed_features: Annotated[tuple[float, ...], Field(max_length=TIMED_FEATURES)] = ()
    artifacts: tuple[str, ...] = ()

    @property
    def score(self) -> float | None:
        """The accuracy or the test loss, as the workload is scored; None of inference, or of a training not scored."""
        return self.accuracy if self.accuracy is not None else self.test_loss

    @property
    def ranking_s(self) -> float | None:
        """The time that tables rank by: all epochs of a training that was scored, or an image of the timed passes."""
        if self.score is not None:
            return self.train_s or None
        return 1 / self.images_per_s if self.images_per_s else None

    @property
    def part_seconds(self) -> tuple[float, ...]:
        """The times that this figure is made of: of every epoch, or of every batch of the timed passes."""
        return tuple(epoch.seconds for epoch in self.epochs) or self.batch_seconds


class Collector:
    """Takes events one by one, keeps what the figures need (bounded by the job, not by the stream)."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.start: events.Start | None = None
        self._ready: events.Ready | None = None
        self._epochs: list[EpochFigure] = []
        self._scores: dict[int, events.Score] = {}  # by the epoch before, from 1
        self._passes: dict[str, events.Cold | events.Inference] = {}
        self._losses: list[float] = []
        self._first_loss: float | None = None
        self.artifacts: list[str] = []

    def add(self, event: Event) -> None:
        """Take one event. Raises Violation when it contradicts the job."""
        match event:
            case events.Step():  # first, because nearly all events are steps
                self._add_step(event)
            case events.Start():
                self._check_start(event)
                self.start = event
            case events.Ready():
                self._ready = event
            case events.Epoch():
                self._check_epoch(event)
                self._epochs.append(EpochFigure(samples=event.samples, seconds=event.seconds, loss=event.loss))
            case events.Score():
                self._check_score(event)
                self._scores[len(self._epochs)] = event
                scored = {"accuracy": _accuracy(event), "test_loss": event.loss}
                self._epochs[-1] = self._epochs[-1].model_copy(update=scored)
            case events.Cold() | events.Inference():
                self._passes[event.event] = event
            case events.Artifact():
                self.artifacts.append(event.name)

    def _add_step(self, step: events.Step) -> None:
        if step.epoch > 1:
            return
        if step.step == 1:
            self._first_loss = step.loss
        if step.step == len(self._losses) + 1 <= self._job.trace:
            self._losses.append(step.loss)

    def figures(self) -> Figures:
        """The figures so far; what has not been measured is None."""
        ready, score = self._ready, self._scores.get(self._job.settings.get("epochs", 0))
        cold, timed = self._passes.get("cold"), self._passes.get("inference")
        epochs = self._epochs
        return Figures(
            load_s=ready.load_s if ready else None,
            build_s=ready.build_s if ready else None,
            compile_s=ready.compile_s if ready else None,
            epochs=tuple(epochs),
            train_s=sum(epoch.seconds for epoch in epochs) if epochs else None,
            train_samples_per_s=_rate(epochs),
            steady_samples_per_s=_rate(epochs[1:]),
            accuracy=_accuracy(score),
            test_loss=score.loss if score else None,
            test_samples=score.samples if score else None,
            score_s=sum(each.seconds for each in self._scores.values()) if score else None,
            cold_s=cold.seconds if cold else None,
            inference_s=timed.seconds if timed else None,
            images_per_s=_per_second(timed.samples, timed.seconds) if timed else None,
            batch_seconds=tuple(timed.batch_seconds) if timed else (),
            losses=tuple(self._losses),
            first_loss=self._first_loss,
            artifacts=tuple(self.artifacts),
        )

    def check_complete(self, train_samples: int | None, test_samples: int | None) -> None:
        """Raise Violation when a stream that ended well left something out.

        There were `train_samples` for each epoch, and `test_samples` to be scored; None where that is unknown.
        """
        if self._ready is None:
            raise Violation("no 'ready' event")
        if self._job.declaration.trains:
            self._check_epochs(train_samples)
            self._check_scores(test_samples)
        else:
            self._check_passes()

    def _check_passes(self) -> None:
        missing = [name for name in ("cold", "inference") if name not in self._passes]
        if missing:
            raise Violation(f"no {' and no '.join(missing)} event")
        images = self._job.settings["batches"] * self._job.settings["batch"]
        for name, each in self._passes.items():
            if not each.samples or each.samples % images or (name == "cold" and each.samples > images):
                raise Violation(f"{each.samples} of {images} images in the {name} pass")
        timed, at_least = self._passes["inference"], self._job.settings["seconds"]
        if timed.seconds < at_least and timed.samples + images <= events.MAX_BATCHES * self._job.settings["batch"]:
            raise Violation(f"the timed passes took {timed.seconds:.3g} s, the job asks for {at_least:g} s")

    def _check_epochs(self, train_samples: int | None) -> None:
        epochs, batch = self._job.settings["epochs"], self._job.settings["batch"]
        if len(self._epochs) != epochs:
            raise Violation(f"{len(self._epochs)} of {epochs} epochs reported")
        if train_samples is None:
            return
        full = train_samples // batch * batch
        for number, epoch in enumerate(self._epochs, start=1):
            if epoch.samples != full:
                raise Violation(
                    f"epoch {number} trained on {epoch.samples} samples; full batches of {train_samples} are {full}"
                )

    def _check_scores(self, test_samples: int | None) -> None:
        epochs = self._job.settings["epochs"]
        for epoch in range(1, epochs + 1) if self._job.learning_curve else [epochs]:
            if epoch not in self._scores:
                raise Violation(f"no 'score' event after epoch {epoch} of {epochs}")
        for score in self._scores.values():
            if test_samples is not None and score.samples != test_samples:
                raise Violation(f"{score.samples} of {test_samples} test samples scored")

    def _check_start(self, event: events.Start) -> None:
        if event.protocol != PROTOCOL_VERSION:
            raise Violation(f"the workload uses protocol {event.protocol}, this program {PROTOCOL_VERSION}")
        for key in ("framework", "workload", "device", "ranks", "precision"):
            if getattr(event, key) != getattr(self._job, key):
                raise Violation(f"{key} is {getattr(event, key)!r}, the job asked for {getattr(self._job, key)!r}")

    def _check_score(self, event: events.Score) -> None:
        workload = self._job.declaration
        if not isinstance(workload, TrainingWorkload):
            raise Violation("'score' of a workload that does not train")
        if workload.scoring.counted != (event.correct is not None):
            wanted = "'correct'" if workload.scoring.counted else "'loss'"
            raise Violation(f"the score of this workload has to be in {wanted}")

    def _check_epoch(self, event: events.Epoch) -> None:
        if event.epoch > self._job.settings.get("epochs", 0):
            raise Violation(f"epoch {event.epoch} of {self._job.settings.get('epochs', 0)}")
        if event.samples % self._job.settings["batch"]:
            raise Violation(f"epoch of {event.samples} samples is no whole number of batches")


def _accuracy(score: events.Score | None) -> float | None:
    """The share of correct predictions; None of a workload that is scored by a loss."""
    return None if score is None or score.correct is None else score.correct / score.samples


def _rate(epochs: Sequence[EpochFigure]) -> float | None:
    """Samples per second over whole epochs."""
    return _per_second(sum(epoch.samples for epoch in epochs), sum(epoch.seconds for epoch in epochs))


def _per_second(amount: int, seconds: float) -> float | None:
    return amount / seconds if seconds else None
