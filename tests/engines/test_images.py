"""What an image is called, what its build sees, which client builds it, and what is said when that fails."""

import dataclasses
import hashlib
import json
import logging
import os
import stat
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import pytest
from typer.testing import CliRunner

from orchestrator import activity
from orchestrator.cli import app
from orchestrator.engines.build_failure import explain
from orchestrator.engines.docker import client, images
from orchestrator.engines.docker.build_inputs import stage_context
from orchestrator.engines.docker.builder import Builder, find_builder, step_of
from orchestrator.errors import BuildError, DiskError, HostError
from orchestrator.plan.catalog import COMMAND, Image
from tests.support import fake_docker
from tests.support.borrowed import is_built

BASE = "python:3.11-slim-bookworm@sha256:" + "0" * 64
OUTPUTS = Path(__file__).parent / "build_outputs"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def image(tmp_path):
    folder = tmp_path / "images" / "demo"
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n")
    (folder / "requirements-cpu.in").write_text("alpha==1.0+cpu\n")
    (folder / "requirements-cpu.txt").write_text(f"alpha==1.0+cpu \\\n    --hash=sha256:{sha256(b'right')}\n")
    (folder / "requirements-cuda.txt").write_text(f"alpha==1.0 \\\n    --hash=sha256:{sha256(b'cuda')}\n")
    return Image(
        name="demo",
        folder=folder,
        base=BASE,
        python="3.11",
        command=COMMAND,
        labels={"rosetta.disk.cpu": "1.5 GB", "rosetta.disk.cuda": "7 GB"},
        locks={variant: folder / f"requirements-{variant}.txt" for variant in ("cpu", "cuda")},
        frameworks=(),
    )


def test_an_image_that_cannot_be_built_does_not_keep_others_from_it(monkeypatch, tmp_path):
    monkeypatch.setenv("ROSETTA_CACHE", str(tmp_path))

    def build(image, variant):
        logging.getLogger("orchestrator.engines").info("#1 [internal] load build definition")
        if image.name == "knet":
            raise BuildError("image knet (cpu) could not be built", hint="check the network")
        return f"rosetta/{image.name}"

    monkeypatch.setattr(images, "build", build)
    done = CliRunner().invoke(app.app, ["images", "build", "caffe2", "knet", "numpy"])
    assert "rosetta/caffe2 is built" in done.output
    assert "rosetta/numpy is built" in done.output
    assert done.exception.message == "1 of 3 images could not be built: knet"
    log = tmp_path / "builds" / "knet-cpu" / "orchestrator.log"
    assert done.exception.hint == f"check the network. All output is in {log}"
    assert "#1 [internal] load build definition" in log.read_text()
    assert "#1 [internal]" not in done.output
    alone = CliRunner().invoke(app.app, ["images", "build", "knet"])
    assert alone.exception.message == "image knet (cpu) could not be built"


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("#5 [1/7] FROM docker.io/library/python", (1, 7)),
        ("#6 [stage-1 3/12] RUN --mount=type=bind pip install", (3, 12)),
        ("#6 [stage-1  3/12] RUN pip install", (3, 12)),
        ("#7 [ 2/12] WORKDIR /bench", (2, 12)),
        ("#1 [internal] load build definition from Dockerfile", None),
        ("#6 0.566 [2/3] what a step prints", None),
        ("#8 exporting to image", None),
        ("[2/3] of nothing", None),
        ("#6 [2/" + "9" * 5000 + "] RUN", None),
        ("\N{REPLACEMENT CHARACTER}\x1b[2J", None),
        ("", None),
    ],
)
def test_the_steps_of_a_build_are_recognised_and_other_output_is_ignored(line, step):
    assert step_of(line) == step


