"""Whatever a person types, there is one clear line, an exit code that says what kind it is, and no traceback."""

import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import errors
from orchestrator.cli import app, crash, options
from orchestrator.plan import spec_file

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
        monkeypatch.setattr(sys, "argv", ["rosetta", *map(str, arguments)])
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
        ([*DRY, "--repeats", "1000000000"], 2),
        ([*DRY, "--repeats", "-1"], 2),
        ([*DRY, "--repeats", ""], 2),
        ([*DRY, "--repeats", "1e3"], 2),
        ([*DRY, "--budget", "-1"], 2),
        ([*DRY, "--retries", "99999999999999999999"], 2),
        ([*DRY, "--retries", "x"], 2),
        ([*DRY, "--device", ""], 2),
        ([*DRY, "--engine", LONG], 2),
        ([*DRY, "--gpu", "-1"], 2),
        ([*DRY, "--framework", BYTES], 2),
        ([*DRY, "--workload", LONG], 2),
        ([*DRY, "--dataset", ""], 2),
        ([*DRY, "--python", "x"], 2),
        ([*DRY, "--python", "numpy=~nobody-of-this-name/x"], 2),
        ([*DRY, "--set", ""], 2),
        ([*DRY, "--set", "seed="], 2),
        ([*DRY, "--set", "seed=" + "9" * 5000], 2),
        ([*DRY, "--set", "seed=!!bool x"], 2),
        ([*DRY, "--set", "seed=" + "[" * 5000], 2),
        ([*DRY, "--set", f"name={BYTES}"], 2),
        ([*DRY, "--set", "x." * 2000 + "y=1"], 2),
        ([*DRY, "--set", "cnn=3"], 2),
        ([*DRY, "--set", "cnn.epochs.x=3"], 2),
        ([*DRY, "--set", "limits.memory=1e400"], 2),
        ([*DRY, "--set", "limits.memory=9999999 TiB"], 2),
        ([*DRY, "--set", "limits.timeout=1e400"], 2),
        ([*DRY, "--set", "limits.cpus=0"], 2),
        ([*REAL, "--results", "/dev/full"], 8),
        ([*REAL, "--results", "/proc/x"], 8),
        ([*REAL, "--results", LONG], 8),
        (["report", RUN, "--format", ""], 2),
        (["report", RUN, "-o", LONG], 8),
        (["compare", ":", ":"], 2),
        (["compare", RUN, RUN, "--fail-on-slower", "-5%"], 2),
        (["reproduce", RUN, "--repeats", "1000000000"], 2),
        (["reproduce", RUN, "--job", LONG], 2),
        (["verify", "numpy", "--steps", "0"], 2),
        (["check", ""], 2),
        (["new", BYTES, "--package", "a==1"], 2),
        (["new", "x", "--package", ""], 2),
        (["images", "build", ""], 2),
        (["images", "build", "numpy", "--variant", ""], 2),
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


