"""The fingerprint of a framework's code covers all that it is made of, and nothing of what it is not."""

import gc
import os
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.record import fingerprint, imports
from orchestrator.record.provenance import CodeFacts

FILES = {
    "__init__.py": "from workloads.common import startup",
    "common/startup.py": "import os",
    "common/bench.jl": 'include("json.jl")',
    "common/json.jl": "",
    "a/cnn.py": "from workloads.common import bench",
    "b/cnn.py": "",
    "b/helper.py": "",
    "c/cnn.py": "",
}
OWN = {"__init__.py", "common", "a"}


def parts(source, path="a/cnn.py", module="a"):
    return imports.parts_of(module, {**FILES, path: source})


@pytest.mark.parametrize(
    "source",
    [
        "import workloads.b",
        "import workloads.b.helper as h",
        "from workloads import b",
        "from workloads.b import helper",
        "from workloads.b.helper import *",
        "from .. import b",
        "from ..b import helper",
        "def start():\n    import workloads.b.helper",
        "import importlib\nimportlib.import_module('workloads.b.helper')",
        "from importlib import import_module\nimport_module('workloads.b')",
        "__import__('workloads.b')",
    ],
)
def test_every_way_to_import_a_sibling_is_seen(source):
    assert parts(source) == {*OWN, "b"}


@pytest.mark.parametrize(
    "source",
    [
        "import b, os",
        "from . import b",
        "import os.workloads.b",
        "'import workloads.b'  # import workloads.c",
        "import importlib\nimportlib.import_module('torch')",
    ],
)
def test_what_is_no_sibling_does_not_count(source):
    assert parts(source) == OWN


def test_imports_of_imports_count():
    files = {**FILES, "a/cnn.py": "import workloads.b", "b/helper.py": "import workloads.c.cnn"}
    assert imports.parts_of("a", files) == {*OWN, "b", "c"}
    assert imports.parts_of("c", files) == {"__init__.py", "common", "c"}


def test_julia_includes_by_path():
    assert parts('include("../common/bench.jl")', "k/cnn.jl", "k") == {"k", "common", "__init__.py"}
    assert parts('include("../b/x.jl"); include( "here.jl" )', "k/cnn.jl", "k") == {"k", "b", "__init__.py", "common"}
    assert parts("# nothing", "k/cnn.jl", "k") == {"k"}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("k/cnn.js", 'const bench = require("../common/bench.js"); const fs = require("fs");'),
        ("k/cnn.mjs", "import * as bench from '../common/bench.js';\nimport os from 'os';"),
        ("k/cnn.mjs", "import '../common/bench.js'"),
        ("k/cnn.js", 'const { main } = await import("../common/bench.js");'),
        ("k/cnn.cpp", '#include <vector>\n#include "../common/bench.hpp"\n'),
        ("k/cnn.c", '  # include "../common/bench.h"'),
    ],
)
def test_javascript_and_cpp_name_files_by_path(path, source):
    assert parts(source, path, "k") == {"k", "common", "__init__.py"}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("a/cnn.js", "require(path.join(folder, name))"),
        ("a/cnn.mjs", "await import(name)"),
        ("a/cnn.cpp", "#include HEADER"),
        ("a/cnn.py", "import importlib\nimportlib.import_module('workloads.{}.runtime'.format(name))"),
        ("a/cnn.py", "__import__(name)"),
        ("a/cnn.py", "from importlib import import_module\nimport_module('.b', 'workloads')"),
        ("a/cnn.py", "from workloads import *"),
        ("a/cnn.py", "this does not parse"),
        ("a/cnn.jl", "include(joinpath(folder, name))"),
        ("a/cnn.jl", 'include("$name.jl")'),
        ("a/rnn.sh", "python something.py"),
    ],
)
def test_what_the_source_does_not_tell_may_be_anything(path, source):
    assert parts(source, path) == {name.partition("/")[0] for name in FILES}


@given(st.text(max_size=60), st.sampled_from(["a/cnn.py", "a/cnn.jl", "a/cnn.js", "a/cnn.cpp"]))
def test_any_source_gives_parts_that_are_there(source, path):
    assert {"a"} <= parts(source, path) <= {name.partition("/")[0] for name in FILES}


