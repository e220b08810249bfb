"""`rosetta doctor` says what this machine can run, whatever of it is missing, broken or hostile."""

import dataclasses
import io
import json
import re
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from orchestrator.cli import app, diagnosis, diagnosis_page, listing
from orchestrator.cli.screen import Screen
from orchestrator.engines.docker import client
from orchestrator.engines.process import pythons
from orchestrator.errors import HostError
from orchestrator.host import machine as host_machine
from orchestrator.host import peak, quotas
from orchestrator.host.peak import Peak
from orchestrator.inputs import dataset_folder, datasets, download
from orchestrator.plan import catalog
from orchestrator.record.run_folder import RunFolder
from orchestrator.run import first_run
from orchestrator.run.conversation import Conversation
from orchestrator.run.crew import Crew
from tests.support import fake_docker
from tests.support.fake_docker import command
from tests.support.machines import gpu, machine
from tests.support.results import result


@pytest.fixture
def pythons_found():
    """The versions that this machine has, with their interpreters. A test may change them."""
    return {"3.11": "/usr/bin/python3.11"}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch, pythons_found):
    """No daemon, no GPU, no hook; of commands only those that a test makes, and what those need."""
    (tmp_path / "bin").mkdir()
    for name in ("sleep", "git"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    monkeypatch.setattr(diagnosis, "PCI", tmp_path / "pci")
    monkeypatch.setattr(diagnosis, "RUN", tmp_path / "run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run" / "user"))
    monkeypatch.setenv("ROSETTA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")

    def find(version, image):
        if version not in pythons_found:
            raise HostError(f"no Python {version}")
        return pythons_found[version]

    monkeypatch.setattr(pythons, "find", find)
    docker_command(tmp_path)
    on(monkeypatch, machine())


def docker_command(folder, buildx="echo buildx 0.13"):
    command(folder / "bin", "docker", f'[ "$1" = buildx ] || exit 1\n{buildx}')


@pytest.fixture
def daemon(monkeypatch):
    """A Docker daemon that answers, and is the one to use."""
    with fake_docker.serving() as made:
        monkeypatch.setenv("DOCKER_HOST", made.endpoint)
        yield made


@pytest.fixture
def silent(monkeypatch):
    """A socket that takes connections and never answers."""
    folder = tempfile.mkdtemp(prefix="silent-")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{folder}/docker.sock")
        listening.listen()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")
        yield
    shutil.rmtree(folder)


def on(monkeypatch, made):
    monkeypatch.setattr(host_machine, "inspect", lambda: made)


def examine(*arguments, code=0):
    done = CliRunner().invoke(app.app, ["doctor", "--json", *arguments])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def shown(root, tmp_path, width=100, number="0"):
    return page_of(diagnosis.examine(catalog.load(root), tmp_path, number), width)


def page_of(found, width=100):
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(diagnosis_page.page(found))
    return console.export_text()


def rows(report):
    return {row["framework"]: row for row in report["frameworks"]}


def test_without_docker_what_has_a_python_runs_all_the_same():
    report = examine()
    assert (report["schema_version"], report["usable"]) == (1, True)
    assert report["docker"]["server"] is None
    reason = "no Docker daemon answers at unix:///nonexistent/docker.sock: No such file or directory"
    assert report["problems"][0]["reason"] == reason
    assert "start the Docker daemon" in report["problems"][0]["remedy"]
    assert rows(report)["numpy"]["engines"] == ["process"]
    assert rows(report)["knet"]["engines"] == []
    assert rows(report)["knet"]["problem"] == {
        "reason": "no Docker, and it runs nowhere else",
        "remedy": "get Docker going",
    }
    assert rows(report)["cntk"]["problem"]["remedy"] == "get Docker going, or `pyenv install 3.6`"


def test_docker_that_is_not_installed_is_reported_with_the_way_to_it(tmp_path):
    (tmp_path / "bin" / "docker").unlink()
    problem = examine()["problems"][0]
    assert problem["reason"].endswith("and there is no docker command on PATH")
    assert "https://docs.docker.com/engine/install/" in problem["remedy"]


def test_a_daemon_without_a_docker_command_runs_jobs_but_builds_no_image(tmp_path, daemon):
    (tmp_path / "bin" / "docker").unlink()
    docker = examine()["docker"]
    assert (docker["engine_problem"], docker["builder"]) == (None, None)
    assert "no docker command on PATH" in docker["build_problem"]["reason"]


