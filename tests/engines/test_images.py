"""What an image is called, what its build sees, which client builds it, and what is said when that fails."""

import hashlib
import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.engines.build_failure import explain
from orchestrator.engines.docker import images
from orchestrator.engines.docker.docker_cli import free_bytes
from orchestrator.errors import BuildError, HostError
from orchestrator.plan.catalog import COMMAND, Image

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


def test_an_image_that_cannot_be_built_does_not_keep_others_from_it(monkeypatch):
    def build(image, variant, log):
        if image.name == "knet":
            raise BuildError("image knet (cpu) could not be built", hint="check the network")
        return f"rosetta/{image.name}"

    monkeypatch.setattr(images, "build", build)
    done = CliRunner().invoke(app.app, ["images", "build", "caffe2", "knet", "numpy"])
    assert "rosetta/caffe2 is built" in done.output
    assert "rosetta/numpy is built" in done.output
    assert done.exception.message == "1 of 3 images could not be built: knet"
    assert done.exception.hint == "check the network"
    alone = CliRunner().invoke(app.app, ["images", "build", "knet"])
    assert alone.exception.message == "image knet (cpu) could not be built"


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
        images.stage_context(image, variant, into, environ={"PIP_FIND_LINKS": " ".join(map(str, links))})
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

    def test_takes_one_wheel_from_two_folders_once(self, image, tmp_path):
        files = self.stage(image, tmp_path, self.wheel(tmp_path / "one"), self.wheel(tmp_path / "two"))
        assert len([name for name in files if name.startswith("wheels/")]) == 1


