"""Reads a run spec: YAML text → yaml_tree.Document (a plain tree with line numbers) → Spec.

Unknown keys are refused, nothing is converted silently, and every complaint names file, line and key, with the
nearest valid name where one exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from orchestrator.errors import SpecError, UsageError
from orchestrator.plan import complaints, yaml_tree
from orchestrator.plan.complaints import Complaint, Typed
from orchestrator.plan.spec import BANDS, Spec
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.text import did_you_mean


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
        return complaints.of_unknown_key(location, typed, known_keys()), typed.option
    return complaints.of_value(details, typed), typed.option


def known_keys(model: type[pydantic.BaseModel] | None = None) -> dict[tuple[str, ...], Any]:
    """All keys of a spec as paths, with their types: sections, and what is in them."""
    found: dict[tuple[str, ...], Any] = {}
    for name, field in (model or Spec).model_fields.items():
        found[name,] = field.annotation
        if isinstance(field.annotation, type) and issubclass(field.annotation, pydantic.BaseModel):
            found |= {(name, *path): kind for path, kind in known_keys(field.annotation).items()}
    return found
