"""The types of a workload's declaration. plan/workloads/ has one declaration per file.

Everything that depends on the workload is read from its declaration: the settings of a spec, the weights, what a
complete stream of events holds, columns and charts, what `verify` compares. Nothing else in this program names one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import Field

from orchestrator.plan.initialisers import Weight
from orchestrator.plan.mistakes import Mistake
from orchestrator.strict import Strict

Device = Literal["cpu", "gpu"]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(Strict):
    """A workload's own part of a spec."""

    def for_device(self, device: Device) -> dict[str, Any]:  # noqa: ARG002  (most settings depend on no device)
        """The settings as a job on `device` has them."""
        return self.model_dump()


class TrainingSettings(Settings):
    """What all training workloads have in common."""

    epochs: Count = Field(default=1, description="passes over the training set")
    batch: Count = Field(default=64, description="samples per step; full batches only")
    train_samples: Count | None = Field(default=None, description="use only the first N training samples")
    test_samples: Count | None = Field(default=None, description="score only the first N test samples")

    @pydantic.model_validator(mode="after")
    def _enough_samples(self) -> TrainingSettings:
        if self.train_samples is not None and self.train_samples < self.batch:
            raise ValueError(f"train_samples is smaller than one batch of {self.batch}")
        return self

    def with_steps(self, steps: int) -> TrainingSettings:
        """The same settings with so many steps in an epoch."""
        return self.model_copy(update={"train_samples": steps * self.batch})


class WindowSettings(TrainingSettings):
    """What trainings on one long sequence have in common: a step takes windows at places drawn from the seed.

    No epoch visits each sample once, so an epoch is a number of steps. The samples are the elements of the sequence.
    """

    epochs: Count = Field(default=1, description="parts of the training; each can be scored")
    steps: Count = Field(default=100, description="training steps of an epoch")
    batch: Count = Field(default=64, description="windows per step")
    context: Count = Field(default=64, description="length of a window")

    def with_steps(self, steps: int) -> WindowSettings:
        """The same settings with so many steps in an epoch."""
        return self.model_copy(update={"steps": steps})


def _in_order(band: tuple[float, float] | None) -> tuple[float, float] | None:
    if band is not None and band[0] > band[1]:
        raise ValueError("must be [lowest, highest]")
    return band


Band = Annotated[tuple[Fraction, Fraction], Field(strict=False)] | None
LossBand = Annotated[tuple[Positive, Positive], Field(strict=False)] | None


class ExpectsAccuracy(Strict):
    """Settings of a workload that is scored by accuracy."""

    accuracy: Annotated[Band, pydantic.AfterValidator(_in_order)] = Field(
        default=None, description="lowest and highest accuracy that real data should give; a result outside is marked"
    )


class ExpectsLoss(Strict):
    """Settings of a workload that is scored by a mean loss."""

    loss: Annotated[LossBand, pydantic.AfterValidator(_in_order)] = Field(
        default=None, description="lowest and highest test loss that real data should give; a result outside is marked"
    )


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What the score of a training is, how it is shown, and which direction is better."""

    band: Literal["accuracy", "loss"]  # the key of a spec, and of a job, that holds the expected range
    name: str  # "accuracy"
    short: str = ""  # an abbreviation of the name
    unit: str  # as tables and charts show it: "%"
    higher_is_better: bool
    counted: bool  # a `score` event has the number of correct predictions, not a mean loss
    scale: float = 1.0  # shown = stored × scale
    form: str = ".1f"  # format specification of what is shown

    @property
    def title(self) -> str:
        """The title of a column."""
        return f"Test {self.name} ({self.unit})"

    @property
    def short_title(self) -> str:
        """The title of a column on a narrow terminal."""
        return f"{self.short or self.name.capitalize()} ({self.unit})"

    def shown(self, value: float) -> float:
        """A stored score in the unit of `unit`."""
        return self.scale * value

    def text(self, value: float) -> str:
        """A stored score with its unit."""
        return f"{self.shown(value):{self.form}} {self.unit}"


ACCURACY = Scoring(
    band="accuracy", name="accuracy", short="Acc.", unit="%", higher_is_better=True, counted=True, scale=100.0
)


def mean_loss(unit: str) -> Scoring:
    """A score that is a mean loss over all test samples, in `unit`."""
    return Scoring(band="loss", name="loss", unit=unit, higher_is_better=False, counted=False, form=".3f")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What training and inference workloads have in common."""

    trains: ClassVar[bool]

    name: str = ""  # of the file; filled in when the folder is listed
    position: int  # of its table in a report
    title: str  # of its table
    samples: str  # what is counted, in the plural: "images"
    dataset: str  # a module under inputs/datasets/
    settings: type[Settings]
    weights: Mapping[str, Weight]  # in the order of the file; with the default settings where they depend on them
    sized_weights: Callable[[Mapping[str, Any]], Mapping[str, Weight]] | None = None  # by the settings of a job
    probe: str  # the artifact that `verify` compares with the reference's
    small: Mapping[str, Any]  # the settings of `verify` and `check`, as in a spec
    mistakes: Mapping[str, Mistake] = field(default_factory=dict)
    # Floating point operations of one sample in the forward pass, additions and multiplications of the plain algorithm:
    # figures that would need more of them than any machine can do are no measurement. Some depend on a job's settings.
    operations: float | Callable[[Mapping[str, Any]], float] = 0.0
    published: str | None = None  # a file under results/reference/, without its suffix
    # Settings that jobs of earlier versions lack, with what these jobs did.
    earlier: Mapping[str, Any] = field(default_factory=dict)

    def weights_for(self, settings: Mapping[str, Any]) -> Mapping[str, Weight]:
        """The weights of a job with these settings."""
        return self.weights if self.sized_weights is None else self.sized_weights(settings)

    def operations_for(self, settings: Mapping[str, Any]) -> float:
        """Floating point operations of one sample in the forward pass of a job with these settings."""
        return self.operations(settings) if callable(self.operations) else self.operations

    @property
    def traced_mistakes(self) -> tuple[str, ...]:
        """Names of the mistakes that show in a trace."""
        return tuple(name for name, mistake in self.mistakes.items() if mistake.seen_in == "trace")


