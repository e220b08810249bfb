"""What passed on this machine before and is as it was then. The longest checks need not be made twice.

A stamp is a small file in the cache, named after everything that a check depends on: with another CPU, another image,
another line of the code it concerns or of the check itself, it is not there.
"""

import functools
import hashlib
from pathlib import Path

import pytest

from orchestrator import files
from orchestrator.engines.docker import images
from orchestrator.files import sha256_of
from orchestrator.host import machine
from orchestrator.record import fingerprint, run_folder

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def known():
    """Of each module of workloads, what its code is made of; and this machine's CPU, by which libraries choose code."""
    return fingerprint.inspect(ROOT).modules, machine.inspect().cpu


def stamp(name, image, variant, modules, checks):
    """The path of the stamp for `name`: of this image, the workloads in these modules, and the files of its checks."""
    parts, cpu = known()
    facts = (
        cpu,
        images.tag(image, variant),
        [parts[module] for module in modules],
        [sha256_of(Path(each)) for each in checks],
    )
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()
    return files.default_cache() / "checked" / f"{name}-{digest[:16]}"


def leave(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(run_folder.now())


def skip(what, path):
    pytest.skip(f"{what}, as it is now, passed on {path.read_text()}; remove {path} to check it anew")