class TestTag:
    def test_has_the_form_repository_variant_hash(self, image):
        name, _, rest = images.tag(image, "cpu", environ={}).partition(":")
        variant, _, digits = rest.partition("-")
        assert (name, variant) == ("rosetta/demo", "cpu")
        assert len(digits) == 12
        assert set(digits) <= set("0123456789abcdef")

    @pytest.mark.parametrize("name", ["Dockerfile", "requirements-cpu.txt", "Project.toml"])
    def test_changes_with_every_file_of_the_build(self, image, name):
        (image.folder / "Project.toml").write_text("one\n")
        before = images.tag(image, "cpu", environ={})
        with (image.folder / name).open("a") as file:
            file.write("# changed\n")
        assert images.tag(image, "cpu", environ={}) != before

    @pytest.mark.parametrize("name", ["requirements-cpu.in", "requirements-cuda.txt", ".Dockerfile.swp"])
    def test_ignores_files_the_build_does_not_see(self, image, name):
        (image.folder / ".Dockerfile.swp").write_text("one\n")
        before = images.tag(image, "cpu", environ={})
        (image.folder / name).write_text("changed\n")
        assert images.tag(image, "cpu", environ={}) == before

    def test_differs_between_variants_with_the_same_lock(self, image):
        image.locks["cuda"].write_bytes(image.locks["cpu"].read_bytes())
        cpu, cuda = (images.tag(image, variant, environ={}).rpartition("-")[2] for variant in ("cpu", "cuda"))
        assert cpu != cuda

    def test_differs_between_bases(self, image):
        local = images.tag(image, "cpu", environ={"ROSETTA_BASE_PREFIX": "local"})
        assert local != images.tag(image, "cpu", environ={})

    def test_of_an_unknown_variant_names_the_known_ones(self, image):
        with pytest.raises(BuildError, match="has no tpu variant") as caught:
            images.tag(image, "tpu", environ={})
        assert "cpu, cuda" in caught.value.hint


def test_the_base_is_the_pinned_reference_or_its_local_stand_in(image):
    assert images.base_reference(image, environ={}) == BASE
    local = images.base_reference(image, environ={"ROSETTA_BASE_PREFIX": "local/bases/"})
    assert local == "local/bases/python:3.11-slim-bookworm"


def test_recipe_sha256_is_that_of_all_files_but_the_base(image, monkeypatch):
    before = images.recipe_sha256(image, "cpu")
    monkeypatch.setenv("ROSETTA_BASE_PREFIX", "mirror.example")
    assert images.recipe_sha256(image, "cpu") == before
    assert images.recipe_sha256(image, "cuda") != before
    image.locks["cuda"].write_text("another\n")
    assert images.recipe_sha256(image, "cpu") == before
    (image.folder / "Dockerfile").write_text("FROM scratch\n")
    assert images.recipe_sha256(image, "cpu") != before


def test_lock_sha256_is_that_of_the_lock_file(image):
    assert images.lock_sha256(image, "cuda") == sha256(image.locks["cuda"].read_bytes())


