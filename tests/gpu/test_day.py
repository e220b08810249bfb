"""The day on a CPU, with a framework that needs nothing: what cannot be there is left out with a word."""

import json
import subprocess
import sys
import tarfile

import pytest

SMALL = (
    "cnn.epochs=1", "cnn.train_samples=128", "cnn.test_samples=64", "rnn.epochs=1", "rnn.train_samples=128",
    "rnn.test_samples=64", "resnet50.batch=1", "resnet50.batches=1",
)  # fmt: skip


@pytest.mark.slow
def test_a_day_without_gpu_and_frameworks_brings_back_results(root, tmp_path):
    command = [sys.executable, "-m", "tests.gpu.day", "--out", tmp_path, "--device", "cpu", "--frameworks", "numpy"]
    command += ["--dataset", "synthetic", "--only", "facts", "fp32", "profiles", "failures"]
    command += [word for each in SMALL for word in ("--set", each)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = (tmp_path / "summary.txt").read_text()
    assert "] setup: exit code 0" in summary
    assert "] fp32: exit code 0" in summary
    assert "] failures: exit code 1" in summary  # the loss is not a number
    assert summary.splitlines()[-1].endswith("] done")
    capsule = json.loads((tmp_path / "capsule.json").read_text())
    statuses = [result["status"] for run in capsule["runs"] for result in run["results"]]
    assert sorted(statuses) == ["failed", "ok", "ok", "ok"]
    with tarfile.open(tmp_path / "logs.tar.gz") as archive:
        assert "logs/profiles.txt" in archive.getnames()  # it says that there is no PyTorch
    assert "NumPy" in (tmp_path / "tables.md").read_text()
