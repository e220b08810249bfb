"""Files that the user names: links are followed, devices and FIFOs written to, modes kept, nothing lost on failure."""

import contextlib
import os
import stat
import subprocess
import sys
import threading

import pytest

from orchestrator.outputs import user_file


def write(path, data=b"new"):
    with user_file(path) as file:
        file.write(data)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_has_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "file")
    finally:
        os.umask(before)
    assert (tmp_path / "file").read_bytes() == b"new"
    assert mode(tmp_path / "file") == 0o640


@pytest.mark.parametrize("kept", [0o600, 0o664, 0o755])
def test_an_old_file_keeps_its_mode_and_leaves_nothing_beside_it(tmp_path, kept):
    path = tmp_path / "file"
    path.write_bytes(b"something much longer")
    path.chmod(kept)
    write(path)
    assert (path.read_bytes(), mode(path)) == (b"new", kept)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_written_through(tmp_path, exists):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    if exists:
        target.write_bytes(b"old")
        target.chmod(0o600)
    link.symlink_to("elsewhere/target")
    write(link)
    assert link.readlink().as_posix() == "elsewhere/target"
    assert target.read_bytes() == b"new"
    if exists:
        assert mode(target) == 0o600


def test_a_fifo_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    found = []
    reader = threading.Thread(target=lambda: found.append((tmp_path / "fifo").read_bytes()))
    reader.start()
    write(tmp_path / "fifo")
    reader.join()
    assert found == [b"new"]
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_devices_are_written_to(tmp_path):
    (tmp_path / "link").symlink_to("/dev/null")
    write(tmp_path / "link")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)  # noqa: PTH116
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path.joinpath("/dev/full"))


def test_a_failure_leaves_the_old_content(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with contextlib.suppress(RuntimeError), user_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_says_why(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_bytes(b"")
    for path, words in [
        (tmp_path, "Is a directory"),
        (tmp_path / "missing" / "file", "there is no folder "),
        (tmp_path / "file" / "below", "there is no folder "),
        (tmp_path / "loop", "symbolic links"),
        (tmp_path / ("n" * 300), "File name too long"),
    ]:
        with pytest.raises(OSError, match=words):
            write(path)
    assert not (tmp_path / "missing").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_file_that_is_mounted_by_itself_is_written(tmp_path):
    (tmp_path / "real").write_bytes(b"something old")
    (tmp_path / "mounted").write_bytes(b"")
    code = (
        "import sys; from pathlib import Path; from tests.base.test_user_files import write; write(Path(sys.argv[1]))"
    )
    script = 'mount --bind "$1" "$2" && exec "$3" -c "$4" "$2"'
    prefix = ["unshare", "--mount", "sh", "-c", script, "sh"]
    done = subprocess.run(
        [*prefix, tmp_path / "real", tmp_path / "mounted", sys.executable, code],
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount" in done.stderr and "Traceback" not in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/stderr"])
def test_open_streams_are_written_where_they_stand(tmp_path, name):
    code = (
        "import sys; from pathlib import Path; from tests.base.test_user_files import write\n"
        f"print('before', flush=True); write(Path({name!r})); print(' after')"
    )
    with (tmp_path / "out").open("wb") as out:  # a file: opened by its name, it would begin again at 0
        subprocess.run([sys.executable, "-c", code], stdout=out, stderr=out, check=True)
    assert (tmp_path / "out").read_text() == "before\nnew after\n"