def test_the_projects_own_workloads(root):
    modules = fingerprint.inspect(root).modules
    assert set(modules["gluon"]) == {"__init__.py", "common", "gluon", "mxnet"}
    assert set(modules["lasagne"]) == {"__init__.py", "common", "lasagne", "theano"}
    assert set(modules["pytorch"]) == {"__init__.py", "common", "pytorch"}
    assert {"knet", "common"} <= set(modules["knet"])
    assert {"keras2", "theano", "cntk"} <= set(modules["keras2"])  # its backend has a name put together when it runs


def tree(folder, files):
    for name, source in files.items():
        path = folder / "workloads" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return fingerprint.inspect(folder)


def test_two_runs_in_one_process_read_the_code_at_once(root):
    """With a thread switch in every garbage collection, which CPython 3.11 can do in the middle of ast.parse."""

    def switch(*_):
        time.sleep(0)

    before = gc.get_threshold()
    gc.callbacks.append(switch)
    gc.set_threshold(50)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(fingerprint.inspect, [root] * 4))
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(switch)
    assert found == [fingerprint.inspect(root)] * 4


def test_another_frameworks_change_is_none_of_this_one(tmp_path):
    before = tree(tmp_path, FILES)
    after = tree(tmp_path, {"b/helper.py": "x = 1"})
    assert before.code.workloads_sha256 != after.code.workloads_sha256
    assert fingerprint.differences(fingerprint.of_module(before, "a"), fingerprint.of_module(after, "a")) == []
    assert fingerprint.differences(fingerprint.of_module(before, "b"), fingerprint.of_module(after, "b")) == [
        "workloads/b"
    ]


def test_a_change_of_what_all_share_is_everybodys(tmp_path):
    before = tree(tmp_path, FILES)
    after = tree(tmp_path, {"common/startup.py": "import sys"})
    assert fingerprint.differences(fingerprint.of_module(before, "a"), fingerprint.of_module(after, "a")) == [
        "workloads/common"
    ]


WHOLE = ["workloads/, compared as a whole"]


def code(whole, **parts):
    """The code of a job; without `parts`, as older versions recorded it."""
    return CodeFacts(workloads_sha256=whole, parts_sha256=parts or None)


@pytest.mark.parametrize(
    ("there", "here", "found"),
    [
        (code("1"), code("1", a="2"), []),
        (code("1"), code("2", a="2"), WHOLE),
        (code("1", a="2", c="3"), code("2", a="2"), WHOLE),
        (code("1", a="2"), code("2", a="2"), []),
        (CodeFacts(), code("2"), WHOLE),
    ],
)
def test_results_of_before_parts_were_recorded_are_compared_as_a_whole(there, here, found):
    assert fingerprint.differences(there, here) == fingerprint.differences(here, there) == found


def test_a_report_of_several_frameworks_is_of_one_code_where_each_part_is():
    one, other = code("1", a="2"), code("2", b="3")
    assert fingerprint.mixed([("x", one), ("y", other)]) == []
    assert fingerprint.mixed([("x", one), ("y", code("3", a="4"))]) == ["workloads/a"]
    assert fingerprint.mixed([("x", one), ("x", code("3", a="4"))]) == []  # rows of one framework name it
    assert fingerprint.mixed([("x", one), ("y", code("2"))]) == ["workloads/"]
    assert fingerprint.mixed([]) == []


