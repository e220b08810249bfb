"""Frameworks that are not Python: `rosetta new --command`, and the helpers for JavaScript and C++."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from orchestrator.engines.docker.builder import find_builder
from tests import golden
from tests.support import checks

PATHS = (
    "docs/other-languages.md",
    "tests/golden",
    "workloads/common_cpp",
    "workloads/common_js",
    "orchestrator/verify/scaffold",
    "orchestrator/cli",
)
CHECK = checks.frameworks("other languages", "tests/docker/test_other_languages.py", inputs=PATHS)
pytestmark = [pytest.mark.docker, checks.mark(CHECK)]

# All that the protocol asks of an inference, in the plainest language that there is; its features are zeros.
SHELL = r"""
number=0
say() {
    printf '{"event":"%s","seq":%s,"t":%s%s}\n' "$1" "$number" "$(cut -d' ' -f1 /proc/uptime | awk -v b="$began" '{print $1 - b}')" "$2"
    number=$((number + 1))
}
began=$(cut -d' ' -f1 /proc/uptime)
say start ',"protocol":2,"framework":"shell","workload":"resnet50","version":"1.0","versions":{},"device":"cpu",
"device_name":null,"precision":"fp32","threads":1,"fused":null,"denormals":"kept","notes":["computes nothing"]'
test -s "$BENCH_INPUTS/images.npy" && test -s "$BENCH_INPUTS/weights.npz"
say ready ',"load_s":0,"build_s":0,"compile_s":0'
for pass in cold inference; do
    sleep 0.2
    say $pass ',"samples":1,"seconds":0.2,"batch_seconds":[0.2]'
done
head -c 8192 /dev/zero >/tmp/features
say artifact ',"name":"timed-0.npy","dtype":"float32","shape":[1,2048],"sha256":"'"$(sha256sum </tmp/features | cut -c1-64)"'"'
printf '{"part":"%s"}\n' "$(base64 -w0 </tmp/features)"
say end ''
""".replace('",\n"', '","')  # an event is one line
NEW = ("new", "shell", "--package", "dash==1.0", "--command", "sh workloads/{module}/{workload}.sh", "--title", "Shell")
SMALL = ("--workload", "resnet50", "--set", "resnet50.batch=1", "--set", "resnet50.batches=1", "--set", "trace=0")


@pytest.fixture(scope="module")
def checkout(root, docker_engine, tmp_path_factory):
    """A copy of this checkout with a framework in POSIX shell, begun with `new`."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("orchestrator", "workloads", "images", "configs", "docs", "results/reference"):
        shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    done = orchestrator(copy, *NEW)
    assert done.returncode == 0, done.stderr
    assert "docs/other-languages.md" in done.stdout
    return copy


def orchestrator(copy, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments], cwd=copy, capture_output=True, text=True, timeout=500,
        check=False, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


def bench(copy, *options):
    return orchestrator(copy, "bench", "configs/smoke.yaml", "--framework", "shell", *SMALL, *options)


def test_what_new_writes_builds_and_says_that_it_is_not_written_yet(checkout):
    done = bench(checkout, "--engine", "docker", "--results", "begun")
    (path,) = (checkout / "begun").glob("*/shell-resnet50-cpu-1.json")
    result = json.loads(path.read_text())
    assert done.returncode == 1, done.stderr
    assert result["failure"]["kind"] == "protocol"  # it is a comment: it ends without a word
    assert "without 'end'" in result["failure"]["message"]


def test_a_framework_in_shell_is_measured(checkout):
    (checkout / "workloads" / "shell" / "resnet50.sh").write_text(SHELL)
    done = bench(checkout, "--engine", "docker", "--results", "written")
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (checkout / "written").glob("*/shell-resnet50-cpu-1.json")
    result = json.loads(path.read_text())
    assert (result["status"], result["start"]["version"]) == ("ok", "1.0")
    assert result["job"]["command"] == "sh workloads/{module}/{workload}.sh"
    assert result["provenance"]["environment"]["lock_sha256"] is not None
    assert result["figures"]["timed_features"] == [0.0] * 64


def test_the_process_engine_says_in_one_line_who_can_run_it(checkout):
    done = bench(checkout, "--engine", "process", "--results", "nowhere")
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert said.count("image 'shell' is not a Python environment: only the docker engine can run it") == 1
    assert "--engine process" not in said


