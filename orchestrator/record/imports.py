"""Finds the parts of workloads/ that the code of a framework uses. Pure.

A part is a folder below workloads/, or a file beside the folders. The parts that a folder uses are read from its
source: Python's import statements and calls of `import_module` and `__import__`, Julia's `include`, JavaScript's
`require`, `import` and `from`, and `#include "…"` of C and C++. If the source does not show it (a name that is built
at run time, an unknown language, a file that does not parse), all parts count. A fingerprint that changes too often
costs a measurement; one that changes too seldom gives a wrong comparison.
"""

from __future__ import annotations

import ast
import posixpath
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from orchestrator.plan.workloads import WORKLOADS

ROOT = "workloads"
# In CPython 3.11, two threads in ast.parse at once can fail: "SystemError: AST constructor recursion depth mismatch".
_PARSING = threading.Lock()
FIRST = "__init__.py"  # beside the folders; Python runs it before it imports any of them
_INCLUDE = re.compile(r'\binclude\s*\(\s*(?:"([^"$\\]*)"\s*\))?')
_REQUIRE = re.compile(
    r"""\b(?:require|import)\s*\(\s*(?:(["'])([^"'\\]*)\1\s*\))?|\b(?:from|import)\s*(["'])([^"'\\]*)\3"""
)
_HEADER = re.compile(r"^\s*#\s*include\s*(?:<[^>]*>|\"([^\"]*)\"|\S)", re.MULTILINE)


class _AnyPart(Exception):
    """The source does not show which parts it uses."""


def parts_of(module: str, files: Mapping[str, str]) -> frozenset[str]:
    """The parts that workloads/`module` uses, itself included; `files` is path below workloads/ → source."""
    everything = frozenset(part(path) for path in files)
    by_part: dict[str, list[str]] = {}
    for path in files:
        by_part.setdefault(part(path), []).append(path)
    if not _languages(by_part.get(module, ())) <= set(_READERS):
        return everything
    found: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        found.add(name)
        for path in by_part.get(name, ()):
            reader = _READERS.get(PurePosixPath(path).suffix)
            if reader is None:
                continue
            try:
                waiting |= set(reader(path, files[path])) & everything
            except _AnyPart:
                return everything
        waiting -= found
    return frozenset(found)


def part(path: str) -> str:
    """The part that a path below workloads/ belongs to."""
    return PurePosixPath(path).parts[0]


def _languages(paths: Iterable[str]) -> set[str]:
    """The suffixes of a framework's workload files."""
    return {PurePosixPath(path).suffix for path in paths if PurePosixPath(path).stem in WORKLOADS}


def _python(path: str, source: str) -> Iterator[str]:
    """The parts that a Python file imports."""
    try:
        with _PARSING:
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise _AnyPart from error
    yield FIRST
    package = (ROOT, *PurePosixPath(path).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _named(tuple(alias.name.split(".")))
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            start = (*above, *(node.module.split(".") if node.module else ()))
            for alias in node.names:
                yield from _named((*start, alias.name))
        elif isinstance(node, ast.Call) and _called(node.func) in {"import_module", "__import__"}:
            yield from _named(tuple(_literal(node).split(".")))


def _called(function: ast.expr) -> str:
    """The last name of the function that is called."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _literal(call: ast.Call) -> str:
    """The name that a call imports, if it is a literal."""
    name = call.args[0] if call.args else None
    if isinstance(name, ast.Constant) and isinstance(name.value, str) and not name.value.startswith("."):
        return name.value
    raise _AnyPart


def _named(module: tuple[str, ...]) -> Iterator[str]:
    """The part that a dotted name refers to, if any."""
    if module[0] == ROOT and len(module) > 1:
        if module[1] == "*":
            raise _AnyPart
        yield module[1]


def _julia(path: str, source: str) -> Iterator[str]:
    """The parts that a Julia file includes, by paths relative to its own."""
    for match in _INCLUDE.finditer(source):
        if match[1] is None:
            raise _AnyPart
        yield _beside(path, match[1])


def _javascript(path: str, source: str) -> Iterator[str]:
    """The parts that a JavaScript file loads, by paths relative to its own; other names are those of packages."""
    for match in _REQUIRE.finditer(source):
        name = match[2] if match[2] is not None else match[4]
        if name is None:
            raise _AnyPart
        if name.startswith("."):
            yield _beside(path, name)


def _cpp(path: str, source: str) -> Iterator[str]:
    """The parts that a C or C++ file includes, by paths relative to its own."""
    for match in _HEADER.finditer(source):
        if match[1] is not None:
            yield _beside(path, match[1])
        elif not match[0].rstrip().endswith(">"):  # a macro
            raise _AnyPart


def _beside(path: str, name: str) -> str:
    """The part that a path relative to the file at `path` leads to."""
    return part(posixpath.normpath(posixpath.join(posixpath.dirname(path), name)))


_READERS: Mapping[str, Callable[[str, str], Iterator[str]]] = {
    ".py": _python,
    ".jl": _julia,
    **dict.fromkeys((".js", ".cjs", ".mjs"), _javascript),
    **dict.fromkeys((".c", ".cc", ".cpp", ".h", ".hpp"), _cpp),
}