# What was typed → the line that says what happened, the one that says what to type, and the exit code.
MESSAGES = [
    (
        "--set epochs=2",
        "--set epochs=2: unknown key 'epochs'; did you mean 'cnn.epochs', 'rnn.epochs' or 'gpt.epochs'?",
        "type --set cnn.epochs=2, --set rnn.epochs=2 or --set gpt.epochs=2",
    ),
    (
        "--set cnn.epoch=2",
        "--set cnn.epoch=2: unknown key 'cnn.epoch'; did you mean 'cnn.epochs'?",
        "type --set cnn.epochs=2",
    ),
    (
        "--set cnn.beta1=0.5",
        "--set cnn.beta1=0.5: unknown key 'cnn.beta1'; did you mean 'rnn.beta1' or 'gpt.beta1'?",
        "type --set rnn.beta1=0.5",
    ),
    ("--set cnn.epochs=two", "--set cnn.epochs=two: must be a whole number", "configs/README.md"),
    ("--set cnn=3", "--set cnn=3: must hold keys and values", "configs/README.md"),
    ("--set hosts.labels=3", "--set hosts.labels=3: must hold keys and values", "configs/README.md"),
    ("--set workloads=cnn", "--set workloads=cnn: must be a list", "type --set 'workloads=[cnn]'"),
    ("--set seed=1e3", "--set seed=1e3: must be a whole number", "type --set seed=1000"),
    ("--set each_host=1", "--set each_host=1: must be true or false", "configs/README.md"),
    ("--set name='My Run'", "must be lower-case letters, digits and hyphens, at most 40", "type --set name=my-run"),
    ("--set limits.memory=8", "must be a size from 64 MiB to 1024 TiB", "type --set 'limits.memory=8 GiB'"),
    ("--set limits.timeout=soon", "must be a time such as 90, 90s, 30m, 2h or 1h30m", "configs/README.md"),
    ("--device cuda", "--device cuda: must be auto, cpu or gpu; did you mean 'gpu'?", "type --device gpu"),
    ("--device GPU", "--device GPU: must be auto, cpu or gpu; did you mean 'gpu'?", "type --device gpu"),
    (
        "--engine podman",
        "--engine podman: no engine is called 'podman'; did you mean 'docker'?",
        "type --engine docker",
    ),
    (
        "--dataset oficial",
        "--dataset oficial: must be auto, real, official, imported or synthetic; did you mean 'official'?",
        "type --dataset official",
    ),
    ("--repeats x", "--repeats x: must be auto, or a whole number from 1 to 10,000", "type --repeats auto"),
    ("--retries x", "--retries x: must be a whole number from 0 to 10", "for example --retries 5"),
    ("--gpu x", "--gpu x: must be the number of a GPU, its UUID", "type --gpu 0"),
    (
        "--framework pytroch",
        "--framework pytroch: no framework is called 'pytroch'; did you mean 'pytorch'?",
        "type --framework pytorch",
    ),
    ("--workload cn", "--workload cn: no workload is called 'cn'; did you mean 'cnn'?", "type --workload cnn"),
    ("--frame numpy", "rosetta bench has no option --frame; did you mean --framework?", "bench --help"),
    ("again", "rosetta bench takes no argument 'again'", "type rosetta bench --help"),
    ("--set", "rosetta bench: --set needs a value", "type rosetta bench --help"),
    ("--dry-run=3", "rosetta bench: --dry-run takes no value", "type rosetta bench --help"),
    ("--set foo.bar=2", "--set foo.bar=2: unknown key 'foo.bar'", "every key and its default"),
    ("--python x=/nonexistent", "--python x=/nonexistent: no image is called 'x'", "`rosetta images ls`"),
    ("--python gluon=/bin/sh", "that framework's image is 'mxnet'", "type --python mxnet=/bin/sh"),
    ("--python numpy=/nonexistent", "--python numpy=/nonexistent: there is no file /nonexistent", "Python interpreter"),
    ("--python numpy=/etc/passwd", "/etc/passwd is not a working Python interpreter", "name a Python interpreter"),
    ("--python pytorch=python9", "there is no command python9 on PATH", "--python pytorch=/path/to/python"),
]
WORDS_OF_LIBRARIES = (
    "Value error",
    "Input should",
    "String should",
    "pattern",
    "^[",
    "instance of",
    "valid integer",
    "(s)",
)


@pytest.mark.parametrize(("typed", "what", "instead"), MESSAGES, ids=[typed for typed, _, _ in MESSAGES])
def test_a_wrong_option_of_bench_says_what_to_type_instead(call, typed, what, instead):
    code, err = call("bench", "configs/smoke.yaml", "--engine=process", "--dry-run", *shlex.split(typed))
    assert_one_mistake(err, what, instead)
    assert code == 2