@pytest.fixture(scope="module")
def written(checkout):
    """A function that begins a framework with `new` and gives it the program of docs/other-languages.md, once."""
    page = (checkout / "docs" / "other-languages.md").read_text()

    @functools.cache
    def begin(name, command, language):
        done = orchestrator(checkout, "new", name, "--package", f"{name}==1.0", "--command", command)
        assert done.returncode == 0, done.stderr
        (program,) = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
        (checkout / "workloads" / name / f"resnet50.{language}").write_text(program)
        return checkout / "images" / name / "Dockerfile"

    return begin


def in_node(written):
    dockerfile = written("hellojs", "node workloads/{module}/{workload}.js", "js")
    install = (
        "RUN apt-get update && apt-get install --yes --no-install-recommends nodejs && rm -rf /var/lib/apt/lists/*"
    )
    if install not in dockerfile.read_text():
        dockerfile.write_text(dockerfile.read_text().replace("ENV HOME", f"{install}\nENV HOME", 1))
    return "hellojs"


def in_cpp(written):
    written("hellocpp", "compile-and-run workloads/{module}/{workload}.cpp", "cpp")
    return "hellocpp"


@pytest.mark.slow
@pytest.mark.parametrize("begin", [in_node, in_cpp])
def test_the_programs_of_the_documentation_are_measured(checkout, written, begin):
    name = begin(written)
    done = orchestrator(
        checkout, "bench", "configs/smoke.yaml", "--framework", name, *SMALL, "--engine", "docker", "--results", name
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (checkout / name).glob(f"*/{name}-resnet50-cpu-1.json")
    result = json.loads(path.read_text())
    (mean,) = set(result["figures"]["timed_features"])  # of the pixels, which are uniform in [0, 1)
    assert mean == pytest.approx(0.5, abs=0.01)
    helper = {"hellojs": "common_js", "hellocpp": "common_cpp"}[name]
    assert set(result["provenance"]["code"]["parts_sha256"]) == {name, helper}


@pytest.mark.slow
def test_the_helper_for_cpp_tells_the_golden_stories(root, checkout, written, tmp_path):
    """In the image that `new` writes for a C++ framework, started as a job is: compiled by compile-and-run."""
    name = in_cpp(written)
    assert orchestrator(checkout, "images", "build", name).returncode == 0
    listed = json.loads(orchestrator(checkout, "images", "ls", "--json").stdout)
    (tag,) = (row["tag"] for row in listed if row["image"] == name)
    golden.write_inputs(tmp_path)
    (tmp_path / "spec.json").write_text(json.dumps(golden.JOB))
    mounts = (
        f"{root / 'workloads'}:/bench/workloads:ro",
        f"{root / 'tests'}:/bench/tests:ro",
        f"{tmp_path}:/inputs:ro",
    )
    run = [
        str(find_builder().docker), "run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp:exec",
        *(f"--volume={mount}" for mount in mounts), "--env=BENCH_SPEC=/inputs/spec.json", "--env=BENCH_INPUTS=/inputs", tag,
    ]  # fmt: skip
    for story, code in golden.STORIES.items():
        done = subprocess.run(
            [*run, "compile-and-run", "tests/golden/tiny.cpp", story], capture_output=True, timeout=500, check=False
        )
        assert done.returncode == code, done.stderr.decode()
        assert golden.masked(done.stdout) == golden.expected(story)
        (start, *_) = (json.loads(line) for line in done.stdout.splitlines())
        assert start["denormals"] == ("flushed" if os.uname().machine == "x86_64" else "kept")
        if story == "train":
            assert b"a framework's chatter on stdout" in done.stderr
            assert b"a library's chatter on fd 1" in done.stderr
            kept = golden.artifacts(done.stdout)
            assert kept["scores-0.npy"].tolist() == np.eye(10)[[0] * 6].tolist()  # the last half batch too
    (tmp_path / "spec.json").write_text(json.dumps({**golden.JOB, "settings": golden.LONGER}))
    argv = [*run, "compile-and-run", "tests/golden/tiny.cpp", "extract"]
    golden.check_passes(subprocess.run(argv, capture_output=True, timeout=500, check=True).stdout)
