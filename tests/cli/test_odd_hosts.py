"""Users without a home folder, caches of other users, full disks: it works, or one line says what to do."""

import contextlib
import os
import re
import subprocess
import sys

import pytest

CELL = ["--framework=numpy", "--workload=resnet50", "--engine=process", f"--python=numpy={sys.executable}"]
SMALL = ["--set=resnet50.batch=1", "--set=resnet50.batches=1", "--set=trace=0"]
JOB = ["bench", "configs/smoke.yaml", *CELL, *SMALL]


@pytest.fixture
def run(root):
    def call(*arguments, variables=(), without=(), before=()):
        environment = {name: value for name, value in os.environ.items() if name not in {"ROSETTA_CACHE", *without}}
        done = subprocess.run(
            [*before, sys.executable, "-m", "orchestrator", *map(str, arguments)],
            cwd=root,
            env={**environment, "COLUMNS": "300", **dict(variables)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return call


def nobody():
    """A prefix that runs a command as a user whom no list of users knows."""
    prefix = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel has no user namespaces for this user")
    return prefix


@contextlib.contextmanager
def unwritable(folder):
    """A prefix under which nothing below `folder` can be written, not even by root."""
    if os.geteuid():
        paths = [folder, *(path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink())]
        for path in paths:
            path.chmod(0o555)
        try:
            yield []
        finally:
            for path in paths:
                path.chmod(0o755)
        return
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    prefix = ["unshare", "--mount", "sh", "-c", script, str(folder)]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this root may not mount")
    yield prefix


@contextlib.contextmanager
def full(folder, size="64k"):
    """A prefix under which `folder` is a disk of this size."""
    prefix = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size={size} tmpfs "$0" && exec "$@"', str(folder)]
    if os.geteuid() or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("only root may mount")
    yield prefix


@pytest.mark.parametrize("arguments", [["data", "ls"], JOB, ["clean"], ["doctor"]], ids=lambda each: each[0])
def test_a_user_without_a_home_is_asked_for_a_cache(run, arguments):
    done = run(*arguments, without=["HOME"], before=nobody())
    assert done.returncode == 4
    assert done.stderr == (
        "error: this user has no home folder for a cache\n  → name a folder in ROSETTA_CACHE, as an absolute path\n"
    )


@pytest.mark.slow
def test_a_user_without_home_and_name_can_run_a_job(run, tmp_path):
    variables = {"ROSETTA_CACHE": tmp_path / "cache", "PYENV_ROOT": "/proc/1/root"}
    done = run(*JOB, "--results", tmp_path, variables=variables, without=["HOME"], before=nobody())
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.slow
def test_reading_a_complete_cache_needs_no_write(run, tmp_path):
    cache, results = tmp_path / "cache", tmp_path / "results"
    variables = {"ROSETTA_CACHE": cache}
    training = [
        "bench",
        "configs/smoke.yaml",
        *CELL,
        "--workload=cnn",
        "--set=cnn.train_samples=64",
        "--set=cnn.epochs=1",
    ]
    assert run(*training, "--results", results, variables=variables).returncode == 0
    with unwritable(cache) as before:
        done = run(*training, "--results", results, variables=variables, before=before)
        assert done.returncode == 0, done.stdout + done.stderr
    for path in cache.glob("frozen/*/*/*"):  # a run that was killed here may have left its folder without files
        path.unlink()
    with unwritable(cache) as before:
        done = run(*training, "--results", results, variables=variables, before=before)
        assert done.returncode == 0, done.stdout + done.stderr
        assert run("data", "prepare", "cifar10", "--synthetic", variables=variables, before=before).returncode == 0
        assert run("data", "ls", variables=variables, before=before).returncode == 0
        done = run(*training, "--set=seed=77", "--results", results, variables=variables, before=before)
    assert done.returncode == 1
    assert f"{cache}/" in done.stdout
    assert "cannot be written: " in done.stdout
    assert " belongs to " in done.stdout
    assert "in ROSETTA_CACHE" in done.stdout


def test_a_cache_that_lacks_something_names_its_owner(run, tmp_path):
    (cache := tmp_path / "cache").mkdir()
    with unwritable(cache) as before:
        done = run("data", "prepare", "cifar10", "--synthetic", variables={"ROSETTA_CACHE": cache}, before=before)
    assert done.returncode == 5
    error, hint = done.stderr.splitlines()
    assert error.startswith(f"error: {cache}/datasets/.cifar10-synthetic-")
    assert f"({cache} belongs to {cache.owner()})" in error
    assert hint.endswith("in ROSETTA_CACHE")


def test_a_full_cache_names_its_folder(run, tmp_path):
    (cache := tmp_path / "cache").mkdir()
    with full(cache) as before:
        done = run(*JOB, "--results", tmp_path, variables={"ROSETTA_CACHE": cache}, before=before)
    assert done.returncode == 9  # before anything is made
    assert re.search(rf"the inputs need \d+ MB in {cache}, which has 1 MB left", done.stderr)
    assert "name a cache on another disk in ROSETTA_CACHE" in done.stderr
    assert "docker system df" not in done.stderr


@pytest.mark.slow
def test_a_full_cache_during_an_installation_names_its_folder(run, tmp_path):
    (cache := tmp_path / "cache").mkdir()
    with full(cache, "56m") as before:  # enough for the inputs alone
        environment = ["bench", "configs/smoke.yaml", "--framework=numpy", "--workload=rnn", "--engine=process"]
        environment += ["--dataset=synthetic"]
        done = run(*environment, "--results", tmp_path, variables={"ROSETTA_CACHE": cache}, before=before)
    assert done.returncode == 1
    assert "could not be built: the disk is full" in done.stdout
    assert f"free some space in {cache}/venvs" in done.stdout
    assert "docker system df" not in done.stdout


@pytest.mark.docker
def test_a_daemon_that_does_not_see_our_files_is_named_before_anything_is_built(run, docker_engine, tmp_path):
    (cache := tmp_path / "cache").mkdir()
    job = ["bench", "configs/smoke.yaml", *CELL[:2], *SMALL, "--engine=docker", "--results", tmp_path / "results"]
    with full(cache) as before:  # the daemon is outside of that mount namespace
        done = run(*job, variables={"ROSETTA_CACHE": cache}, before=before)
    assert done.returncode == 4
    assert f"does not see the files in {cache}: it runs on another machine" in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("value", ["/dev/null", "/dev/null/below", "~nobody-of-this-name/cache"])
def test_a_cache_that_can_be_no_folder_is_one_line(run, value):
    done = run("data", "prepare", "cifar10", "--synthetic", variables={"ROSETTA_CACHE": value})
    assert done.returncode in {4, 5}
    assert len(done.stderr.splitlines()) == 2
    assert "ROSETTA_CACHE" in done.stderr


def test_what_clean_cannot_remove_it_does_not_call_removed(run, tmp_path):
    (tmp_path / "cache" / "weights").mkdir(parents=True)
    (tmp_path / "cache" / "weights" / "some.npz").write_bytes(b"")
    with unwritable(tmp_path / "cache") as before:
        # Nothing of this machine: no image, and no job folder that a killed run has left.
        variables = {"ROSETTA_CACHE": tmp_path / "cache", "DOCKER_HOST": "unix:///nowhere.sock", "TMPDIR": tmp_path}
        done = run("clean", "--all", "--yes", variables=variables, before=before)
    assert done.returncode == 4
    assert "1 of 1 things were not removed" in done.stdout


def test_a_pyenv_that_cannot_be_read_is_ignored(run, tmp_path):
    (pyenv := tmp_path / "pyenv").mkdir()
    (pyenv / "versions").symlink_to("versions")  # reading it fails for root, too: a loop of links
    done = run("doctor", variables={"ROSETTA_CACHE": tmp_path, "PYENV_ROOT": pyenv})
    assert done.returncode in {0, 4}
    assert "Python" in done.stdout