def test_with_neither_docker_nor_a_python_nothing_can_run(root, tmp_path, pythons_found):
    pythons_found.clear()
    assert examine(code=4)["usable"] is False
    page = shown(root, tmp_path)
    assert "No engine can run any framework here." in page
    assert "`pyenv install 3.6 3.9 3.11`" in page


def test_a_daemon_that_answers(daemon):
    report = examine()
    docker = report["docker"]
    assert docker["server"] == {
        "product": "Docker",
        "version": "28.3.0",
        "api": "1.51",
        "endpoint": daemon.endpoint,
        "root": "/",
        "runtimes": ["runc"],
        "cdi_folders": [],
        "cdi_devices": None,
    }
    assert docker["engine_problem"] is None
    assert "buildx" in docker["builder"]
    assert docker["free"] > 0
    assert rows(report)["knet"]["engines"] == ["docker"]
    assert rows(report)["numpy"]["gpu"]["kind"] == "cpu_only"


def test_podman_is_recognised(daemon):
    daemon.version = {"Version": "5.2", "ApiVersion": "1.41", "Components": [{"Name": "Podman Engine"}]}
    assert examine()["docker"]["server"]["product"] == "Podman"


@pytest.mark.parametrize("place_of_socket", ["run/user", "run"])
@pytest.mark.parametrize("client", [True, False])
def test_podman_that_only_has_a_socket_is_reported_with_the_way_to_it(tmp_path, monkeypatch, place_of_socket, client):
    socket = tmp_path / place_of_socket / "podman" / "podman.sock"
    socket.parent.mkdir(parents=True)
    socket.touch()
    if not client:
        (tmp_path / "bin" / "docker").unlink()
    problem = examine()["docker"]["engine_problem"]
    assert problem["reason"].endswith(f"; Podman listens at {socket}")
    assert problem["remedy"].startswith(f"export DOCKER_HOST=unix://{socket}")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
    assert "Podman" not in examine()["docker"]["engine_problem"]["reason"]


def test_podman_without_a_socket_is_reported_how_to_start_one(tmp_path):
    command(tmp_path / "bin", "podman", "exit 0")
    assert "systemctl --user start podman.socket" in examine()["problems"][0]["remedy"]


@pytest.mark.parametrize(
    ("version", "info"),
    [
        ({}, fake_docker.INFO),
        ("28", fake_docker.INFO),
        ([1], fake_docker.INFO),
        (fake_docker.VERSION, {**fake_docker.INFO, "Runtimes": 3}),
        (fake_docker.VERSION, {**fake_docker.INFO, "DiscoveredDevices": ["gpu"]}),
    ],
)
def test_a_server_of_another_kind_is_reported(daemon, version, info):
    daemon.version, daemon.info = version, info
    report = examine()
    assert report["docker"]["server"] is None
    assert "does not answer as Docker does" in report["docker"]["engine_problem"]["reason"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ((200, "{"), "does not answer as Docker does"),
        ((500, {"message": "the disk is broken"}), "answers with an error: the disk is broken"),
    ],
)
def test_a_daemon_that_answers_with_an_error_is_reported(daemon, error, reason):
    daemon.error = error
    problem = examine()["docker"]["engine_problem"]
    assert reason in problem["reason"]
    assert problem["remedy"]


@pytest.mark.slow
def test_a_daemon_that_hangs_does_not_hang_the_doctor(silent):
    problem = examine()["problems"][0]
    assert problem["reason"].endswith("does not answer within 5 s")
    assert "restart" in problem["remedy"]


@pytest.mark.slow
def test_a_client_that_hangs_in_its_plugin_cannot_build(tmp_path, daemon):
    docker_command(tmp_path, buildx="exec sleep 600")
    report = examine()
    assert "buildx plugin is missing" in report["docker"]["build_problem"]["reason"]


@pytest.mark.parametrize("endpoint", ["tcp://far.invalid:9", "ssh://far"])
def test_a_daemon_of_another_machine_is_no_help(monkeypatch, endpoint):
    monkeypatch.setenv("DOCKER_HOST", endpoint)
    report = examine()
    problem = report["docker"]["engine_problem"]
    assert "on another machine, where this machine's files cannot be mounted" in problem["reason"]
    assert "unset DOCKER_HOST" in problem["remedy"]
    assert rows(report)["knet"]["engines"] == []