class TestContext:
    def stage(self, image, tmp_path, *links, variant="cpu"):
        into = tmp_path / "context"
        into.mkdir()
        stage_context(image, variant, into, environ={"PIP_FIND_LINKS": " ".join(map(str, links))})
        return {path.relative_to(into).as_posix(): path for path in into.rglob("*") if path.is_file()}

    def wheel(self, folder, name="alpha-1.0+cpu-cp311-cp311-linux_x86_64.whl", content=b"right"):
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        return folder

    def test_holds_the_images_own_files_and_one_lock(self, image, tmp_path):
        (image.folder / "Project.toml").touch()
        assert set(self.stage(image, tmp_path)) == {"Project.toml", "requirements-cpu.txt"}
        assert (tmp_path / "context" / "wheels").is_dir()

    def test_holds_a_wheel_whose_content_is_locked(self, image, tmp_path):
        files = self.stage(image, tmp_path, self.wheel(tmp_path / "links"))
        assert files["wheels/alpha-1.0+cpu-cp311-cp311-linux_x86_64.whl"].read_bytes() == b"right"

    def test_leaves_out_a_wheel_with_the_right_name_and_other_content(self, image, tmp_path):
        files = self.stage(image, tmp_path, self.wheel(tmp_path / "links", content=b"wrong"))
        assert not [name for name in files if name.startswith("wheels/")]

    def test_leaves_out_a_wheel_of_another_variant(self, image, tmp_path):
        files = self.stage(image, tmp_path, self.wheel(tmp_path / "links"), variant="cuda")
        assert not [name for name in files if name.startswith("wheels/")]

    def test_reads_file_urls_and_passes_over_what_is_no_folder(self, image, tmp_path):
        url = self.wheel(tmp_path / "a folder").as_uri()
        assert "a%20folder" in url
        files = self.stage(image, tmp_path, "https://wheels.example/", tmp_path / "missing", url)
        assert [name for name in files if name.startswith("wheels/")]

    def test_takes_the_content_of_a_symbolic_link(self, image, tmp_path):
        links = self.wheel(tmp_path / "links", name="elsewhere")
        (links / "alpha-1.0+cpu-py3-none-any.whl").symlink_to(links / "elsewhere")
        staged = self.stage(image, tmp_path, links)["wheels/alpha-1.0+cpu-py3-none-any.whl"]
        assert not staged.is_symlink()
        assert staged.read_bytes() == b"right"

    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077])
    def test_has_the_same_modes_whatever_the_umask(self, image, tmp_path, umask):
        (image.folder / "run.sh").write_text("#!/bin/sh\n")
        (image.folder / "run.sh").chmod(0o700)
        (image.folder / "requirements-cpu.txt").chmod(0o600)
        before = os.umask(umask)
        try:
            (into := tmp_path / "context").mkdir()
            stage_context(image, "cpu", into, environ={})
        finally:
            os.umask(before)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (into, *into.iterdir())}
        assert modes == {"context": 0o755, "wheels": 0o755, "run.sh": 0o755, "requirements-cpu.txt": 0o644}

    def test_takes_one_wheel_from_two_folders_once(self, image, tmp_path):
        files = self.stage(image, tmp_path, self.wheel(tmp_path / "one"), self.wheel(tmp_path / "two"))
        assert len([name for name in files if name.startswith("wheels/")]) == 1


def docker_command(folder, *, version="28.2.2", buildx=False):
    """Make a docker command in `folder` that knows its version and whether it has buildx."""
    folder.mkdir(exist_ok=True)
    script = folder / "docker"
    script.write_text(
        f"""#!/bin/sh
case "$1 $2" in
    "buildx version") {"echo 0.13" if buildx else "echo unknown command: buildx >&2; exit 1"} ;;
    "--version ") echo "Docker version {version}, build 0" ;;
    *) exit 64 ;;
esac
"""
    )
    script.chmod(0o755)
    return folder


def path_of(*folders):
    return os.pathsep.join(map(str, folders))


class TestFindBuilder:
    def test_passes_over_a_new_client_without_buildx(self, tmp_path):
        new = docker_command(tmp_path / "new")
        old = docker_command(tmp_path / "old", version="20.10.24+dfsg1")
        builder = find_builder(path_of(new, old))
        assert builder == Builder(docker=old / "docker", buildx=False)
        assert builder.command == (str(old / "docker"), "build")

    def test_prefers_buildx_wherever_it_is(self, tmp_path):
        old = docker_command(tmp_path / "old", version="20.10.24+dfsg1")
        new = docker_command(tmp_path / "new", buildx=True)
        builder = find_builder(path_of(old, new))
        assert builder == Builder(docker=new / "docker", buildx=True)
        assert builder.command[1:] == ("buildx", "build", "--load")

    def test_of_two_that_work_takes_the_first(self, tmp_path):
        first, second = (docker_command(tmp_path / name, buildx=True) for name in ("first", "second"))
        assert find_builder(path_of(first, second)).docker == first / "docker"

    def test_survives_commands_that_cannot_start(self, tmp_path):
        broken = docker_command(tmp_path / "broken")
        (broken / "docker").write_text("#!/does/not/exist\n")
        old = docker_command(tmp_path / "old", version="19.3")
        assert find_builder(path_of(broken, old)).docker == old / "docker"

    def test_without_any_client_says_so(self, tmp_path):
        with pytest.raises(HostError, match="no docker command") as caught:
            find_builder(path_of(tmp_path))
        assert "--engine process" in caught.value.hint

    def test_with_none_that_builds_names_the_plugin(self, tmp_path):
        with pytest.raises(HostError, match="buildx plugin is missing") as caught:
            find_builder(path_of(docker_command(tmp_path / "new")))
        assert "docker-buildx-plugin" in caught.value.hint


