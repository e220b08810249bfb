"""A run spec: what should be measured, as the user writes it.

    YAML text → yamltree.Document (plain tree with line numbers) → Spec (frozen pydantic models)

Unknown keys are refused, nothing is converted silently, and every complaint names file, line and key, with the
nearest valid name where one exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
from pydantic import ByteSize, Field

from orchestrator.errors import SpecError, UsageError
from orchestrator.plan import complaints, yaml_tree
from orchestrator.plan.complaints import Complaint, Typed
from orchestrator.plan.durations import Duration
from orchestrator.plan.workload import Count, Settings
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.strict import Strict
from orchestrator.text import did_you_mean

MAX_REPEATS = 10_000
BANDS = ("accuracy", "loss")  # keys of a workload's settings that hold the expected score
DeviceChoice = Literal["auto", "cpu", "gpu"]


def _known_engine(name: str, info: pydantic.ValidationInfo) -> str:
    known = (info.context or {}).get("engines")
    if known is not None and name not in known:
        raise complaints.unknown("engine", name, known)
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
        raise complaints.mistake("must be letters, digits, hyphens and underscores, at most 40")
    return name


EngineName = Annotated[str, pydantic.AfterValidator(_known_engine)]  # engines/registry.py knows which there are
DatasetChoice = Literal["auto", "real", "official", "imported", "synthetic"]
Precision = Literal["fp32", "tf32", "amp", "fp64"]


def _memory(value: Any) -> Any:
    try:
        size = pydantic.TypeAdapter(ByteSize).validate_python(value)
    except pydantic.ValidationError:
        size = None
    if size is None or not 1 << 26 <= size <= 1 << 50:
        raise complaints.mistake("must be a size from 64 MiB to 1024 TiB", "8 GiB")
    return int(size)


MemorySize = Annotated[int, pydantic.BeforeValidator(_memory)]  # bytes, written "8 GiB"


def _repeats(value: Any) -> Any:
    """A count, or "auto": one message for anything else."""
    if value != "auto" and (type(value) is not int or not 1 <= value <= MAX_REPEATS):
        raise complaints.mistake(f"must be auto, or a whole number from 1 to {MAX_REPEATS:,}", "auto")
    return value


Repeats = Annotated[int | Literal["auto"], pydantic.BeforeValidator(_repeats)]


def _known_workload(name: str) -> str:
    if name not in WORKLOADS:
        raise complaints.unknown("workload", name, WORKLOADS)
    return name


WorkloadName = Annotated[str, pydantic.AfterValidator(_known_workload)]


def _known_framework(name: str, info: pydantic.ValidationInfo) -> str:
    known = (info.context or {}).get("frameworks")
    if known is not None and name not in known:
        raise complaints.unknown("framework", name, known)
    return name


FrameworkName = Annotated[str, pydantic.AfterValidator(_known_framework)]


def _run_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
        better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
        raise complaints.mistake("must be lower-case letters, digits and hyphens, at most 40", better or "my-run")
    return name


def _gpu(choice: str) -> str:
    if not re.fullmatch(r"all|[0-9]{1,3}|(GPU|MIG)-[0-9a-fA-F-]{1,60}", choice):
        raise complaints.mistake("must be the number of a GPU, its UUID (`nvidia-smi -L` shows it), or all", "0")
    return choice


class Limits(Strict):
    """What one job may use. What is not given is the machine's own limit."""

    timeout: Duration = Field(default=4 * 3600.0, description="seconds until a job is stopped")
    silence: Duration = Field(default=1800.0, description="seconds without an event until a job is stopped")
    memory: MemorySize | None = Field(default=None, description="e.g. 8 GiB; at least 64 MiB")
    cpus: Count | None = Field(default=None, description="the first N of the CPUs this process may use")


class Hosts(Strict):
    """Which nodes of a cluster may run jobs: those for which everything given here holds."""

    names: Annotated[tuple[str, ...], Field(strict=False, max_length=1000)] = Field(
        default=(), description="names of nodes; * and ? stand for what they stand for in file names"
    )
    gpu: Annotated[str, Field(max_length=100)] = Field(default="", description="part of the GPU's model name")
    labels: dict[str, str] = Field(default={}, description="labels that the node was started with")
    engine: EngineName = Field(default="auto", description="the engine that runs jobs on the node")
    exclusive: bool = Field(default=True, description="one job at a time on a node; else as many as its CPUs allow")