@pytest.fixture
def relayed(monkeypatch, daemon):
    """The daemon behind a tcp:// address of this machine."""
    with fake_docker.relayed(daemon.endpoint.removeprefix("unix://")) as endpoint:
        monkeypatch.setenv("DOCKER_HOST", endpoint)
        yield endpoint


def test_a_daemon_of_another_machine_that_answers_is_no_help_either(daemon, relayed):
    daemon.refusal = (400, {"message": 'invalid mount config for type "bind": bind source path does not exist: /x'})
    docker = examine()["docker"]
    assert docker["server"]["endpoint"] == relayed
    assert docker["free"] is None
    assert docker["engine_problem"]["reason"].startswith(f"the Docker daemon at {relayed} does not see the files in ")
    assert "--engine process" in docker["engine_problem"]["remedy"]


def test_a_daemon_behind_a_network_address_may_be_this_machines(relayed):
    docker = examine()["docker"]
    assert docker["server"]["endpoint"] == relayed
    assert docker["engine_problem"] is None


def test_no_daemon_at_a_network_address_of_this_machine(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    problem = examine()["docker"]["engine_problem"]
    assert problem["reason"] == "no Docker daemon answers at tcp://127.0.0.1:9: Connection refused"
    assert problem["remedy"].startswith("check DOCKER_HOST; or use a daemon of this machine")


WITH_NVIDIA = {**fake_docker.INFO, "Runtimes": {"runc": {}, "nvidia": {}}}
NATIVE, JIT, CPU, NO = "native", "jit", "cpu_only", "impossible"
FRAMEWORKS = [
    "caffe2",
    "cntk",
    "keras-cntk",
    "chainer",
    "mxnet",
    "gluon",
    "knet",
    "tensorflow",
    "keras-tf",
    "pytorch",
    "jax",
    "lasagne",
    "numpy",
]
PROFILES = {  # machine: its cards, their driver; the verdict on each of FRAMEWORKS
    "K80": (["K80"], "470.256.02", [NATIVE, NATIVE, NATIVE, NO, NO, NO, NATIVE, NO, NO, NO, NO, CPU, CPU]),
    "P100": (["P100"], "535.104.05", [NATIVE, NATIVE, NATIVE, *[NATIVE] * 4, NATIVE, NATIVE, NO, NO, CPU, CPU]),
    "V100": (["V100"], "580.95.05", [NATIVE, NATIVE, NATIVE, *[NATIVE] * 4, NATIVE, NATIVE, NO, NO, CPU, CPU]),
    "T4": (["T4"], "580.95.05", [NATIVE, NATIVE, NATIVE, *[NATIVE] * 4, NATIVE, NATIVE, NATIVE, NATIVE, CPU, CPU]),
    "A100": (["A100"], "580.95.05", [NO, NO, NO, *[NATIVE] * 4, NATIVE, NATIVE, NATIVE, NATIVE, CPU, CPU]),
    "H100": (["H100"], "580.95.05", [NO, NO, NO, JIT, NO, NO, NO, NATIVE, NATIVE, NATIVE, NATIVE, CPU, CPU]),
    "H100, old driver": (["H100"], "550.54.15", [NO, NO, NO, JIT, NO, NO, NO, NATIVE, NATIVE, NO, NO, CPU, CPU]),
    "B200": (["B200"], "580.95.05", [NO, NO, NO, JIT, NO, NO, NO, JIT, JIT, NATIVE, NATIVE, CPU, CPU]),
    "no GPU": ([], None, [CPU] * len(FRAMEWORKS)),
}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_verdict_on_every_framework(daemon, tmp_path, monkeypatch, root, profile):
    """Of the real catalog, with all that an engine needs."""
    cards, driver, kinds = PROFILES[profile]
    daemon.info = WITH_NVIDIA
    on(monkeypatch, machine(*cards, driver=driver))
    found = {row.framework: row for row in diagnosis.examine(catalog.load(root), tmp_path).frameworks}
    assert {name: found[name].gpu.kind for name in FRAMEWORKS} == dict(zip(FRAMEWORKS, kinds, strict=True))
    for row in found.values():
        assert row.gpu.reason
        assert bool(row.gpu.remedy) == (row.gpu.kind != NATIVE)
        assert row.gpu_engines == (row.engines if row.gpu.runs else ())


@pytest.mark.parametrize(
    ("limited", "limits", "problem"),
    [
        ((0.5, 1 << 30), "quota of 0.5 CPUs, memory limit of 1 GiB; a job gets 1", "jobs are stopped in every period"),
        ((1.5, None), "quota of 1.5 CPUs; a job gets 1 of the CPUs", "allows 1.5 of the 2 CPUs: jobs use 1 of them"),
        ((None, 1 << 30), "memory limit of 1 GiB; a job gets 2 of the CPUs", None),
    ],
)
def test_a_quota_is_shown_with_what_it_costs(root, tmp_path, monkeypatch, limited, limits, problem):
    quota, memory = limited
    on(monkeypatch, dataclasses.replace(machine(), cpu_quota=quota, memory_limit=memory))
    page = re.sub(r"\s+", " ", shown(root, tmp_path, width=200))
    assert f"limits {limits}" in page
    assert ("✗ a control group allows" in page) == (problem is not None)
    assert (problem or "") in page
    found = diagnosis.examine(catalog.load(root), tmp_path).as_json()
    assert (found["host"]["cpu_quota"], found["host"]["memory_limit"]) == (quota, memory)


def test_without_docker_a_gpu_is_of_use_only_where_there_is_a_python(monkeypatch, root, tmp_path):
    on(monkeypatch, machine("A100"))
    found = {row.framework: row for row in diagnosis.examine(catalog.load(root), tmp_path).frameworks}
    for name, kind, engines in (("pytorch", NATIVE, ("process",)), ("mxnet", NO, ()), ("knet", NO, ())):
        assert (found[name].gpu.kind, found[name].gpu_engines) == (kind, engines)
    assert found["mxnet"].gpu.remedy == "get Docker going, or `pyenv install 3.9`"
    assert found["knet"].gpu.remedy == "get Docker going"


def test_the_screen_tells_all_of_a_gpu_and_what_must_be_compiled_for_it(daemon, root, tmp_path, monkeypatch):
    whole = dataclasses.replace(
        gpu("NVIDIA H100 80GB HBM3", "9.0"), memory=80 << 30, power_limit=700.0, ecc=True, persistence=False, mig=False
    )
    on(monkeypatch, dataclasses.replace(machine("H100"), gpus=(whole,), cuda="13.0"))
    daemon.info = WITH_NVIDIA
    page = re.sub(r"\s+", " ", shown(root, tmp_path, width=200))
    for fact in (
        "driver 580.95.05, up to CUDA 13.0",
        "GPU 0 NVIDIA H100 80GB HBM3, 80 GiB, compute capability 9.0, 700 W, ECC on, persistence off, MIG off",
        "GPUs through nvidia runtime",
        "Chainer docker JIT CUDA 11.8 build: only PTX for 9.0 GPUs → be patient: the driver compiles it for minutes",
        "Caffe2 docker no CUDA 10.2 build: no code for 9.0 GPUs → use --device cpu",
    ):
        assert fact in page


CDI = {**fake_docker.INFO, "CDISpecDirs": ["/etc/cdi"]}


@pytest.mark.parametrize(
    ("info", "way"),
    [
        (WITH_NVIDIA, "runtime"),
        ({**CDI, "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}, "cdi"),
        ({**CDI, "DiscoveredDevices": [{"Source": "cdi", "ID": "vendor.com/net=0"}]}, None),
        (CDI, None),
        (fake_docker.INFO, None),
    ],
)  # fmt: skip
def test_how_containers_get_the_gpu(daemon, tmp_path, monkeypatch, info, way):
    on(monkeypatch, machine("A100"))
    daemon.info = info
    report = examine()
    assert [name for name, known in report["docker"]["gpu_access"].items() if known] == ([way] if way else [])
    problem = report["docker"]["gpu_problem"]
    assert (problem is None) == (way is not None)
    row = rows(report)["mxnet"]
    assert row["gpu"]["kind"] == ("native" if way else "impossible")  # no Python 3.9 here
    if not way:
        assert "NVIDIA Container Toolkit" in row["gpu"]["remedy"]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("nvidia.yaml", "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\n", True),
        ("nvidia.json", '{"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu"}', True),
        ("nic.yaml", "kind: vendor.com/nic\n", False),
        ("nvidia.txt", "kind: nvidia.com/gpu\n", False),
        ("broken.yaml", "\x00\xff", False),
    ],
)
def test_an_older_daemon_has_the_cdi_devices_of_its_folders(daemon, tmp_path, monkeypatch, name, text, found):
    (tmp_path / "cdi").mkdir()
    (tmp_path / "cdi" / name).write_text(text)
    daemon.info = {**fake_docker.INFO, "CDISpecDirs": [str(tmp_path / "cdi"), "/nonexistent"]}
    assert examine()["docker"]["gpu_access"]["cdi"] is found


def test_the_legacy_hook_is_seen(daemon, tmp_path, monkeypatch):
    on(monkeypatch, machine("A100"))
    command(tmp_path / "bin", "nvidia-container-runtime-hook", "exit 0")
    report = examine()
    assert (report["docker"]["gpu_access"]["hook"], report["docker"]["gpu_problem"]) == (True, None)


def test_an_engine_that_alone_gets_the_gpu_is_named(daemon, root, tmp_path, monkeypatch):
    on(monkeypatch, machine("H100"))
    row = rows(examine())["pytorch"]
    assert (row["gpu"]["kind"], row["engines"], row["gpu_engines"]) == ("native", ["docker", "process"], ["process"])
    assert "with --engine process only" in re.sub(r"\s+", " ", shown(root, tmp_path))


def test_the_chosen_gpu_decides(monkeypatch):
    on(monkeypatch, machine("K80", "A100", driver="470.256.02"))
    assert rows(examine())["pytorch"]["gpu"]["kind"] == "impossible"
    assert examine("--gpu", "1")["gpu"]["name"] == "NVIDIA A100-SXM4-80GB"
    done = CliRunner().invoke(app.app, ["doctor", "--gpu", "2"])
    assert "this machine has 2" in str(done.exception)


def test_a_gpu_without_a_driver_is_distinguished_from_no_gpu(tmp_path, root):
    assert examine()["gpu_problem"] is None
    device = tmp_path / "pci" / "0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030200\n")
    assert "but no driver" in examine()["gpu_problem"]["reason"]
    (device / "class").write_text("0x040300\n")  # the sound of a graphics card
    assert examine()["gpu_problem"] is None