class TestDiskEstimate:
    def test_an_image_that_does_not_fit_is_an_error_with_all_sizes(self, image):
        with pytest.raises(HostError, match=r"takes 1\.5 GB, and up to 3\.0 GB while .* disk has 2\.9 GB left"):
            images.check_disk(image, "cpu", 2_900_000_000)

    @pytest.mark.parametrize("free", [3_000_000_000, None])
    def test_one_that_fits_and_an_unknown_disk_pass(self, image, free):
        images.check_disk(image, "cpu", free)

    @pytest.mark.parametrize("label", ["", "large", "1.5", "-1 GB"])
    def test_a_label_that_is_no_size_is_refused(self, image, label):
        image.labels["rosetta.disk.cpu"] = label
        with pytest.raises(BuildError, match=r"rosetta\.disk\.cpu"):
            images.check_disk(image, "cpu", None)

    @pytest.mark.parametrize(("root", "known"), [("/", True), ("/no/such", False)])
    def test_a_daemons_disk_is_measured_where_it_can_be_seen(self, daemon, root, known):
        daemon.info = {**fake_docker.INFO, "DockerRootDir": root}
        assert (client.server().free_bytes() is not None) == known

    def test_a_disk_of_another_machine_is_not_measured(self, daemon):
        far = dataclasses.replace(client.server(), endpoint="tcp://there:2376")
        assert far.free_bytes() is None

    def test_an_image_that_does_not_fit_is_not_built(self, image, daemon):
        image.labels["rosetta.disk.cpu"] = "1000000 TB"
        with pytest.raises(DiskError, match="Docker's disk has"):
            images.build(image, "cpu")
        assert not builds(daemon)


@pytest.mark.parametrize("by", ["docker-20.10", "buildx-0.13"])
@pytest.mark.parametrize(
    ("output", "says", "remedy"),
    [
        ("base-unreachable", "its base image cannot be pulled", "ROSETTA_BASE_PREFIX"),
        ("no-wheel", "has no torch==2.13.0+cpu", "PIP_FIND_LINKS"),
        ("hash-mismatch", "mpmath==1.3.0 is not the file that the lock names", "ci/lock.sh"),
        ("no-network", "index cannot be reached", "PIP_INDEX_URL"),
        ("no-ca", "certificate of the package index is not trusted", "PIP_CERT"),
        ("disk-full", "the disk is full", "docker system df"),
    ],
)
def test_a_failed_build_is_explained(output, by, says, remedy):
    lines = (OUTPUTS / f"{output}.{by}.txt").read_text().splitlines()
    error = explain("image demo (cpu)", lines)
    first, *shown = error.message.splitlines()
    assert first.startswith("image demo (cpu) could not be built: ")
    assert says in first
    assert remedy in error.hint
    assert 1 <= len(shown) <= 12
    assert all(len(line) <= 304 for line in shown)


@pytest.mark.parametrize("pip", ["pip-18.1", "pip-23.2"])
@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("refused", "{} cannot be downloaded"),
        ("unavailable", "{} cannot be downloaded"),
        ("reset", "the download of {} broke off"),
        ("stalled", "the download of {} broke off"),
    ],
)
def test_a_failed_download_names_the_file(output, says, pip):
    lines = (OUTPUTS / f"download-{output}.{pip}.txt").read_text().splitlines()
    error = explain("image demo (cuda)", lines)
    expected = says.format("nvidia_big_cu13-13.5.37-py3-none-manylinux1_x86_64.whl")
    assert error.message.splitlines()[0] == f"image demo (cuda) could not be built: {expected}"
    assert "PIP_FIND_LINKS" in error.hint