@pytest.mark.parametrize(
    ("typed", "what", "instead", "code"),
    [
        ("bench numpy", "numpy is a framework, not a spec", "type rosetta bench --framework numpy", 2),
        ("bench numpi", "there is no spec file numpi", "type rosetta bench --framework numpy", 2),
        ("bench cnn", "cnn is a workload, not a spec", "type rosetta bench --workload cnn", 2),
        (
            "bench --resume nope --framework numpy",
            "--resume runs what is missing of a run, as it was started: it takes no --framework",
            "type rosetta bench --resume nope; or start a new run, without --resume",
            2,
        ),
        (
            "bench smoke --gpu 7 --device cpu --engine process",
            "--gpu chooses a GPU, but these jobs run on the CPU",
            "leave --gpu out, or use --device gpu",
            2,
        ),
        ("bench sed", "there is no spec file sed; did you mean 'seed'?", "type rosetta bench seed", 2),
        ("bench nosuch.yaml", "there is no spec file nosuch.yaml", "one of: quick, seed, smoke", 2),
        ("bench configs", "configs is a folder, not a spec file", "specs by name: quick, seed, smoke", 2),
        ("bench --resume nosuch", "there is no run 'nosuch' in ", "run", 2),
        ("report nosuch.json", "there is no file nosuch.json", "run", 2),
        ("report nosuch", "there is no run 'nosuch' in ", "run", 2),
        ("report configs", "configs is a folder without run.json, so it is no run", "run", 2),
        ("report --format pdf", "--format pdf: must be csv, html, json, markdown or table", "type --format html", 2),
        ("report --format HTML", "did you mean 'html'?", "type --format html", 2),
        ("compare numpy", "rosetta compare: B is missing", "type rosetta compare --help", 2),
        ("reproduce nosuch.json", "there is no file nosuch.json", "a capsule", 2),
        ("reproduce configs", "configs is a folder, not a file", "a capsule", 2),
        ("sign nosuch", "there is no file nosuch", "`rosetta report --capsule capsule.json`", 2),
        ("data import cifar10 /nonexistent", "there is no file or folder /nonexistent", "data import cifar10 PATH", 2),
        ("sign nope.json", "nope.json", "→", 2),
        ("data prepare mnist", "no dataset is called 'mnist'", "the datasets are cifar10, imdb", 2),
        ("data import cifar /nonexistent", "no dataset is called 'cifar'; did you mean 'cifar10'?", "cifar10, imdb", 2),
        ("images ls gluon", "no image is called 'gluon': that framework's image is 'mxnet'", "mxnet", 2),
        ("images ls nump", "no image is called 'nump'; did you mean 'numpy'?", "`rosetta images ls`", 2),
        ("images build numpy --variant gpu", "--variant gpu: must be cpu or cuda", "type --variant cuda", 2),
        ("images build numpy --variant cuda", "image numpy has no cuda variant", "it has: cpu", 2),
        ("verify nump", "no framework is called 'nump'; did you mean 'numpy'?", "`rosetta list`", 2),
        ("verify --device cuda", "--device cuda: must be auto, cpu or gpu; did you mean 'gpu'?", "--device gpu", 2),
        ("verify --steps x", "--steps x: must be a whole number from 1 to 200", "for example --steps 5", 2),
        ("check nump", "no framework is called 'nump'; did you mean 'numpy'?", "`rosetta list`", 2),
        ("check", "rosetta check: FRAMEWORK is missing", "type rosetta check --help", 2),
        ("doctor --gpu x", "--gpu x: must be the number of a GPU, or its UUID", "type --gpu 0", 2),
        ("doctor --python numpy=/nonexistent", "there is no file /nonexistent", "name a Python interpreter", 2),
        ("benhc", "rosetta has no command 'benhc'; did you mean 'bench'?", "type rosetta --help", 2),
        ("check nope", "no framework is called 'nope'; there are: caffe2, ", "`rosetta list`", 2),
        ("images lss", "rosetta images has no command 'lss'; did you mean 'ls'?", "images --help", 2),
    ],
)
def test_a_mistake_says_what_to_type_instead(call, typed, what, instead, code):
    found, err = call(*shlex.split(typed))
    assert_one_mistake(err, what, instead)
    assert found == code


def assert_one_mistake(err, what, instead):
    """One line says what happened, one what to type, in our words."""
    line, hint = err.splitlines()
    assert line.startswith("error: ")
    assert what in line
    assert hint.startswith("  → ")
    assert instead in hint
    assert not [words for words in WORDS_OF_LIBRARIES if words in err]