@dataclass(frozen=True, kw_only=True)
class TrainingWorkload(Workload):
    """A model is trained, then scored on all test samples."""

    trains: ClassVar[bool] = True
    # Settings that define the amount of work; tables show them in words, by `amount`.
    amounts: ClassVar[tuple[str, ...]] = ("epochs", "batch", "train_samples", "test_samples")

    probe: str = "scores-0.npy"  # (samples, classes): logits or probabilities of all test samples
    scoring: Scoring = ACCURACY
    dropout: Mapping[str, float] = field(default_factory=dict)  # settings that are dropout rates, with their defaults
    fused_kernel: bool = False  # whether the table has a column for the fused recurrent kernel

    def amount(self, settings: Mapping[str, Any]) -> str:
        """How much work a job with these settings is, in words."""
        samples, epochs = settings["train_samples"], settings["epochs"]
        size = f"{samples:,}" if samples else "all"
        parts = [f"{epochs} epoch{'s' if epochs > 1 else ''} of {size} {self.samples}"]
        if settings["test_samples"]:
            parts.append(f"scored on {settings['test_samples']:,}")
        return ", ".join([*parts, f"batch {settings['batch']}"])

    def epoch_samples(self, settings: Mapping[str, Any], available: int) -> int:
        """How many of the `available` training samples an epoch takes, before its last partial batch is left out."""
        return int(settings["train_samples"] or available)

    def scored_samples(self, settings: Mapping[str, Any], available: int) -> int:
        """How many of the `available` test samples are scored."""
        return int(settings["test_samples"] or available)


@dataclass(frozen=True, kw_only=True)
class WindowTraining(TrainingWorkload):
    """A training on one long sequence, whose settings are WindowSettings. Each element is the label of those before."""

    amounts: ClassVar[tuple[str, ...]] = ("epochs", "steps", "batch", "context", "train_samples", "test_samples")

    def amount(self, settings: Mapping[str, Any]) -> str:
        """How much work a job with these settings is, in words."""
        steps = settings["epochs"] * settings["steps"]
        parts = [f"{steps:,} steps of {settings['batch']} × {settings['context']} {self.samples}"]
        if settings["train_samples"]:
            parts.append(f"from the first {settings['train_samples']:,}")
        if settings["test_samples"]:
            parts.append(f"scored on {settings['test_samples']:,}")
        return ", ".join(parts)

    def starts(self, settings: Mapping[str, Any], available: int) -> int:
        """In how many places of `available` training samples a window can start; zero or less: there are too few."""
        return int(settings["train_samples"] or available) - int(settings["context"])

    def epoch_samples(self, settings: Mapping[str, Any], available: int) -> int:  # noqa: ARG002  (steps decide)
        """How many labels an epoch trains on."""
        return int(settings["steps"] * settings["batch"] * settings["context"])

    def scored_samples(self, settings: Mapping[str, Any], available: int) -> int:
        """How many labels the full windows have, side by side; the first sample is nobody's label."""
        labels = min(settings["test_samples"] or available, available - 1)
        return int(labels // settings["context"] * settings["context"])


@dataclass(frozen=True, kw_only=True)
class InferenceWorkload(Workload):
    """A model computes features: one cold pass over all batches, then timed passes."""

    trains: ClassVar[bool] = False
    amounts: ClassVar[tuple[str, ...]] = ("batch", "batches", "seconds")

    probe: str = "features-0.npy"  # (batch, features) of the first batch

    def amount(self, settings: Mapping[str, Any]) -> str:
        """How much work a job with these settings is, in words."""
        return f"{settings['batches']} batches of {settings['batch']}"


Declaration = TrainingWorkload | InferenceWorkload