def test_of_several_downloads_the_last_is_the_one_that_broke_off():
    lines = (OUTPUTS / "download-reset.pip-23.2.txt").read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if "Downloading" in line)
    lines.insert(at, "#6 1.500   Downloading other-1.0-py3-none-any.whl (1 kB)")
    assert "nvidia_big_cu13" in explain("image demo (cuda)", lines).message.splitlines()[0]


def test_an_explanation_shows_the_failed_steps_own_output():
    lines = (OUTPUTS / "hash-mismatch.buildx-0.13.txt").read_text().splitlines()
    message = explain("image demo (cpu)", lines).message
    assert "Expected sha256 7a28eb2a" in message
    assert "transferring context" not in message


def test_a_docker_without_its_network_is_named():
    lines = (OUTPUTS / "no-bridge.docker-20.10.txt").read_text().splitlines()
    error = explain("image demo (cpu)", lines)
    first, shown = error.message.splitlines()
    assert first == "image demo (cpu) could not be built: Docker cannot give a step a network: network bridge not found"
    assert shown.endswith("network bridge not found")
    assert "restart" in error.hint


@pytest.mark.parametrize(
    "words",
    [
        "#6 0.4 W: Failed to fetch http://deb.debian.org/debian/InRelease  Temporary failure resolving 'deb.debian.org'",
        "#6 0.4 curl: (6) Could not resolve host: julialang-s3.julialang.org",
        "#6 0.4 connect: Network is unreachable",
    ],
)
def test_a_step_without_a_network_is_named(words):
    error = explain("image demo (cpu)", ["#6 [2/3] RUN apt-get update", words, "#6 ERROR: exit code: 100"])
    assert error.message.splitlines()[0].endswith("a step of its Dockerfile cannot reach the network")


def test_the_end_of_a_long_line_is_kept_and_an_unknown_cause_is_in_the_first_line():
    cause = "OCI runtime create failed: something new"
    lines = ["#6 [2/3] RUN pip", f"#6 ERROR: executor failed running [/bin/sh -c pip {'x' * 1000}]: {cause}"]
    first, shown = explain("image demo (cpu)", lines).message.splitlines()
    assert first.endswith(f"a step of its Dockerfile failed: {cause}")
    assert shown.endswith(cause)
    assert len(shown) <= 304


def test_an_unknown_failure_still_shows_its_output():
    lines = [
        "#5 0.100 compiling",
        "#6 0.100 other step",
        "#5 0.200 segmentation fault",
        "#5 ERROR: exit code: 139",
    ]
    error = explain("image demo (cpu)", lines)
    assert error.message.splitlines()[1:] == ["    compiling", "    segmentation fault"]


# A docker command that only builds. Its state is a folder: behaviour.json says what it does, builds gets a line for each
# build, and images a file for each image that was built.
DOCKER = """#!{python}
import json, os, pathlib, sys, time, urllib.parse
state, arguments = pathlib.Path({state!r}), sys.argv[1:]
behaviour = json.loads((state / "behaviour.json").read_text())
if arguments[:2] == ["buildx", "version"]:
    sys.exit(0)
if arguments[:2] != ["buildx", "build"]:
    sys.exit(64)
options = dict(word.lstrip("-").partition("=")[::2] for word in arguments if "=" in word)
with (state / "builds").open("a") as builds:
    builds.write(json.dumps(arguments) + "\\n")
(state / "pid").write_text(str(os.getpid()))
secrets = [word.partition("src=")[2] for word in arguments if word.startswith("--secret")]
(state / "secrets").write_text(json.dumps([pathlib.Path(secret).read_text() for secret in secrets]))
print("#1 [internal] load build definition", *behaviour.get("steps", ()), sep="\\n", flush=True)
sys.stdout.buffer.write(b"#2 0.1 caf\\xe9\\n")
sys.stdout.flush()
time.sleep(behaviour.get("seconds", 0))
if behaviour.get("output") and not ("--no-cache" in arguments and behaviour.get("cache")):
    sys.exit(behaviour["output"])
(state / "images" / urllib.parse.quote(options["tag"], "")).touch()
"""