def test_a_broken_driver_is_reported_in_its_own_words(root, tmp_path, monkeypatch):
    on(monkeypatch, dataclasses.replace(machine(), driver_problem="Driver/library version mismatch"))
    page = re.sub(r"\s+", " ", shown(root, tmp_path))
    assert "does not work: Driver/library version mismatch → restart this machine" in page


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("cards", [(), ("K80",), ("H100", "A100")])
def test_the_screen_fits(daemon, root, tmp_path, monkeypatch, width, cards):
    on(monkeypatch, machine(*cards))
    lines = shown(root, tmp_path, width).splitlines()
    assert max(map(len, lines)) <= width
    page = "\n".join(lines)
    for word in ("Machine", "Docker", "GPUs", "Frameworks", "why / what to do", *(row for row in cards)):
        assert word in page
    for framework, _ in catalog.load(root).frameworks.values():
        assert framework.title in page


def test_a_hostile_name_is_only_text(root, tmp_path, monkeypatch):
    hostile = gpu("[red]evil[/red]\x1b[2J\x07\n" + "x" * 5000, "8.0")
    on(monkeypatch, dataclasses.replace(machine("A100"), gpus=(hostile,)))
    page = shown(root, tmp_path)
    assert "[red]evil[/red]�[2J��" in page
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", page)
    assert page.count("x") < 1000


