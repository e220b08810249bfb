"""Machines with GPUs of a stand-in driver, which is real shared libraries: doctor, and whole runs of jobs on them."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from orchestrator import files
from orchestrator.host.neighbours import Turns
from tests.support import engine_cases
from tests.support.machines import CARDS
from tests.support.paths import ROOT

UUIDS = [f"GPU-00000000-0000-4000-8000-{number:012}" for number in (1, 2)]
SOURCE = ROOT / "tests" / "support" / "stand_in_driver.c"
SLEEPS = 3  # seconds, in the slow workload
COMPILER = shutil.which("cc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="the stand-in is compiled: it needs a C compiler")


@pytest.fixture
def rosetta(tmp_path):
    """A function that calls Rosetta on a machine with these GPUs, given as (name, compute capability)."""

    def start(cards, *words, root=ROOT, divided=False):
        folder = tmp_path / "driver"
        if not folder.exists():
            folder.mkdir()
            given = ",".join(
                f'{{"{name}","{uuid}",{capability.replace(".", ",")},{divided:d}}}'
                for (name, capability), uuid in zip(cards, UUIDS, strict=False)
            )
            library = folder / "libcuda.so.1"
            subprocess.run([COMPILER, "-shared", "-fPIC", f"-DCARDS={given}", "-o", library, SOURCE], check=True)
            (folder / "libnvidia-ml.so.1").symlink_to(library)
        environment = {name: text for name, text in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
        environment |= {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(ROOT), "COLUMNS": "300"}
        command = [sys.executable, "-m", "orchestrator", *map(str, words)]
        return subprocess.Popen(
            command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start


def ended(process):
    """What a call printed: (exit code, stdout, stderr)."""
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("card", "kinds"),
    [
        (
            "H100",
            {"pytorch": "native", "jax": "native", "tensorflow": "native", "chainer": "jit", "mxnet": "impossible"},
        ),
        (
            "H200",
            {"pytorch": "native", "jax": "native", "tensorflow": "native", "chainer": "jit", "mxnet": "impossible"},
        ),
        ("B200", {"pytorch": "native", "jax": "native", "tensorflow": "jit", "chainer": "jit", "cntk": "impossible"}),
        (
            "RTX 5090",
            {"pytorch": "native", "jax": "native", "tensorflow": "jit", "chainer": "jit", "caffe2": "impossible"},
        ),
    ],
)
def test_doctor_finds_the_gpu_and_says_what_runs_on_it(rosetta, card, kinds):
    code, out, err = ended(rosetta([CARDS[card]], "doctor", "--json"))
    assert code == 0, err
    found = json.loads(out)
    (gpu,) = found["host"]["gpus"]
    assert (gpu["name"], gpu["capability"]) == CARDS[card]
    assert (gpu["uuid"], gpu["memory"], gpu["power_limit"], gpu["mig"]) == (UUIDS[0], 128 << 30, 700.0, False)
    rows = {row["framework"]: row for row in found["frameworks"]}
    assert {name: rows[name]["gpu"]["kind"] for name in kinds} == kinds


@pytest.fixture
def project(tmp_path):
    """A function that makes a project with one framework, whose image has code for GPUs of this compute capability."""

    def make(capability):
        root = engine_cases.gpu_project(tmp_path)
        for folder in ("configs", "results/reference"):  # so that it is a checkout
            shutil.copytree(ROOT / folder, root / folder)
        dockerfile = root / "images" / "echo" / "Dockerfile"
        text = dockerfile.read_text().replace('"7.0 8.0"', f'"{capability}"')
        dockerfile.write_text(text.replace('"good"', '"slow"').replace("framework.good.", "framework.slow."))
        return root

    return make


def bench(*options):
    """The words that run the slow job of a project on a GPU; the folder with the results comes after them."""
    words = [
        "bench",
        "smoke",
        "--framework",
        "slow",
        "--workload",
        "resnet50",
        "--device",
        "gpu",
        "--engine",
        "process",
    ]
    words += ["--python", f"echo={sys.executable}", "--yes", "--set", "resnet50.seconds=0", *options]
    return [*words, "--set", "resnet50.batch=2", "--set", "resnet50.batches=3", "--results"]


def only_result(results):
    (path,) = results.glob("*/slow-resnet50-gpu-1.json")
    return json.loads(path.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("card", ["H200", "RTX 5090"])
def test_a_job_runs_on_the_gpu_and_its_sensors_are_read(rosetta, project, tmp_path, card):
    name, capability = CARDS[card]
    results = tmp_path / "results"
    code, out, err = ended(rosetta([CARDS[card]], *bench(), results, root=project(capability)))
    assert code == 0, out + err
    result = only_result(results)
    assert result["start"]["gpus"] == [UUIDS[0]]
    (gpu,) = result["provenance"]["host"]["gpus"]
    assert (gpu["name"], gpu["uuid"]) == (name, UUIDS[0])
    (sensors,) = result["telemetry"]["gpus"]
    assert sensors["uuid"] == UUIDS[0]
    assert sensors["power"]["mean"] == 250
    assert sensors["joules"] > 250 * SLEEPS
    assert name in " ".join(out.split())


@pytest.mark.slow
def test_of_two_gpus_a_job_gets_the_one_that_was_chosen(rosetta, project, tmp_path):
    cards = [CARDS["H100"], CARDS["H100"]]
    root = project("9.0")
    code, out, err = ended(rosetta(cards, *bench("--gpu", "1"), tmp_path / "second", root=root))
    assert code == 0, out + err
    result = only_result(tmp_path / "second")
    assert result["start"]["gpus"] == [UUIDS[1]]
    assert [gpu["uuid"] for gpu in result["telemetry"]["gpus"]] == [UUIDS[1]]
    code, _, err = ended(rosetta(cards, *bench("--gpu", "all"), tmp_path / "all", root=root))
    assert (code, "`gpu: all` are 2 GPUs here, and a job with 1 rank uses 1" in " ".join(err.split())) == (2, True), err


@pytest.mark.slow
def test_a_job_waits_for_its_turn_on_the_gpu(rosetta, project, tmp_path):
    root, results = project("9.0"), tmp_path / "results"
    with Turns(files.default_cache()).on([UUIDS[0]]):  # as another run's job would
        process = rosetta([CARDS["H200"]], *bench(), results, root=root)
        waiting = any(f"waiting for the GPU {UUIDS[0]}" in line for line in process.stderr)
    code, out, err = ended(process)
    assert (code, waiting) == (0, True), out + err
    assert only_result(results)["status"] == "ok"


def test_a_divided_gpu_runs_no_job(rosetta, project, tmp_path):
    """MIG: jobs get whole GPUs only."""
    root = project("9.0")
    code, out, err = ended(rosetta([CARDS["H200"]], *bench(), tmp_path / "results", root=root, divided=True))
    assert code == 0, out + err
    assert "slow-resnet50-gpu-1 skipped: MIG is on: this GPU is divided" in " ".join(out.split())
    assert not list((tmp_path / "results").glob("*/*.jsonl"))
