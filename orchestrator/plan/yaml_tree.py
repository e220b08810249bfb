"""YAML text as a plain tree whose values remember their lines.

The only module that knows YAML. Text is never trusted: its size, nesting and alias expansion are bounded, keys given
twice and values that YAML 1.1 reads in its own way are refused, and every complaint names the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from orchestrator.errors import SpecError
from orchestrator.plan import yaml_scalars

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


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where a text comes from, for messages."""

    name: str
    numbered: bool

    def at(self, mark: yaml.Mark | None) -> str:
        """The file, and the line where the text has more than one."""
        return f"{self.name}:{mark.line + 1}" if mark and self.numbered else self.name


def read(text: bytes | str, *, name: str, numbered: bool = True) -> Document:
    """Parse YAML text. Pure. Raises SpecError.

    `name` stands for the file in messages, and the line follows it. Without `numbered`, the text is one line.
    """
    source = _Source(name=name, numbered=numbered)
    if len(text) > MAX_BYTES:
        raise SpecError(f"{name}: larger than {MAX_BYTES >> 20} MiB", hint="a run spec is a page of YAML")
    root = _compose(text, source)
    return Document(tree=_construct(root, source), root=root)


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-3 and 1.5e3 as numbers, as everybody but YAML 1.1 does."""


# add_implicit_resolver copies the inherited table on first use, so SafeLoader itself stays as it is.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _compose(text: bytes | str, source: _Source) -> yaml.Node:
    """YAML text as a graph of nodes that remember their lines."""
    try:
        root = yaml.compose(text, Loader=_Loader)
        if root is None:
            raise SpecError(f"{source.name}: empty", hint="start from one of configs/*.yaml")
        _check_nodes(root, source)
    except yaml.YAMLError as error:
        raise _not_yaml(error, source) from None
    except RecursionError:
        raise _too_deep(source) from None
    return root


def _construct(root: yaml.Node, source: _Source) -> Any:
    """The plain tree of dicts, lists and scalars below `root`."""
    try:
        return _Loader("").construct_document(root)
    except RecursionError:
        raise _too_deep(source) from None
    except (yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError) as error:  # "!!bool 3": a KeyError
        raise _not_yaml(error, source, root) from None


def _too_deep(source: _Source) -> SpecError:
    return SpecError(f"{source.name}: nested too deeply", hint="a run spec is two levels deep")


def _not_yaml(error: Exception, source: _Source, node: yaml.Node | None = None) -> SpecError:
    where = source.at(getattr(error, "problem_mark", None) or (node.start_mark if node else None))
    problem = getattr(error, "problem", None)
    if problem is None and isinstance(node, yaml.ScalarNode):
        problem = f"{node.value[:40]!r} is not a valid {node.tag.rpartition(':')[2]}"
    problem = problem or (str(error).splitlines() or ["cannot be read"])[0]
    return SpecError(f"{where}: not valid YAML: {problem}", hint="check indentation, colons and quotes")


def _check_nodes(root: yaml.Node, source: _Source) -> None:
    """Refuse surprising values, keys given twice, self-reference and alias bombs.

    Counts nodes as if every alias were written out.
    """
    sizes: dict[int, int] = {}
    active: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in active:
            raise SpecError(f"{source.at(node.start_mark)}: an anchor contains itself", hint="remove the alias")
        if id(node) not in sizes:
            active.add(id(node))
            _check_keys(node, source)
            _check_scalar(node, source)
            sizes[id(node)] = 1 + sum(size(child) for child in _children(node))
            active.discard(id(node))
        return sizes[id(node)]

    if size(root) > MAX_NODES:
        raise SpecError(
            f"{source.name}: more than {MAX_NODES:,} values once aliases are written out", hint="use fewer aliases"
        )


def _check_keys(node: yaml.Node, source: _Source) -> None:
    """YAML lets the last of two equal keys win silently; a spec must not."""
    seen: set[str] = set()
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode):
            if key.value in seen:
                raise SpecError(f"{source.at(key.start_mark)}: {key.value!r} is given twice", hint="keep one of them")
            seen.add(key.value)


def _check_scalar(node: yaml.Node, source: _Source) -> None:
    """Refuse an unquoted value that does not mean what it looks like."""
    if not isinstance(node, yaml.ScalarNode):
        return
    special = node.tag in {"tag:yaml.org,2002:value", "tag:yaml.org,2002:merge"}  # "=" and "<<" stand for no value
    value = None if special else _construct(node, source)
    if node.style is not None:
        return
    if found := yaml_scalars.surprise(node.tag, node.value, value):
        reads, instead = found
        raise SpecError(f"{source.at(node.start_mark)}: YAML {reads}", hint=instead)


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
