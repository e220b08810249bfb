"""What ran a job: version, lock, image, code, interpreter. Results are repeats of each other only where it is equal.

Frameworks never have the same software, so it cannot be a condition of a whole table. It is one among the results of
a framework, and is named only where they differ. Pure.

A fact has a scope. The code and the release of a framework are the same for all its jobs; its build, lock and image
differ between CPU and GPU, and the image and the interpreter between engines. A fact is compared with the same fact
of the same scope only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.record.results import Result
from orchestrator.text import MAX_NOTE, clip

# A fact as tables call it → in words.
TITLES: Mapping[str, str] = {
    "version": "framework version",
    "build": "build of the framework",
    "lock": "lock",
    "image": "image's files",
    "libraries": "set of libraries",
    "code": "workload code",
    "interpreter": "interpreter",
}
DIGITS = 7  # of a sha256 that is shown, as git does; more where those are the same
NO_LOCK = "no lock"

Parts = Mapping[str, str]  # part of a fact → value; "" for a fact that has no parts
Software = Mapping[tuple[str, str], Parts]  # fact and scope → its parts; a fact that is not known is missing


def software_of(result: Result, *, whole_code: bool = False) -> Software:
    """The software that ran a job; of a job that failed early, only as much as is known.

    With `whole_code` the code is compared as a whole, because some of the results have no parts recorded.
    """
    job, start, provenance = result.job, result.start, result.provenance
    environment, code = provenance.environment, provenance.code
    image = f"{job.device} {provenance.local_engine}"
    found: dict[tuple[str, str], Parts] = {}
    if start is not None:
        release, _, build = start.version.partition("+")
        python = {"Python": version} if (version := start.versions.get("python") or environment.python) else {}
        given = {"": environment.interpreter} if environment.given_by_user and environment.interpreter else {}
        found |= {
            ("version", ""): {"": release},
            ("build", job.device): {"": build},
            ("interpreter", image): python | given,
        }
        if environment.lock_sha256 is None:  # else the lock says which they are
            named = {"python": python.get("Python"), job.framework: start.version}  # by the facts above
            found["libraries", image] = {name: text for name, text in start.versions.items() if named.get(name) != text}
    if start is not None or not environment.is_empty:
        found["lock", job.device] = {"": environment.lock_sha256 or NO_LOCK}
    if environment.recipe_sha256 is not None:  # older results, and environments without an image, have none
        found["image", image] = {"": environment.recipe_sha256}
    found["code", ""] = {"workloads/": code.workloads_sha256 or ""} if whole_code else code.parts_sha256 or {}
    return found


def software_of_all(results: Sequence[Result]) -> list[Software]:
    """The software of each of these results of a framework, its code in a form in which it can be compared."""
    parts = [result.provenance.code.parts_sha256 for result in results]
    whole = any(each is None or parts[0] is None or each.keys() != parts[0].keys() for each in parts)
    return [software_of(result, whole_code=whole) for result in results]


def alike(one: Software, other: Software) -> bool:
    """Whether no fact that both know is different."""
    return all(other[key] == parts for key, parts in one.items() if key in other)


def differences(rows: Sequence[Software]) -> list[dict[str, str]]:
    """What distinguishes the software of each of these rows from that of the others: fact → words.

    All rows get the same facts, "" where a row has nothing to say about one.
    """
    words: list[dict[str, str]] = [{} for _ in rows]
    for fact, scope in dict.fromkeys(key for row in rows for key in row):
        known = [row.get((fact, scope), {}) for row in rows]
        of_scope = [row[fact, scope] for row in rows if (fact, scope) in row]
        for name in dict.fromkeys(name for parts in of_scope for name in parts):
            values = {parts.get(name, "") for parts in of_scope}
            if len(values) < 2:
                continue
            short = _shortened(values)
            for row, parts in zip(words, known, strict=True):
                value = " ".join(filter(None, (name, short.get(parts.get(name, ""), ""))))
                shown = value if parts.get(name) else ""
                row[fact] = ", ".join(filter(None, (row.get(fact, ""), shown)))
    return words


def _shortened(values: set[str]) -> dict[str, str]:
    """Each value as it is shown: a sha256 with as few digits as distinguish it."""
    for digits in (DIGITS, 16, 64):
        short = {value: value[:digits] if _is_sha256(value) else clip(value, MAX_NOTE) for value in values}
        if len(set(short.values())) == len(values):
            break
    return short


def _is_sha256(value: str) -> bool:
    return len(value) == 64 and set(value) <= set("0123456789abcdef")
