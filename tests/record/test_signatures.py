"""A signature says who vouches for a file; whatever else lies in its place is named, and nothing hangs."""

import os
import pty
import select
import stat
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import HostError, StoreError, UsageError
from orchestrator.record import allowed_signers, signatures
from tests.support import keys


@pytest.fixture(autouse=True)
def nobody_is_trusted(tmp_path, monkeypatch):
    """Neither the user's files nor git's are read."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.delenv(allowed_signers.VARIABLE, raising=False)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def key(tmp_path):
    return keys.make(tmp_path)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "capsule.json"
    path.write_bytes(b"some content\n")
    return path


@pytest.fixture
def signed(file, key):
    signatures.sign(file, key)
    return file


def trust(tmp_path, *lines):
    """Write these lines to a file of allowed signers; return the environment that names it."""
    path = tmp_path / "allowed"
    path.write_text("".join(f"{line}\n" for line in lines))
    return {allowed_signers.VARIABLE: str(path)}


def test_a_file_without_a_signature_has_none(file):
    assert signatures.check(file) is None


def test_a_signature_names_the_key_and_a_key_that_is_allowed_its_owner(file, key, tmp_path):
    made = signatures.sign(file, key)
    assert (made.fingerprint, made.key) == (keys.fingerprint(key), keys.public(key))
    unknown = signatures.check(file)
    assert unknown.signer == ""
    assert keys.fingerprint(key) in unknown.doubt
    assert unknown.key == keys.public(key)
    known = signatures.check(file, trust(tmp_path, f"anna@example.org {keys.public(key)}"))
    assert (known.signer, known.fingerprint, known.doubt) == ("anna@example.org", keys.fingerprint(key), "")


def test_signing_again_replaces_the_signature_without_a_question(signed, tmp_path):
    other = keys.make(tmp_path, "other")
    signatures.sign(signed, other)
    assert signatures.check(signed).fingerprint == keys.fingerprint(other)
    assert sorted(path.name for path in tmp_path.glob("capsule.json*")) == ["capsule.json", "capsule.json.sig"]


def test_a_file_that_was_changed_after_it_was_signed_is_refused(signed, key, tmp_path):
    signed.write_bytes(b"other content\n")
    with pytest.raises(StoreError, match="is not what was signed") as caught:
        signatures.check(signed, trust(tmp_path, f"anna {keys.public(key)}"))
    assert "capsule.json.sig" in caught.value.hint


def test_a_signature_for_another_purpose_is_none(file, key):
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", "git", str(file)], check=True)
    with pytest.raises(StoreError, match="for another purpose"):
        signatures.check(file)


@pytest.mark.parametrize(
    ("options", "reason"), [('valid-before="20200101"', "expired"), ('namespaces="git"', "namespace")]
)
def test_a_key_that_is_not_allowed_for_this_is_not_trusted(signed, key, tmp_path, options, reason):
    found = signatures.check(signed, trust(tmp_path, f"anna {options} {keys.public(key)}"))
    assert found.signer == ""
    assert "which your allowed signers do not accept: " in found.doubt
    assert reason in found.doubt


def test_other_keys_and_nonsense_among_the_allowed_signers_trust_nobody(signed, tmp_path):
    other = keys.make(tmp_path, "other")
    for lines in ([f"anna {keys.public(other)}"], ["no key at all"], ["\x00\x1b[2J"], []):
        assert signatures.check(signed, trust(tmp_path, *lines)).signer == ""


def test_what_a_name_holds_is_only_shown(signed, key, tmp_path):
    found = signatures.check(signed, trust(tmp_path, f"✓\x1b[31manna {keys.public(key)}"))
    assert not set(found.signer) & set("✓\x1b")


def _fifo(path):
    os.mkfifo(path)


def _huge(path):
    with path.open("wb") as stream:
        stream.truncate(50 << 30)  # sparse


BAD = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("signed, honestly"),
    "huge": _huge,
    "FIFO": _fifo,
    "folder": lambda path: path.mkdir(),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_signature_is_named(file, key, kind):
    BAD[kind](signatures.beside(file))
    with pytest.raises(StoreError, match=r"capsule\.json\.sig"):
        signatures.check(file)


def test_a_truncated_signature_is_named(signed):
    path = signatures.beside(signed)
    whole = path.read_bytes()
    for length in (1, 30, 100, len(whole) - 40):
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError, match="is not a signature"):
            signatures.check(signed)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.integers(0, 400), value=st.integers(0, 255))
def test_no_byte_of_a_signature_can_be_another(signed, key, tmp_path, place, value):
    """Any damage is an error, or leaves the same signature, for example with another line end."""
    path = signatures.beside(signed)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[place % len(whole)] = value
    path.write_bytes(bytes(damaged))
    try:
        found = signatures.check(signed, trust(tmp_path, f"anna {keys.public(key)}"))
    except StoreError:
        pass
    else:
        assert (found.signer, found.fingerprint) == ("anna", keys.fingerprint(key))
    finally:
        path.write_bytes(whole)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=300))
def test_any_bytes_are_an_error_or_a_signature(file, content):
    path = signatures.beside(file)
    for text in (content, b"-----BEGIN SSH SIGNATURE-----\n" + content + b"\n-----END SSH SIGNATURE-----\n"):
        path.write_bytes(text)
        with pytest.raises(StoreError):
            signatures.check(file)


class TestKeys:
    def test_one_that_does_not_exist(self, file, tmp_path):
        with pytest.raises(UsageError, match="No such file") as caught:
            signatures.sign(file, tmp_path / "nobody")
        assert "--key" in caught.value.hint

    def test_one_that_others_can_read(self, file, key):
        key.chmod(0o644)
        with pytest.raises(UsageError, match="others can read it") as caught:
            signatures.sign(file, key)
        assert caught.value.hint == f"chmod 600 {key}"

    def test_something_that_is_no_key(self, file, tmp_path):
        (tmp_path / "text").write_text("hello")
        (tmp_path / "text").chmod(0o600)
        with pytest.raises(UsageError, match="cannot sign with"):
            signatures.sign(file, tmp_path / "text")

    def test_a_fifo_and_a_folder(self, file, tmp_path):
        os.mkfifo(tmp_path / "fifo")
        for path in (tmp_path / "fifo", tmp_path):
            with pytest.raises(UsageError, match="not a regular file"):
                signatures.sign(file, path)
        assert not signatures.beside(file).exists()

    def test_a_passphrase_that_nobody_can_be_asked_for(self, file, tmp_path, monkeypatch):
        monkeypatch.delenv("DISPLAY", raising=False)
        key = keys.make(tmp_path, "locked", "a secret")
        script = (
            "import sys; from pathlib import Path; from orchestrator.record import signatures\n"
            "from orchestrator.errors import UsageError\n"
            "try: signatures.sign(*map(Path, sys.argv[1:]))\n"
            "except UsageError as error: print(error.message)\n"
        )
        argv = [sys.executable, "-c", script, str(file), str(key)]
        done = subprocess.run(  # a session of its own has no terminal
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            start_new_session=True,
            timeout=60,
            check=True,
        )
        assert "the passphrase is wrong, or there is no terminal to ask for it" in done.stdout

    def test_a_passphrase_is_asked_for_on_the_terminal(self, file, tmp_path):
        key = keys.make(tmp_path, "locked", "a secret")
        script = "import sys; from pathlib import Path; from orchestrator.record import signatures as s; s.sign(*map(Path, sys.argv[1:]))"
        child, terminal = pty.fork()
        if child == 0:
            os.execv(sys.executable, [sys.executable, "-c", script, str(file), str(key)])  # noqa: S606
        shown, ends = b"", time.monotonic() + 60
        try:
            while b"passphrase" not in shown and time.monotonic() < ends:
                if select.select([terminal], [], [], 1)[0]:
                    shown += os.read(terminal, 1000)
            os.write(terminal, b"a secret\n")
            while select.select([terminal], [], [], 60)[0]:
                shown += os.read(terminal, 1000)
        except OSError:
            pass  # EIO: the child has closed its terminal
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, shown
        os.close(terminal)
        assert signatures.check(file).fingerprint == keys.fingerprint(key)


def test_a_folder_that_cannot_be_written_to(signed, key, tmp_path):
    signatures.beside(signed).unlink()
    signatures.beside(signed).mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        signatures.sign(signed, key)


class TestWithoutATool:
    def test_nothing_is_signed_and_nothing_trusted(self, signed, key, tmp_path, monkeypatch):
        names = trust(tmp_path, f"anna {keys.public(key)}")
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
        with pytest.raises(HostError, match="ssh-keygen cannot be run") as caught:
            signatures.sign(signed, key)
        assert "OpenSSH" in caught.value.hint
        found = signatures.check(signed, names)
        assert found.signer == ""
        assert "could not be checked: ssh-keygen cannot be run" in found.doubt

    @pytest.mark.parametrize(
        ("script", "reason"),
        [("exec sleep 600", "did not end"), ("echo 'unknown option -- Y' >&2; exit 1", "cannot sign files")],
    )
    def test_one_that_hangs_or_is_too_old(self, signed, tmp_path, monkeypatch, script, reason):
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "ssh-keygen").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "ssh-keygen").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr(signatures, "CHECK_SECONDS", 0.5)
        assert reason in signatures.check(signed).doubt


class TestAllowedSigners:
    def test_the_variable_comes_first_and_must_exist(self, tmp_path):
        assert allowed_signers.find(trust(tmp_path)) == tmp_path / "allowed"
        with pytest.raises(UsageError, match=r"ROSETTA_ALLOWED_SIGNERS names .*gone"):
            allowed_signers.find({allowed_signers.VARIABLE: str(tmp_path / "gone")})

    def test_then_the_users_own_then_that_of_git(self, tmp_path):
        assert allowed_signers.find({}) is None
        (tmp_path / "of-git").write_text("")
        (tmp_path / "gitconfig").write_text(f'[gpg "ssh"]\nallowedSignersFile = {tmp_path / "of-git"}\n')
        assert allowed_signers.find({}) == tmp_path / "of-git"
        own = allowed_signers.own()
        own.parent.mkdir(parents=True)
        own.write_text("")
        assert allowed_signers.find({}) == own

    def test_the_folder_that_one_stands_in_has_no_say(self, tmp_path, monkeypatch):
        subprocess.run(["git", "init", "-q", str(tmp_path / "theirs")], check=True)
        (tmp_path / "theirs" / "signers").write_text("")
        config = tmp_path / "theirs" / ".git" / "config"
        config.write_text(f'[gpg "ssh"]\nallowedSignersFile = {tmp_path / "theirs" / "signers"}\n')
        monkeypatch.chdir(tmp_path / "theirs")
        assert allowed_signers.find({}) is None


def test_a_file_that_changes_while_it_is_read_is_refused(file):
    other = file.with_name("other")
    other.write_bytes(file.read_bytes())
    with signatures.unchanged(file):
        file.read_bytes()
    with pytest.raises(StoreError, match="changed while it was read"), signatures.unchanged(file):
        other.replace(file)


def test_a_signature_is_as_readable_as_the_umask_says(signed):
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(signatures.beside(signed).stat().st_mode) == 0o666 & ~mask