def client(folder, *, version="28.2.2", buildx=False, rest=""):
    """Make a docker command in `folder` that knows its version and whether it has buildx."""
    folder.mkdir(exist_ok=True)
    script = folder / "docker"
    script.write_text(
        f"""#!/bin/sh
case "$1 $2" in
    "buildx version") {"echo 0.13" if buildx else "echo unknown command: buildx >&2; exit 1"} ;;
    "--version ") echo "Docker version {version}, build 0" ;;
    {rest}
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
        new = client(tmp_path / "new")
        old = client(tmp_path / "old", version="20.10.24+dfsg1")
        builder = images.find_builder(path_of(new, old))
        assert builder == images.Builder(docker=old / "docker", buildx=False)
        assert builder.command == (str(old / "docker"), "build")

    def test_prefers_buildx_wherever_it_is(self, tmp_path):
        old = client(tmp_path / "old", version="20.10.24+dfsg1")
        new = client(tmp_path / "new", buildx=True)
        builder = images.find_builder(path_of(old, new))
        assert builder == images.Builder(docker=new / "docker", buildx=True)
        assert builder.command[1:] == ("buildx", "build", "--load")

    def test_of_two_that_work_takes_the_first(self, tmp_path):
        first, second = (client(tmp_path / name, buildx=True) for name in ("first", "second"))
        assert images.find_builder(path_of(first, second)).docker == first / "docker"

    def test_survives_commands_that_cannot_start(self, tmp_path):
        broken = client(tmp_path / "broken")
        (broken / "docker").write_text("#!/does/not/exist\n")
        old = client(tmp_path / "old", version="19.3")
        assert images.find_builder(path_of(broken, old)).docker == old / "docker"

    def test_without_any_client_says_so(self, tmp_path):
        with pytest.raises(HostError, match="no docker command") as caught:
            images.find_builder(path_of(tmp_path))
        assert "--engine process" in caught.value.hint

    def test_with_none_that_builds_names_the_plugin(self, tmp_path):
        with pytest.raises(HostError, match="buildx plugin is missing") as caught:
            images.find_builder(path_of(client(tmp_path / "new")))
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

    @pytest.mark.parametrize(
        ("endpoint", "root", "known"),
        [
            ("unix:///run/docker.sock", "/", True),
            ("tcp://there:2376", "/", False),
            ("unix:///x", "/no/such", False),
        ],
    )
    def test_only_a_local_daemons_disk_is_measured(self, tmp_path, endpoint, root, known):
        rest = f'"context inspect") echo {endpoint} ;;\n    "info --format") echo {root} ;;'
        builder = images.Builder(docker=client(tmp_path / "bin", rest=rest) / "docker", buildx=False)
        assert (free_bytes(builder) is not None) == known


@pytest.mark.parametrize("by", ["docker-20.10", "buildx-0.13"])
@pytest.mark.parametrize(
    ("output", "says", "remedy"),
    [
        ("base-unreachable", "its base image cannot be pulled", "ROSETTA_BASE_PREFIX"),
        ("no-wheel", "has no torch==2.13.0+cpu", "PIP_FIND_LINKS"),
        ("hash-mismatch", "mpmath==1.3.0 is not the file that the lock names", "ci/lock.sh"),
        ("no-network", "index cannot be reached", "PIP_INDEX_URL"),
        ("no-ca", "certificate that is not trusted", "PIP_CERT"),
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
    told = says.format("nvidia_big_cu13-13.5.37-py3-none-manylinux1_x86_64.whl")
    assert error.message.splitlines()[0] == f"image demo (cuda) could not be built: {told}"
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


def test_an_unknown_failure_still_shows_its_output():
    lines = [
        "#5 0.100 compiling",
        "#6 0.100 other step",
        "#5 0.200 segmentation fault",
        "#5 ERROR: exit code: 139",
    ]
    error = explain("image demo (cpu)", lines)
    assert error.message.splitlines()[1:] == ["    compiling", "    segmentation fault"]


# A docker command whose state is a folder: images/ holds a file for each image that exists,
# builds a line for each build that was started.
DOCKER = """#!{python}
import json, os, pathlib, sys, time, urllib.parse
state, arguments = pathlib.Path({state!r}), sys.argv[1:]
images, behaviour = state / "images", json.loads((state / "behaviour.json").read_text())
if arguments[:2] == ["buildx", "version"]:
    sys.exit(0)
if arguments[:2] == ["image", "inspect"]:
    if behaviour.get("down"):
        sys.exit("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?")
    found = [tag for tag in arguments[2:] if (images / urllib.parse.quote(tag, "")).exists()]
    labels = behaviour.get("labels")
    print(json.dumps([dict(Id="sha256:1", Size=5, Created="2020", Config=dict(Labels=labels), RepoTags=[tag])
                      for tag in found]))
    missing = [tag for tag in arguments[2:] if tag not in found]
    sys.exit("\\n".join("Error response from daemon: No such image: " + tag for tag in missing) or 0)
if arguments[:2] == ["buildx", "build"]:
    options = dict(word.lstrip("-").partition("=")[::2] for word in arguments if "=" in word)
    with (state / "builds").open("a") as builds:
        builds.write(json.dumps(arguments) + "\\n")
    (state / "pid").write_text(str(os.getpid()))
    secrets = [word.partition("src=")[2] for word in arguments if word.startswith("--secret")]
    (state / "secrets").write_text(json.dumps([pathlib.Path(secret).read_text() for secret in secrets]))
    print("#1 [internal] load build definition", flush=True)
    sys.stdout.buffer.write(b"#2 0.1 caf\\xe9\\n")
    sys.stdout.flush()
    time.sleep(behaviour.get("seconds", 0))
    if behaviour.get("output") and not ("--no-cache" in arguments and behaviour.get("cache")):
        sys.exit(behaviour["output"])
    (images / urllib.parse.quote(options["tag"], "")).touch()
    sys.exit(0)
sys.exit(64)
"""


@pytest.fixture
def daemon(tmp_path, monkeypatch, image):
    """Put a scripted docker command first on PATH; return a setter of its behaviour."""
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
        (state / "behaviour.json").write_text(json.dumps({"labels": dict(image.labels), **behaviour}))
        return state

    behave()
    return behave


def builds(state):
    return [json.loads(line) for line in (state / "builds").read_text().splitlines()]


class TestBuild:
    def test_gives_docker_the_tag_the_base_the_variant_and_the_secrets(self, image, daemon, monkeypatch, tmp_path):
        (tmp_path / "ca.pem").write_text("CERTIFICATES")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://user:password@wheels.example/simple")
        monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
        reference = images.build(image, "cpu", log=lambda _: None)
        [argv] = builds(daemon())
        assert reference == images.tag(image, "cpu")
        assert argv[:3] == ["buildx", "build", "--load"]
        assert f"--file={image.folder / 'Dockerfile'}" in argv
        assert f"--tag={reference}" in argv
        assert f"--build-arg=BASE_IMAGE={BASE}" in argv
        assert "--build-arg=VARIANT=cpu" in argv
        assert "--build-arg=https_proxy" in argv
        assert "password" not in " ".join(argv)
        certificates, settings = json.loads((daemon() / "secrets").read_text())
        assert certificates == "CERTIFICATES"
        assert "cert = /run/secrets/ca\n" in settings
        assert "extra-index-url = https://user:password@wheels.example/simple\n" in settings

    def test_without_certificates_gives_an_empty_secret(self, image, daemon):
        images.build(image, "cpu", log=lambda _: None)
        certificates, settings = json.loads((daemon() / "secrets").read_text())
        assert certificates == ""
        assert "cert" not in settings

    def test_keeps_no_downloads_if_told_so(self, image, daemon, monkeypatch):
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        images.build(image, "cpu", log=lambda _: None)
        _, settings = json.loads((daemon() / "secrets").read_text())
        assert "no-cache-dir = false\n" in settings  # every pip's way to say so in a file, "true" is not

    def test_logs_the_command_and_every_line(self, image, daemon):
        lines = []
        images.build(image, "cpu", log=lines.append)
        assert lines[0].startswith("$ ")
        assert lines[1:] == ["#1 [internal] load build definition", "#2 0.1 caf\N{REPLACEMENT CHARACTER}"]

    def test_builds_once(self, image, daemon):
        assert not images.built(image, "cpu")
        first = images.build(image, "cpu", log=lambda _: None)
        assert images.built(image, "cpu")
        assert images.build(image, "cpu", log=pytest.fail) == first
        assert len(builds(daemon())) == 1

    def test_builds_once_when_two_ask_at_the_same_time(self, image, daemon):
        daemon(seconds=0.3)
        tags, lines = [], []
        threads = [
            threading.Thread(target=lambda: tags.append(images.build(image, "cpu", log=lines.append))) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert tags == [images.tag(image, "cpu")] * 2
        assert len(builds(daemon())) == 1
        assert [line for line in lines if line.startswith("waiting for another orchestrator")]

    def test_a_failure_is_an_error_with_its_cause(self, image, daemon):
        daemon(output="#2 0.2 ERROR: No matching distribution found for alpha==1.0+cpu")
        with pytest.raises(BuildError, match=r"image demo \(cpu\) .* has no alpha==1\.0\+cpu"):
            images.build(image, "cpu", log=lambda _: None)
        assert not images.built(image, "cpu")

    def test_a_layer_that_the_build_cache_has_lost_is_made_again(self, image, daemon):
        state = daemon(output="#6 ERROR: layer does not exist", cache=True)
        lines = []
        assert images.build(image, "cpu", log=lines.append) == images.tag(image, "cpu")
        first, second = builds(state)
        assert ("--no-cache" in first, [word for word in second if word != "--no-cache"]) == (False, first)
        assert sum("lost a layer" in line for line in lines) == 1

    def test_without_the_cache_it_is_tried_once(self, image, daemon):
        state = daemon(output="#6 ERROR: layer does not exist")
        with pytest.raises(BuildError, match="layer does not exist"):
            images.build(image, "cpu", log=lambda _: None)
        assert len(builds(state)) == 2

    def test_labels_that_docker_reads_differently_are_an_error(self, image, daemon):
        daemon(labels={"rosetta.disk.cpu": "1.5 GB"})
        with pytest.raises(BuildError, match=r"rosetta\.disk\.cuda is None"):
            images.build(image, "cpu", log=lambda _: None)

    def test_an_interruption_stops_the_client(self, image, daemon):
        def interrupt(line):
            if line.startswith("#2"):
                raise KeyboardInterrupt

        state = daemon(seconds=60)
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            images.build(image, "cpu", log=interrupt)
        assert time.monotonic() - start < 30
        with pytest.raises(ProcessLookupError):
            os.kill(int((state / "pid").read_text()), 0)

    def test_without_a_daemon_names_the_remedy(self, image, daemon):
        daemon(down=True)
        with pytest.raises(HostError, match="Cannot connect") as caught:
            images.build(image, "cpu", log=lambda _: None)
        assert "start the Docker daemon" in caught.value.hint


def test_listing_tells_what_is_built(image, daemon):
    reference = images.build(image, "cpu", log=lambda _: None)
    rows = {variant: (name, result) for _, variant, name, result in images.listing([image])}
    assert rows["cpu"][0] == reference
    assert rows["cpu"][1].size == 5
    assert rows["cuda"] == (images.tag(image, "cuda"), None)