def test_pythons_are_looked_for_once_a_version(monkeypatch):
    asked = []

    def find(version, image):
        asked.append(version)
        if version == "3.6":
            raise HostError("none")
        return f"/opt/{version}"

    monkeypatch.setattr(pythons, "find", find)
    assert examine()["pythons"] == {"3.6": None, "3.9": "/opt/3.9", "3.11": "/opt/3.11"}
    assert asked == ["3.6", "3.9", "3.11"]


def test_bench_skips_what_the_gpu_cannot_run_and_says_so(tmp_path, monkeypatch):
    """Nothing is built, and a run that is resumed finds nothing missing."""
    monkeypatch.setenv("COLUMNS", "200")
    on(monkeypatch, machine("H100"))
    common = ["--results", str(tmp_path / "results")]
    asked = ["bench", "--framework", "numpy", "--workload", "rnn", "--device", "gpu", "--engine", "process"]
    done = CliRunner().invoke(app.app, [*asked, "--dry-run"])
    assert "skipped: numpy-rnn-gpu-1: no build for GPUs" in done.stdout
    done = CliRunner().invoke(app.app, [*asked, *common])
    assert done.exit_code == 0, done.output
    assert "numpy-rnn-gpu-1 skipped: no build for GPUs" in re.sub(r"\s+", " ", done.stdout)
    assert "/; 1 skipped" in done.stdout.replace("\n", "")
    assert not (tmp_path / "cache" / "venvs").exists()
    (folder,) = (tmp_path / "results").iterdir()
    assert json.loads((folder / "numpy-rnn-gpu-1.json").read_text())["status"] == "skipped"
    again = CliRunner().invoke(app.app, ["bench", "--resume", folder.name, *common])
    assert again.exit_code == 0, again.output
    assert "0 jobs" in again.output