def frozen(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_job_gets_the_code_its_fingerprint_covers_and_no_more(tmp_path):
    checkout = tree(tmp_path / "checkout", FILES)
    place = checkout.freeze("a", tmp_path / "cache")
    assert place.name == "workloads"
    covered = {name for name in FILES if name.partition("/")[0] in checkout.modules["a"]}
    assert frozen(place) == {name: FILES[name] for name in covered}
    assert covered < FILES.keys()


def test_editing_during_a_run_changes_nothing_of_it(tmp_path):
    checkout = tree(tmp_path / "checkout", FILES)
    edited = tree(tmp_path / "checkout", {"a/cnn.py": "x = 'edited'"})
    assert frozen(checkout.freeze("a", tmp_path / "cache"))["a/cnn.py"] == FILES["a/cnn.py"]
    assert frozen(edited.freeze("a", tmp_path / "cache"))["a/cnn.py"] == "x = 'edited'"


def test_frozen_code_that_was_changed_is_made_again(tmp_path):
    checkout = tree(tmp_path / "checkout", FILES)
    place = checkout.freeze("a", tmp_path / "cache")
    whole = frozen(place)
    (place / "a" / "cnn.py").unlink()
    (place / "a" / "cnn.py").write_text("x = 'changed'")
    (place / "a" / "more.py").write_text("")
    assert frozen(checkout.freeze("a", tmp_path / "cache")) == whole


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_modes_umask_and_ends_of_lines_change_no_fingerprint(tmp_path, umask):
    unix = tree(tmp_path / "unix", FILES)
    before = os.umask(umask)
    try:
        for name, source in FILES.items():
            path = tmp_path / "windows" / "workloads" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.replace("\n", "\r\n").encode())
        (tmp_path / "windows" / "workloads" / "a" / "__pycache__").mkdir()
        (tmp_path / "windows" / "workloads" / "a" / "__pycache__" / "cnn.cpython-311.pyc").write_bytes(b"\0")
        windows = fingerprint.inspect(tmp_path / "windows")
        place = windows.freeze("a", tmp_path / "cache")
    finally:
        os.umask(before)
    assert (windows.modules, windows.code.workloads_sha256) == (unix.modules, unix.code.workloads_sha256)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (place, *place.rglob("*"))} == {0o755, 0o444}


@pytest.mark.parametrize(
    "files",
    [
        {"a.py": b"1", "b/c.py": b"3"},
        {"a.py": b"1", "b/d.py": b"2"},
        {"a.py": b"1", "c.py": b"2"},
        {"a.py": b"12", "b/c.py": b""},
        {"a.py": b"1"},
        {"a.py": b"1", "b/c.py": b"2", "d": b""},
    ],
)
def test_any_difference_changes_the_fingerprint(files):
    assert fingerprint.sha256_of_sources({"a.py": b"1", "b/c.py": b"2"}) != fingerprint.sha256_of_sources(files)


def test_links_are_never_followed(tmp_path):
    before = tree(tmp_path, FILES)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.py").write_text("")
    workloads = tmp_path / "workloads"
    (workloads / "a" / "secret.py").symlink_to(tmp_path / "outside" / "secret.py")
    (workloads / "out").symlink_to(tmp_path / "outside")
    (workloads / "loop").symlink_to(workloads)
    (workloads / "dangling").symlink_to("nowhere")
    assert fingerprint.inspect(tmp_path).sources == before.sources


@pytest.fixture
def project(tmp_path):
    """A folder with workloads, and a function that runs git in it."""
    root = tmp_path / "project"
    tree(root, {"numpy/cnn.py": "1"})

    def git(*arguments, cwd=root):
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", *identity, *arguments], cwd=cwd, capture_output=True, text=True, check=True
        ).stdout.strip()

    return root, git


def history(root):
    code = fingerprint.inspect(root).code
    return code.git_commit, code.git_dirty


def test_a_checkout_has_its_commit_and_says_whether_it_differs(project):
    root, git = project
    for arguments in (["init"], ["add", "."], ["commit", "-m", "all"]):
        git(*arguments)
    assert history(root) == (git("rev-parse", "HEAD"), False)
    (root / "workloads" / "numpy" / "cnn.py").write_text("2")
    assert history(root) == (git("rev-parse", "HEAD"), True)


def test_the_commit_of_another_project_around_the_code_is_never_recorded(project):
    root, git = project
    (root.parent / "thesis.tex").touch()
    for arguments in (["init"], ["add", "thesis.tex"], ["commit", "-m", "thesis"]):
        git(*arguments, cwd=root.parent)
    assert history(root) == (None, None)


def test_installed_code_has_the_commit_that_it_was_built_from(project):
    root, git = project
    (root / fingerprint.BUILD_RECORD).write_text('{"git_commit": "abc", "git_dirty": false}')
    git("init")
    assert history(root) == ("abc", False)


def test_a_checkout_of_another_program_than_the_one_that_runs_is_not_its_commit(project):
    root, git = project
    (root / "orchestrator").mkdir()
    (root / "orchestrator" / "__init__.py").write_text("another")
    for arguments in (["init"], ["add", "."], ["commit", "-m", "all"]):
        git(*arguments)
    assert history(root) == (git("rev-parse", "HEAD"), True)