class BuiltImages(Mapping):
    """The labels of the images that the docker command has built, by tag."""

    def __init__(self, folder, labels):
        self.folder, self.labels = folder, labels

    def __iter__(self):
        return (unquote(path.name) for path in self.folder.iterdir())

    def __len__(self):
        return len(list(self.folder.iterdir()))

    def __getitem__(self, tag):
        if tag not in list(self):
            raise KeyError(tag)
        return self.labels


@pytest.fixture
def daemon(tmp_path, monkeypatch, image):
    """A daemon, and a docker command that builds for it. `behave` sets what a build does, `state` is its folder."""
    state, binaries = tmp_path / "docker-state", tmp_path / "bin"
    (state / "images").mkdir(parents=True)
    binaries.mkdir()
    script = binaries / "docker"
    script.write_text(DOCKER.format(python=sys.executable, state=str(state)))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", path_of(binaries))
    monkeypatch.setenv("ROSETTA_CACHE", str(tmp_path / "cache"))
    for name in ("ROSETTA_BASE_PREFIX", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)

    def behave(**behaviour):
        (state / "behaviour.json").write_text(json.dumps(behaviour))

    behave()
    with fake_docker.serving() as made:
        monkeypatch.setenv("DOCKER_HOST", made.endpoint)
        made.images = BuiltImages(state / "images", dict(image.labels))
        made.state, made.behave = state, behave
        yield made


def builds(daemon):
    path = daemon.state / "builds"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def output(caplog):
    """What is logged, line by line, details included."""
    caplog.set_level(logging.INFO, logger="orchestrator")
    return caplog