def test_bench_skips_an_impossible_cell_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    on(monkeypatch, machine("H100"))
    asked = ["bench", "--framework", "caffe2", "--workload", "cnn", "--device", "gpu", "--engine", "process"]
    done = CliRunner().invoke(app.app, [*asked, "--results", str(tmp_path / "results")])
    assert done.exit_code == 0, done.output
    (folder,) = (tmp_path / "results").iterdir()
    record = json.loads((folder / "caffe2-cnn-gpu-1.json").read_text())
    assert (record["status"], record["failure"]["kind"]) == ("skipped", "incompatible")
    assert record["failure"]["message"] == "CUDA 10.2 build: no code for 9.0 GPUs"


def test_bench_on_a_gpu_that_is_not_there_ends_with_exit_code_4(tmp_path):
    """As the command line ends it: main() turns errors into exit codes."""
    asked = ["bench", "--framework", "numpy", "--device", "gpu", "--engine", "process"]
    error = CliRunner().invoke(app.app, [*asked, "--results", str(tmp_path / "results")]).exception
    assert (type(error), error.exit_code) == (HostError, 4)
    assert "this machine has no NVIDIA GPU" in error.message
    assert not (tmp_path / "results").exists()


def facts(report):
    """The data sets of a report by name."""
    return {each["dataset"]: each for each in report["first_run"]["datasets"]}


def imported(cache, name="imdb"):
    known = datasets.labelled(name)
    folder = dataset_folder.folder_of(cache, name, "imported")
    arrays = known.synthesise(0, 8, 8)
    return dataset_folder.publish_labelled(folder, name=name, source="imported", origin="/home/me/x", arrays=arrays)


def test_what_a_first_run_downloads_is_the_size_of_the_official_archives(root, tmp_path):
    report = examine()
    assert {name: each["download"] for name, each in facts(report).items()} == {
        name: datasets.labelled(name).archive.size for name in ("cifar10", "imdb", "tinyshakespeare")
    }
    assert report["first_run"]["download"] == 187_516_960 + 1_115_394
    page = " ".join(shown(root, tmp_path / "cache").split())
    assert "cifar10 will be downloaded: 170 MB" in page
    assert "imdb will be downloaded: 17 MB" in page
    assert "download 189 MB of data" in page


def test_data_that_are_here_are_named_by_their_source(root, tmp_path):
    cache = tmp_path / "cache"
    made = imported(cache)
    known = facts(examine())["imdb"]
    assert (known["source"], known["label"], known["place"]) == ("imported", "imdb (imported)", str(made.folder))
    assert known["download"] == 0
    assert "imported from /home/me/x; tables name it “imdb (imported)”" in " ".join(shown(root, cache).split())
    next(iter(made.files.values())).unlink()
    assert "damaged: " in " ".join(shown(root, cache).split())


def test_an_archive_that_was_downloaded_is_not_downloaded_again(root, tmp_path):
    archive = datasets.labelled("imdb").archive
    (tmp_path / "cache" / "downloads").mkdir(parents=True)
    with (tmp_path / "cache" / "downloads" / archive.file).open("wb") as file:
        file.truncate(archive.size)
    assert facts(examine())["imdb"]["download"] == 0


