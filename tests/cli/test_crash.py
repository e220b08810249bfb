"""What a person sees when this program itself fails, or is interrupted where there is nothing to go on with."""

import os
import re
import subprocess
import sys

import pytest
import typer

from orchestrator.cli import crash
from orchestrator.errors import CrashError, UsageError

# The real command line in a process of its own, in which one function fails.
PROGRAM = """
import sys
from {module} import {owner}

def fail(*_, **__):
    raise {error}

{owner}.{function} = fail
from orchestrator.cli.app import main
sys.argv[1:] = {arguments!r}
main()
"""


@pytest.fixture
def call(root, tmp_path):
    def call(owner, function, error, *arguments, **environ):
        module, _, owner = owner.rpartition(".")
        program = PROGRAM.format(module=module, owner=owner, function=function, error=error, arguments=arguments)
        return subprocess.run(
            [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "ROSETTA_CACHE": str(tmp_path / "cache"), "NO_COLOR": "1", **environ},
        )  # fmt: skip

    return call


def test_a_crash_has_its_own_exit_code_one_line_and_a_report(call, tmp_path):
    done = call("orchestrator.plan.catalog", "load", "KeyError('surprise')", "list", "--json")
    assert done.returncode == 70, done.stderr
    assert "Traceback" not in done.stderr
    (path,) = (tmp_path / "cache" / "crashes").iterdir()
    assert f"error: unexpected KeyError: 'surprise'; the crash report is {path}\n" in done.stderr
    report = path.read_text()
    assert "command: rosetta list --json\n" in report
    assert f"({sys.executable})" in report
    assert re.search(r"^time: \d{4}-\d\d-\d\dT.*\nversion: \d", report, re.MULTILINE)
    assert report.rstrip().endswith("KeyError: 'surprise'")
    assert "Traceback (most recent call last)" in report


CAPSULE = "results/published/intel-xeon-2-cpus-quick.json"
WITH_VERDICTS = {  # verbs whose exit code is a verdict: what they all call
    "compare": ("orchestrator.sealed", "load", CAPSULE, CAPSULE),
    "reproduce": ("orchestrator.sealed", "load", CAPSULE),
    "verify": ("orchestrator.plan.catalog", "load", "numpy"),
    "check": ("orchestrator.plan.catalog", "load", "numpy"),
    "bench": ("orchestrator.plan.catalog", "load", "configs/smoke.yaml"),
}


@pytest.mark.parametrize("verb", WITH_VERDICTS)
@pytest.mark.parametrize(
    ("error", "code"),
    [("KeyError('x')", 70), ("RecursionError()", 70), ("BrokenPipeError(32, 'x')", 70), ("MemoryError()", 4)],
)
def test_no_crash_has_the_exit_code_of_a_verdict(call, verb, error, code):
    """1 says that a job failed, is slower, or is not certified. 4 says that this machine lacks something."""
    owner, function, *arguments = WITH_VERDICTS[verb]
    done = call(owner, function, error, verb, *arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")


def test_a_crash_without_memory_for_its_report_has_the_exit_code_of_a_crash(root):
    program = "from orchestrator.plan import catalog\ncatalog.load = lambda *_: 1 / 0\n" + PROGRAM.format(
        module="orchestrator.cli", owner="crash", function="crashed", error="MemoryError()", arguments=("list",)
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 70
    assert done.stderr == "error: unexpected ZeroDivisionError; no crash report could be made\n"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("sys.modules['typer'] = None", "ModuleNotFoundError"),
        (
            "import orchestrator.cli.app as app; app.main = lambda: throw(type('Panic', (BaseException,), {})())",
            "Panic",
        ),
        ("import orchestrator.cli.app as app; app.main = lambda: throw(MemoryError())", "MemoryError"),
    ],
    ids=["a module is missing", "a panic", "no memory"],
)
def test_what_fails_outside_of_the_command_line_is_a_crash_too(root, fault, words):
    program = f"""
import sys
def throw(error):
    raise error
{fault}
from orchestrator.__main__ import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 70, done.stderr
    assert done.stderr.startswith("error: unexpected ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_on_request_the_traceback_is_shown_too(call):
    done = call("orchestrator.plan.catalog", "load", "KeyError('surprise')", "list", ROSETTA_DEBUG="1")
    assert done.returncode == 70
    assert "Traceback (most recent call last)" in done.stderr
    assert "in fail" in done.stderr


def test_a_crash_in_a_run_is_reported_in_its_folder_beside_its_log(call, tmp_path):
    arguments = ("bench", "configs/smoke.yaml", "--framework", "numpy", "--engine", "process")
    results = tmp_path / "results"
    done = call("orchestrator.run.preparation", "run", "OSError('x')", *arguments, "--results", str(results))
    assert done.returncode == 70, done.stderr
    (folder,) = results.iterdir()
    (path,) = folder.glob("crash-*.txt")
    assert str(path) in done.stderr
    assert "OSError: x" in path.read_text()
    assert (folder / "orchestrator.log").is_file()
    assert not (tmp_path / "cache" / "crashes").exists()


def test_a_crash_that_cannot_be_reported_says_so(call, tmp_path):
    (tmp_path / "cache").write_text("")
    done = call("orchestrator.plan.catalog", "load", "KeyError('surprise')", "list")
    assert done.returncode == 70
    assert "unexpected KeyError: 'surprise'; the crash report cannot be written" in done.stderr


def test_an_interruption_with_nothing_to_go_on_with_is_one_line(call):
    done = call("orchestrator.plan.catalog", "load", "KeyboardInterrupt", "list")
    assert done.returncode == 130
    assert done.stderr.strip() == "interrupted"


@pytest.mark.parametrize("error", [UsageError("wrong"), typer.Exit(3), BrokenPipeError(), KeyboardInterrupt()])
def test_what_is_no_crash_is_left_alone(error, tmp_path):
    with pytest.raises(type(error)) as caught, crash.reported_in(tmp_path):
        raise error
    assert caught.value is error
    assert not list(tmp_path.iterdir())


def test_the_cause_is_kept(tmp_path):
    with pytest.raises(CrashError) as caught, crash.reported_in(tmp_path):
        raise ZeroDivisionError("1/0")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.exit_code == 70