class TestBuild:
    def test_gives_docker_the_tag_the_base_the_variant_and_the_secrets(self, image, daemon, monkeypatch, tmp_path):
        (tmp_path / "ca.pem").write_text("CERTIFICATES")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://user:password@wheels.example/simple")
        monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
        reference = images.build(image, "cpu")
        [argv] = builds(daemon)
        assert reference == images.tag(image, "cpu")
        assert argv[:3] == ["buildx", "build", "--load"]
        assert f"--file={image.folder / 'Dockerfile'}" in argv
        assert f"--tag={reference}" in argv
        assert f"--build-arg=BASE_IMAGE={BASE}" in argv
        assert "--build-arg=VARIANT=cpu" in argv
        assert "--build-arg=https_proxy" in argv
        assert "password" not in " ".join(argv)
        certificates, settings = json.loads((daemon.state / "secrets").read_text())
        assert certificates == "CERTIFICATES"
        assert "cert = /run/secrets/ca\n" in settings
        assert "extra-index-url = https://user:password@wheels.example/simple\n" in settings

    def test_without_certificates_gives_an_empty_secret(self, image, daemon):
        images.build(image, "cpu")
        certificates, settings = json.loads((daemon.state / "secrets").read_text())
        assert certificates == ""
        assert "cert" not in settings

    def test_keeps_no_downloads_if_asked_to(self, image, daemon, monkeypatch):
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        images.build(image, "cpu")
        _, settings = json.loads((daemon.state / "secrets").read_text())
        assert "no-cache-dir = false\n" in settings  # every pip's way to say so in a file, "true" is not

    def test_logs_the_command_and_every_line(self, image, daemon, output):
        images.build(image, "cpu")
        assert output.messages[0].startswith("$ ")
        assert output.messages[1:] == ["#1 [internal] load build definition", "#2 0.1 caf\N{REPLACEMENT CHARACTER}"]

    def test_reports_which_step_it_is_at(self, image, daemon, output):
        daemon.behave(steps=["#5 [1/3] FROM base", "#6 [2/3] RUN [1/9] x", "#6 0.1 [3/3] no step", "#7 [3/3] COPY"])
        heard = []
        with activity.heard(heard.append):
            images.build(image, "cpu")
        assert {each.what for each in heard if each} == {"building image demo (about 1.5 GB)"}
        assert [(each.done, each.total) for each in heard if each] == [(0, None), (1, 3), (2, 3), (3, 3)]
        assert heard[-1] is None

    def test_builds_once(self, image, daemon):
        assert not is_built(image, "cpu")
        first = images.build(image, "cpu")
        assert is_built(image, "cpu")
        assert images.build(image, "cpu") == first
        assert len(builds(daemon)) == 1

    def test_builds_once_when_two_ask_at_the_same_time(self, image, daemon, output):
        daemon.behave(seconds=0.3)
        with ThreadPoolExecutor() as pool:
            made = [pool.submit(images.build, image, "cpu") for _ in range(2)]
        assert [each.result() for each in made] == [images.tag(image, "cpu")] * 2
        assert len(builds(daemon)) == 1
        assert [line for line in output.messages if line.startswith("waiting for the image rosetta/demo:cpu-")]

    def test_a_failure_is_an_error_with_its_cause(self, image, daemon):
        daemon.behave(output="#2 0.2 ERROR: No matching distribution found for alpha==1.0+cpu")
        with pytest.raises(BuildError, match=r"image demo \(cpu\) .* has no alpha==1\.0\+cpu"):
            images.build(image, "cpu")
        assert not is_built(image, "cpu")

    def test_a_layer_that_the_build_cache_has_lost_is_made_again(self, image, daemon, output):
        daemon.behave(output="#6 ERROR: layer does not exist", cache=True)
        assert images.build(image, "cpu") == images.tag(image, "cpu")
        first, second = builds(daemon)
        assert ("--no-cache" in first, [word for word in second if word != "--no-cache"]) == (False, first)
        assert sum("lost a layer" in line for line in output.messages) == 1

    def test_without_the_cache_it_is_tried_once(self, image, daemon):
        daemon.behave(output="#6 ERROR: layer does not exist")
        with pytest.raises(BuildError, match="layer does not exist"):
            images.build(image, "cpu")
        assert len(builds(daemon)) == 2

    def test_labels_that_docker_reads_differently_are_an_error(self, image, daemon):
        daemon.images.labels = {"rosetta.disk.cpu": "1.5 GB"}
        with pytest.raises(BuildError, match=r"rosetta\.disk\.cuda is None"):
            images.build(image, "cpu")

    def test_an_interruption_stops_the_client(self, image, daemon, output):
        class Interrupt(logging.Handler):
            def emit(self, record):
                if record.getMessage().startswith("#2"):
                    raise KeyboardInterrupt

        daemon.behave(seconds=60)
        start = time.monotonic()
        handler = Interrupt()
        logging.getLogger("orchestrator").addHandler(handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                images.build(image, "cpu")
        finally:
            logging.getLogger("orchestrator").removeHandler(handler)
        assert time.monotonic() - start < 30
        with pytest.raises(ProcessLookupError):
            os.kill(int((daemon.state / "pid").read_text()), 0)

    def test_without_a_daemon_names_the_remedy(self, image, daemon, monkeypatch):
        monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
        with pytest.raises(HostError, match="no Docker daemon answers") as caught:
            images.build(image, "cpu")
        assert "start the Docker daemon" in caught.value.hint


def test_listing_tells_what_is_built(image, daemon):
    reference = images.build(image, "cpu")
    rows = {variant: (name, result) for _, variant, name, result in images.listing([image])}
    assert rows["cpu"][0] == reference
    assert rows["cpu"][1].size == 5
    assert rows["cuda"] == (images.tag(image, "cuda"), None)