def test_a_first_run_builds_the_images_that_are_missing(daemon, root, tmp_path):
    images = examine()["first_run"]["images"]
    assert {each["image"] for each in images} == {image.name for image in catalog.load(root).images}
    assert not any(each["built"] for each in images)
    numpy = next(each for each in images if each["image"] == "numpy")
    assert (numpy["disk"], numpy["download"]) == (250_000_000, 17_000_000)
    page = " ".join(shown(root, tmp_path).split())
    assert f"images 0 of {len(images)} are built; the others: " in page
    assert re.search(r"\d+\.\d GB to download besides base images, \d+\.\d GB of disk; downloads: ", page)
    assert "numpy 17 MB" in page


def test_what_the_machine_can_do_at_most_is_measured_kept_and_shown(root, tmp_path, monkeypatch):
    found = Peak(host="x", cpu="Xeon", cpus=2, flops=3.7e11, bandwidth=1.2e10, measured="2026-11-30", numpy="2.4.6")
    monkeypatch.setattr(peak, "measure", lambda host: found)
    assert examine()["peak"] is None
    assert examine("--bench")["peak"] == found.model_dump()
    assert examine()["peak"] == found.model_dump()
    page = " ".join(shown(root, tmp_path / "cache", width=120).split())
    assert "at most 370 GFLOP/s, 12.0 GB/s of memory, on 2 CPUs, measured 2026-11-30" in page


def test_minutes_are_those_of_a_published_file(root, tmp_path):
    measured = examine()["first_run"]["measured"]
    assert measured["file"] == "results/published/intel-xeon-2-cpus-quick.json"
    assert 0 < measured["jobs"] <= examine()["first_run"]["jobs"]
    assert f"{measured['jobs']} of its " in shown(root, tmp_path)


def test_python_counts_as_in_bench(root, tmp_path, pythons_found):
    pythons_found.clear()
    assert rows(examine(code=4))["numpy"]["engines"] == []
    report = examine("--python", f"numpy={sys.executable}")
    assert rows(report)["numpy"]["engines"] == ["process"]
    assert rows(report)["jax"]["engines"] == []
    assert report["given"] == {"numpy": sys.executable}
    found = diagnosis.examine(catalog.load(root), tmp_path, given={"numpy": Path(sys.executable)})
    assert "for image numpy" in page_of(found)


def test_each_way_out_of_missing_rights_is_a_line_of_its_own(root, tmp_path, monkeypatch):
    def refused(*, seconds):
        raise client._failure("unix:///run/docker.sock", PermissionError(13, "Permission denied"), seconds)  # noqa: SLF001

    monkeypatch.setattr(client, "server", refused)
    lines = [line.strip() for line in shown(root, tmp_path).splitlines()]
    assert "✗ no Docker daemon answers at unix:///run/docker.sock: permission denied" in lines
    assert "→ sudo usermod -aG docker $USER, then log in again, or type newgrp docker" in lines
    assert "→ or run it as root: sudo -E before the command" in lines
    assert "→ or without Docker: --engine process" in lines


def test_bench_says_what_it_downloads_before_it_starts(tmp_path):
    done = CliRunner().invoke(app.app, ["bench", "--framework", "numpy", "--engine", "process", "--dry-run"])
    said = " ".join(done.stderr.split())
    assert "this run downloads 189 MB of data (cifar10, imdb, tinyshakespeare)" in said
    assert "jobs took 7 min on Intel(R) Xeon(R) Processor, 2 CPUs" in said
    done = CliRunner().invoke(
        app.app, ["bench", "--framework", "numpy", "--engine", "process", "--dry-run", "--dataset", "synthetic"]
    )
    assert "downloads" not in done.stderr


def test_bench_says_what_the_images_that_it_builds_download_and_take():
    images = [
        first_run.ImageState(image=name, variant="cpu", built=built, disk=disk, download=download)
        for name, built, disk, download in [("jax", False, 800_000_000, 142_000_000), ("numpy", True, 1, 1)]
    ]
    images.append(dataclasses.replace(images[0], image="mine", disk=None, download=None))
    found = first_run.FirstRun(datasets=(), cache_disk=0, images=tuple(images), jobs=1, measured=None)
    assert found.sentences() == ["builds 2 images (jax, mine): 142 MB to download besides base images, 800 MB of disk"]
    assert dataclasses.replace(found, images=tuple(images[2:])).sentences() == ["builds 1 image (mine)"]


