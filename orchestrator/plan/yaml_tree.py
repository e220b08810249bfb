"""YAML text as a plain tree whose values remember their lines.

The only module that knows YAML. Text is never trusted: its size, nesting and alias expansion are bounded, keys given
twice are refused, and every complaint names the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from orchestrator.errors import SpecError

MAX_BYTES = 1 << 20
MAX_NODES = 100_000  # values in a document once its aliases are written out


@dataclass(frozen=True, kw_only=True)
class Document:
    """A parsed YAML document: `tree` of dicts, lists and scalars, and where each of its values stands."""

    tree: Any
    root: yaml.Node

    def line(self, location: tuple[Any, ...], *, key: bool = False) -> int:
        """The line (from 1) of the value at `location`, or of its key; of the nearest parent if it is not written."""
        node: yaml.Node = self.root
        line = 1
        for part in location:
            pair = _find(node, part)
            if pair is None:
                break
            node = pair[1]
            line = pair[0 if key else 1].start_mark.line + 1
        return line


def read(text: bytes | str, *, name: str) -> Document:
    """Parse YAML text; `name` stands for the file in messages. Pure. Raises SpecError."""
    if len(text) > MAX_BYTES:
        raise SpecError(f"{name}: larger than {MAX_BYTES >> 20} MiB", hint="a run spec is a page of YAML")
    root = _compose(text, name)
    return Document(tree=_construct(root, name), root=root)


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-3 as a number, as everybody but YAML 1.1 does."""


# add_implicit_resolver copies the inherited table on first use, so SafeLoader itself stays as it is.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _compose(text: bytes | str, name: str) -> yaml.Node:
    """YAML text as a graph of nodes that remember their lines."""
    try:
        root = yaml.compose(text, Loader=_Loader)
        if root is None:
            raise SpecError(f"{name}: empty", hint="start from one of configs/*.yaml")
        _check_nodes(root, name)
    except yaml.YAMLError as error:
        raise _not_yaml(error, name) from None
    except RecursionError:
        raise SpecError(f"{name}: nested too deeply", hint="a run spec is two levels deep") from None
    return root


def _construct(root: yaml.Node, name: str) -> Any:
    """The plain tree of dicts, lists and scalars below `root`."""
    try:
        return _Loader("").construct_document(root)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise _not_yaml(error, name) from None


def _not_yaml(error: Exception, name: str) -> SpecError:
    mark = getattr(error, "problem_mark", None)
    where = f"{name}:{mark.line + 1}" if mark else name
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return SpecError(f"{where}: not valid YAML: {problem}", hint="check indentation, colons and quotes")


def _check_nodes(root: yaml.Node, name: str) -> None:
    """Refuse keys given twice, self-reference and alias bombs. Counts nodes as if every alias were written out."""
    sizes: dict[int, int] = {}
    active: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in active:
            raise SpecError(f"{name}:{node.start_mark.line + 1}: an anchor contains itself", hint="remove the alias")
        if id(node) not in sizes:
            active.add(id(node))
            _check_keys(node, name)
            sizes[id(node)] = 1 + sum(size(child) for child in _children(node))
            active.discard(id(node))
        return sizes[id(node)]

    if size(root) > MAX_NODES:
        raise SpecError(
            f"{name}: more than {MAX_NODES:,} values once aliases are written out", hint="use fewer aliases"
        )


def _check_keys(node: yaml.Node, name: str) -> None:
    """YAML lets the last of two equal keys win silently; a spec must not."""
    seen: set[str] = set()
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                line = key.start_mark.line + 1
                raise SpecError(f"{name}:{line}: {key.value!r} is given twice", hint="keep one of them")
            seen.add(key.value)


def _children(node: yaml.Node) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else ()


def _find(node: yaml.Node, part: Any) -> tuple[yaml.Node, yaml.Node] | None:
    """The key and value nodes of `part` in `node`. Constructing has merged << keys in front of a mapping's own."""
    if isinstance(node, yaml.MappingNode):
        return next((pair for pair in reversed(node.value) if pair[0].value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None
