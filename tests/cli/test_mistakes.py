"""Whatever a person types, there is one clear line, an exit code that says what kind it is, and no traceback."""

import os
import signal
import subprocess
import sys

import pytest

from orchestrator import errors
from orchestrator.cli import app, crash

LONG = "x" * 5000
BYTES = os.fsdecode(b"caf\xe9\xff")  # a name that is not UTF-8
RUN = "results/published/intel-xeon-2-cpus-quick.json"
DRY = ["bench", "configs/smoke.yaml", "--framework=numpy", "--workload=resnet50", "--dry-run"]
REAL = DRY[:-1]


@pytest.fixture
def call(root, tmp_path, monkeypatch, capfd):
    """Runs the command line in this process; returns its exit code and what it printed to stderr."""
    monkeypatch.chdir(root)
    monkeypatch.setenv("ROSETTA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["orchestrator", *map(str, arguments)])
        code = 0
        try:
            app.main()
        except SystemExit as end:
            code = end.code
        return code, capfd.readouterr().err

    yield run
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def odd(tmp_path):
    """Files that are none, by name."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "random").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "utf16").write_bytes("name: [".encode("utf-16"))
    (tmp_path / "deep").write_text('{"a":' * 10_000)
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "fifo")
    found = {path.name: path for path in tmp_path.iterdir()}
    return {
        **found,
        "zero": "/dev/zero",
        "null": "/dev/null",
        "missing": tmp_path / "missing",
        "no name": "",
        "long": LONG,
        "bytes": BYTES,
    }


NAMES = [
    "folder",
    "empty",
    "random",
    "utf16",
    "deep",
    "loop",
    "fifo",
    "zero",
    "null",
    "missing",
    "no name",
    "long",
    "bytes",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "verb",
    [
        ["bench"],
        ["bench", "--resume"],
        ["report"],
        ["report", "--results"],
        ["compare", RUN],
        ["reproduce"],
        ["data", "import", "cifar10"],
    ],
    ids=" ".join,
)
def test_a_file_that_is_none_is_one_line(call, odd, verb, name):
    code, err = call(*verb, odd[name])
    assert code in {2, 3, 4, 5, 8}, err
    assert err.startswith("error: ")
    assert "unexpected" not in err
    assert "Traceback" not in err
    assert len(err) < 5000


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([*DRY, "--repeats", "1000000000"], 3),
        ([*DRY, "--repeats", "-1"], 3),
        ([*DRY, "--repeats", ""], 3),
        ([*DRY, "--repeats", "1e3"], 3),
        ([*DRY, "--budget", "-1"], 3),
        ([*DRY, "--retries", "99999999999999999999"], 3),
        ([*DRY, "--retries", "x"], 2),
        ([*DRY, "--device", ""], 3),
        ([*DRY, "--engine", LONG], 3),
        ([*DRY, "--gpu", "-1"], 3),
        ([*DRY, "--framework", BYTES], 3),
        ([*DRY, "--workload", LONG], 3),
        ([*DRY, "--dataset", ""], 3),
        ([*DRY, "--python", "x"], 2),
        ([*DRY, "--python", "numpy=~nobody-of-this-name/x"], 2),
        ([*DRY, "--set", ""], 3),
        ([*DRY, "--set", "seed="], 3),
        ([*DRY, "--set", "seed=" + "9" * 5000], 3),
        ([*DRY, "--set", "seed=!!bool x"], 3),
        ([*DRY, "--set", "seed=" + "[" * 5000], 3),
        ([*DRY, "--set", f"name={BYTES}"], 3),
        ([*DRY, "--set", "x." * 2000 + "y=1"], 3),
        ([*DRY, "--set", "cnn=3"], 3),
        ([*DRY, "--set", "cnn.epochs.x=3"], 3),
        ([*DRY, "--set", "limits.memory=1e400"], 3),
        ([*DRY, "--set", "limits.memory=9999999 TiB"], 3),
        ([*DRY, "--set", "limits.timeout=1e400"], 3),
        ([*DRY, "--set", "limits.cpus=0"], 3),
        ([*REAL, "--results", "/dev/full"], 8),
        ([*REAL, "--results", "/proc/x"], 8),
        ([*REAL, "--results", LONG], 8),
        (["report", RUN, "--format", ""], 2),
        (["report", RUN, "-o", LONG], 8),
        (["compare", ":", ":"], 8),
        (["compare", RUN, RUN, "--fail-on-slower", "-5%"], 2),
        (["reproduce", RUN, "--repeats", "1000000000"], 2),
        (["reproduce", RUN, "--job", LONG], 2),
        (["verify", "numpy", "--steps", "0"], 2),
        (["check", ""], 2),
        (["new", BYTES, "--package", "a==1"], 2),
        (["new", "x", "--package", ""], 2),
        (["images", "build", ""], 2),
        (["images", "build", "numpy", "--variant", ""], 6),
        (["data", "prepare", BYTES], 2),
        (["data", "import", "nope", "."], 2),
        (["nope"], 2),
        ([""], 2),
        (["--nope"], 2),
        (["bench", "--set"], 2),
    ],
    ids=lambda value: " ".join(value)[-60:] if isinstance(value, list) else str(value),
)
def test_a_mistake_is_one_line(call, arguments, code):
    found, err = call(*arguments)
    assert (found, "Traceback" in err) == (code, False), err
    assert "the crash report" not in err
    assert 0 < len(err) < 9000


def test_a_gpu_with_a_long_number_is_no_crash(call):
    assert call("doctor", "--gpu", "9" * 5000)[0] in {0, 2, 4}


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        (OSError(28, "No space left on device", "/x"), "/x: No space left on device", 4),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied", 4),
        (OSError(30, "Read-only file system"), "Read-only file system", 4),
        (OSError(24, "Too many open files", "/x"), "/x: Too many open files", 4),
        (MemoryError(), "this machine has too little free memory", 4),
        (UnicodeDecodeError("utf-8", b"ab\xffcd", 2, 3, "invalid start byte"), r"it holds b'\xffcd'", 7),
    ],
)
def test_what_the_machine_causes_is_no_crash(tmp_path, error, words, code):
    found = crash.crashed(tmp_path, error)
    assert words in found.message
    assert found.exit_code == code
    assert found.hint
    assert found.__cause__ is error
    assert not list(tmp_path.iterdir())


def test_what_may_be_our_fault_is_a_crash(tmp_path):
    for error in (ValueError("x"), OSError("x"), FileNotFoundError(2, "No such file", "/x"), RecursionError()):
        assert isinstance(crash.crashed(tmp_path, error), errors.CrashError)


INTERRUPTED = """
import builtins, os, signal, sys
real = builtins.__import__
def interrupted(name, *rest, **more):
    if name == {module!r}:
        builtins.__import__ = real
        os.kill(os.getpid(), signal.SIGINT)
    return real(name, *rest, **more)
builtins.__import__ = interrupted
sys.argv[1:] = ["list", "--json"]
from orchestrator.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["typer", "orchestrator.cli.app", "orchestrator.plan", "rich.console", "pydantic"])
def test_ctrl_c_during_an_import_is_one_line(root, module):
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(module=module)], cwd=root, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.strip()) == (130, "interrupted")