def test_synthetic_data_in_place_of_real_ones_are_a_warning_before_the_first_job(tmp_path, monkeypatch):
    said = []

    def unreachable(url, path, *, sha256):
        raise download.DownloadError("the server cannot be reached")

    def first_jobs(crew, jobs, skips=()):
        said.append("jobs")
        return []

    monkeypatch.setattr(download, "fetch", unreachable)
    monkeypatch.setattr(Crew, "run", first_jobs)
    monkeypatch.setattr(Screen, "alarm", lambda screen, text: said.append(text))
    asked = ["bench", "smoke", "--framework", "numpy", "--workload", "rnn", "--engine", "process", "--dataset", "auto"]
    CliRunner().invoke(app.app, [*asked, "--results", str(tmp_path / "results")])
    assert [text.partition(" in this run")[0] for text in said] == ["WARNING: imdb is SYNTHETIC", "jobs"]


def test_a_warning_that_nobody_may_overlook_is_red(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    Screen().alarm("imdb is SYNTHETIC")
    said = capsys.readouterr().err
    assert "WARNING" in said
    assert "\x1b[1;31m" in said


def test_data_ls_shows_the_start_of_a_fingerprint_and_json_all_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    made = imported(tmp_path / "cache")
    page = CliRunner().invoke(app.app, ["data", "ls"]).stdout
    assert made.fingerprint[:12] in page
    assert made.fingerprint not in page
    (row,) = json.loads(CliRunner().invoke(app.app, ["data", "ls", "--json"]).stdout)
    assert row["fingerprint"] == made.fingerprint


def test_images_ls_shows_sizes_in_units_and_json_bytes(daemon, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    row = {
        "image": "numpy",
        "variant": "cpu",
        "frameworks": ["numpy"],
        "tag": "t",
        "size": 2_139_367_566,
        "built": True,
    }
    monkeypatch.setattr(listing, "image_rows", lambda chosen: [row, {**row, "size": None, "built": False}])
    page = CliRunner().invoke(app.app, ["images", "ls"]).stdout
    assert "2.1 GB" in page
    assert "2139367566" not in page
    assert "not built" in page
    assert json.loads(CliRunner().invoke(app.app, ["images", "ls", "--json"]).stdout)[0]["size"] == 2_139_367_566


@pytest.mark.parametrize("width", [50, 60, 80, 200])  # the longest name of an image has 41 characters
@pytest.mark.parametrize("verb", ["images ls", "list", "bench smoke --framework numpy --dry-run --engine process"])
def test_no_width_breaks_a_name_that_a_listing_shows(monkeypatch, verb, width):
    shown = {}
    for columns in (300, width):
        monkeypatch.setenv("COLUMNS", str(columns))
        page = CliRunner().invoke(app.app, verb.split()).stdout
        shown[columns] = set(
            re.findall(r"\brosetta/[\w:-]+|\b[a-z]+-[a-z0-9]+-cpu-1|\bkeras-[a-z]+|[a-z0-9_]+=\S+", page)
        )
    assert shown[300]
    assert shown[width] == shown[300]


@pytest.mark.parametrize(("size", "words"), [(94_371_840, "90 MiB"), (8 << 30, "8 GiB"), (3 << 29, "1.5 GiB")])
def test_a_memory_limit_is_given_in_a_unit_that_people_read(size, words):
    assert quotas.in_words(None, size) == f", memory limit of {words}"


def test_a_python_without_the_framework_is_named_as_the_cause(tmp_path):
    job = result("numpy", "cnn").job
    with RunFolder.create(tmp_path / "results", "x").record(job.id) as recorder:
        talk = Conversation(job, recorder, lambda event: None)
        failure = talk.failure_of("exception", "exit code 1: ModuleNotFoundError: No module named 'numpy'")
    assert failure.hint.startswith("its Python lacks numpy: with --python, install it there, ")
    assert f"{job.id}.log" in failure.hint


def test_the_hint_of_a_job_that_ran_too_long_names_its_log(tmp_path):
    folder = RunFolder(tmp_path / "results" / "RUN")
    folder.path.mkdir(parents=True)
    job = result("numpy", "cnn").job
    with folder.record(job.id) as recorder:
        failure = Conversation(job, recorder, lambda event: None).failure_of("timeout", "stopped")
    assert f"see in results/RUN/{job.id}.log what it waited for" in failure.hint