@pytest.mark.parametrize(
    ("line", "what", "instead"),
    [
        (
            "name: My Run",
            "name: must be lower-case letters, digits and hyphens, at most 40, not 'My Run'",
            "name: my-run",
        ),
        ("name: 3", "name: must be text, not 3", 'write name: "3"'),
        ("frameworks: numpy", "frameworks: must be a list, not 'numpy'", "write frameworks: [numpy]"),
        ("frameworks: [numpi]", "no framework is called 'numpi'; did you mean 'numpy'?", "write numpy"),
        ("device: cuda", "device: must be auto, cpu or gpu; did you mean 'gpu'?, not 'cuda'", "write device: gpu"),
        ("limits: 3", "limits: must hold keys and values, not 3", "configs/README.md"),
        ("limits: {memory: 8QB}", "limits.memory: must be a size from 64 MiB", "write memory: 8 GiB"),
        ("limits: {timeout: -1}", "limits.timeout: must be more than 0, not -1", "configs/README.md"),
        ("cnn: {accuracy: [0.5]}", "cnn.accuracy.1: is missing", "configs/README.md"),
        ("hosts: {names: x}", "hosts.names: must be a list, not 'x'", "write names: [x]"),
        ("retries: 11", "retries: must be 10 or less, not 11", "configs/README.md"),
        ("seed: yes", "YAML reads yes as true", "write true"),
    ],
)
def test_a_wrong_value_in_a_spec_names_the_line_and_what_to_write(call, tmp_path, line, what, instead):
    path = tmp_path / "x.yaml"
    path.write_text(f"{line}\n" if line.startswith("name") else f"name: x\n{line}\n")
    code, err = call("bench", path, "--dry-run")
    assert f"{path}:{1 if line.startswith('name') else 2}: " in err
    assert_one_mistake(err, what, instead)
    assert code == 3


def test_no_value_of_any_type_for_any_key_shows_the_words_of_a_library():
    keys = [".".join(path) for path in spec_file.known_keys()]
    assert len(keys) > 40
    values = ['""', "x", "-1", "1.5", "true", "[]", "[x, 3]", "{a: 1}", "null", "1e300"]
    found = [complaint_about(f"{key}={value}") for key, value in itertools.product(keys, values)]
    assert sum(map(bool, found)) > len(keys)
    for message in found:
        assert not [words for words in (*WORDS_OF_LIBRARIES, "Settings") if words in message], message


def complaint_about(setting):
    """The message about a value of --set; empty if it is a valid one."""
    try:
        spec_file.parse("name: x", name="x.yaml", overrides=[spec_file.parse_setting(setting)])
    except errors.UsageError as error:
        return error.message
    return ""


def test_python_from_path_is_found_like_a_command(call, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python-of-mine").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert call(*DRY, "--engine=process", "--python", "numpy=python-of-mine") == (0, "")
    assert options.python_option("numpy=python-of-mine") == ("numpy", tmp_path / "bin" / "python-of-mine")


def test_a_call_without_a_verb_shows_the_help(call):
    code, err = call("data")
    assert (code, err.startswith("error")) == (2, False)


def make(root, *arguments):
    """Runs make as a user does, not as part of the make that may run the tests; it starts this checkout's program."""
    here = Path(sys.executable).parent
    command = ["make", "--no-print-directory", "-o", "install", f"RUN={here}/", *arguments]
    own = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    return subprocess.run(command, cwd=root, env=own, capture_output=True, text=True, check=False)


def test_make_passes_on_the_message_and_the_exit_code(root):
    done = make(root, "bench", "DEVICE=cuda", "ARGS=--dry-run")
    assert done.returncode == 2
    *_, line, hint, last = done.stderr.splitlines()
    assert line == "error: --device cuda: must be auto, cpu or gpu; did you mean 'gpu'?"
    assert hint == "  → type --device gpu"
    assert last.startswith("make: ***")
    assert last.endswith("Error 2")


def test_make_knows_its_settings(root):
    done = make(root, "bench", "FRAMWORK=numpy")
    assert done.returncode == 2
    assert "error: make bench has no setting FRAMWORK" in done.stderr
    assert "FRAMEWORK" in done.stderr


def test_the_documented_exit_codes_are_those_of_the_errors(root):
    table = re.findall(r"^\| (\d+) \| ([^|]+) \|", (root / "docs/exit-codes.md").read_text(), re.MULTILINE)
    documented = {int(code) for code, _ in table}
    kinds = [errors.OrchestratorError.__subclasses__()]
    for kind in kinds:
        kinds += [each.__subclasses__() for each in kind if each.__subclasses__()]
    codes = {each.exit_code for kind in kinds for each in kind} | {0, errors.EXIT_JOBS_FAILED}
    assert documented == codes | {errors.EXIT_OUTPUT_LOST, errors.EXIT_INTERRUPTED}