class SpecBase(Strict):
    """One run: which frameworks, which workloads, how, where, how often. `Spec` adds each workload's own settings."""

    name: Annotated[str, pydantic.AfterValidator(_run_name)]
    description: Annotated[str, Field(max_length=500)] = ""
    frameworks: Annotated[tuple[FrameworkName, ...], Field(strict=False, max_length=1000)] = Field(
        default=(), description="rows of the tables; all when empty"
    )
    workloads: Annotated[tuple[WorkloadName, ...], Field(strict=False, min_length=1, max_length=100)] = tuple(WORKLOADS)
    device: DeviceChoice = "auto"
    gpu: Annotated[str, pydantic.AfterValidator(_gpu)] = Field(
        default="0", description="which GPU jobs get: its index, its UUID, or all"
    )
    engine: EngineName = "auto"
    hosts: Hosts = Hosts()
    each_host: bool = Field(default=False, description="run every job on each of the hosts")
    dataset: DatasetChoice = "auto"
    precision: Precision = "fp32"
    repeats: Repeats = Field(default=1, description="`auto`: until rankings are decided; see rounds.py")
    budget: Duration = Field(default=3600.0, description="seconds that the jobs of `repeats: auto` may take together")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    retries: Annotated[int, Field(ge=0, le=10)] = Field(
        default=0, description="run a job that failed up to N more times, where that can help"
    )
    trace: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=0,
        description="record the loss of each of the first N steps and the features of the first N batches, all weights "
        "after the first step, and all test scores; that takes time, so such a job is compared with none but its like",
    )
    learning_curve: bool = Field(
        default=False, description="score after every epoch, not only after the last; not part of the training time"
    )
    limits: Limits = Limits()

    @pydantic.field_validator("gpu", mode="before")
    @classmethod
    def _index_as_text(cls, choice: object) -> object:
        return str(choice) if type(choice) is int else choice

    @pydantic.field_validator("frameworks", "workloads")
    @classmethod
    def _once_each(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:  # their jobs would have the same ids
            raise complaints.mistake(f"{twice[0]!r} is listed more than once; to measure again use `repeats`")
        return names

    def settings_of(self, workload: str) -> Settings:
        """The settings of one workload."""
        settings: Settings = getattr(self, workload)
        return settings


if TYPE_CHECKING:
    Spec = SpecBase
else:
    _SETTINGS = {name: (each.settings, each.settings()) for name, each in WORKLOADS.items()}
    Spec = pydantic.create_model("Spec", __base__=SpecBase, **_SETTINGS)


@dataclass(frozen=True, kw_only=True)
class Override:
    """A value that replaces one of the spec's, and the option it came from, for error messages."""

    path: tuple[str, ...]
    value: Any
    origin: str


def load(
    path: Path,
    *,
    folder: Path | None = None,
    frameworks: Iterable[str] | None = None,
    engines: Iterable[str] | None = None,
    overrides: Sequence[Override] = (),
) -> Spec:
    """Read the spec at `path`, or the one of that name in `folder`.

    Raises SpecError for a spec that is wrong, UsageError for one that is not there, and for wrong overrides.

    `frameworks` and `engines`, when given, are the valid names.
    """
    try:
        path = _find(path, folder, frameworks)
        with path.open("rb") as file:
            text = file.read(yaml_tree.MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}", hint="check the file's permissions") from error
    return parse(text, name=str(path), frameworks=frameworks, engines=engines, overrides=overrides)


def _find(path: Path, folder: Path | None, frameworks: Iterable[str] | None) -> Path:
    """The file at `path`, or else the spec in `folder` that is called so, with or without .yaml."""
    if path.is_file():
        return path
    known = {} if folder is None else {each.stem: each for each in sorted(folder.glob("*.yaml"))}
    name = str(path).removesuffix(".yaml")
    if name in known:
        return known[name]
    raise _no_spec(path, sorted(known), sorted(frameworks or ()))


def _no_spec(path: Path, known: Sequence[str], frameworks: Sequence[str]) -> UsageError:
    """The error for a path where there is no spec file."""
    name = str(path)
    if name in frameworks:
        return UsageError(f"{name} is a framework, not a spec", hint=f"type rosetta bench --framework {name}")
    if name in WORKLOADS:
        return UsageError(f"{name} is a workload, not a spec", hint=f"type rosetta bench --workload {name}")
    if path.exists():
        what = "a folder" if path.is_dir() else "no regular file"
        return UsageError(f"{name} is {what}, not a spec file", hint=f"specs by name: {', '.join(known)}")
    near = complaints.nearest(name, [*known, *frameworks])
    if near in frameworks:
        return UsageError(f"there is no spec file {name}", hint=f"type rosetta bench --framework {near}")
    hint = f"type rosetta bench {near}" if near else f"name a YAML file, or one of: {', '.join(known) or 'none'}"
    return UsageError(f"there is no spec file {name}{did_you_mean(near, known) if near else ''}", hint=hint)


def parse(
    text: bytes | str,
    *,
    name: str,
    frameworks: Iterable[str] | None = None,
    engines: Iterable[str] | None = None,
    overrides: Sequence[Override] = (),
) -> Spec:
    """Parse spec text; `name` stands for the file in messages. Pure. Raises SpecError, UsageError for overrides."""
    document = yaml_tree.read(text, name=name)
    if not isinstance(document.tree, dict):
        raise SpecError(f"{name}: not a spec: keys and values expected", hint="start from one of configs/*.yaml")
    for override in overrides:
        _apply(document.tree, override)
    _forget_expectations(document.tree, overrides)
    known = {"frameworks": frameworks, "engines": engines}
    context = {key: None if names is None else sorted(names) for key, names in known.items()}
    try:
        return Spec.model_validate(document.tree, context=context)
    except pydantic.ValidationError as error:
        errors = _independent(error.errors(include_url=False))
        found = [_complaint(details, document, name, overrides) for details in errors]
        kind = UsageError if all(on_command_line for _, on_command_line in found) else SpecError
        hint = found[0][0].hint if len(found) == 1 else complaints.KEYS
        raise kind("\n".join(complaint.text for complaint, _ in found[:10]), hint=hint) from None


def parse_setting(text: str) -> Override:
    """`cnn.epochs=1` (the argument of --set) as an Override. Raises UsageError."""
    key, equals, value = text.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        raise UsageError(f"--set {text}: not of the form KEY=VALUE", hint="for example --set cnn.epochs=1")
    origin = f"--set {text}"
    if not value.strip():
        raise UsageError(f"{origin}: the value is missing", hint='for no text at all, write "" in quotes')
    try:
        return Override(path=path, value=yaml_tree.read(value, name=origin, numbered=False).tree, origin=origin)
    except SpecError as error:
        raise UsageError(error.message, hint=error.hint) from error


def _apply(tree: dict[str, Any], override: Override) -> None:
    """Set one value in the tree. Copies what it changes: an anchor may be shared by several keys."""
    *parents, last = override.path
    for part in parents:
        child = tree.get(part)
        tree[part] = dict(child) if isinstance(child, Mapping) else {}
        tree = tree[part]
    tree[last] = override.value


def _forget_expectations(tree: dict[str, Any], overrides: Sequence[Override]) -> None:
    """With other settings than the file's, a workload need not give the score that the file expects."""
    changed = {override.path[0] for override in overrides if len(override.path) > 1}
    kept = {override.path[0] for override in overrides if len(override.path) == 2 and override.path[1] in BANDS}
    for section in changed - kept:
        settings = tree.get(section)
        if isinstance(settings, Mapping):
            tree[section] = {key: value for key, value in settings.items() if key not in BANDS}


def _independent(errors: Sequence[Any]) -> list[Any]:
    """Without those that only follow from another: a list that came out too short because an item of it is wrong."""
    places = [tuple(details["loc"]) for details in errors]
    return [
        details
        for details, place in zip(errors, places, strict=True)
        if not any(other[: len(place)] == place and other != place for other in places)
    ]


def _complaint(
    details: Mapping[str, Any], document: yaml_tree.Document, name: str, overrides: Sequence[Override]
) -> tuple[Complaint, bool]:
    """One of pydantic's errors in words, and whether the mistake is on the command line."""
    location = tuple(details["loc"])
    unknown = details["type"] == "extra_forbidden"
    chosen = [o for o in overrides if o.path[: len(location)] == location or location[: len(o.path)] == o.path]
    if chosen:
        typed = Typed(where=chosen[-1].origin, option=True, path=chosen[-1].path)
    else:
        typed = Typed(where=f"{name}:{document.line(location, key=unknown)}", option=False)
    if unknown:
        return complaints.of_unknown_key(location, typed, _keys()), typed.option
    return complaints.of_value(details, typed), typed.option


def _keys(model: type[pydantic.BaseModel] | None = None) -> dict[tuple[str, ...], Any]:
    """All keys of a spec as paths, with their types: sections, and what is in them."""
    found: dict[tuple[str, ...], Any] = {}
    for name, field in (model or Spec).model_fields.items():
        found[name,] = field.annotation
        if isinstance(field.annotation, type) and issubclass(field.annotation, pydantic.BaseModel):
            found |= {(name, *path): kind for path, kind in _keys(field.annotation).items()}
    return found
