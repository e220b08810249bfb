"""Detached signatures of files that are passed on: FILE.sig beside FILE, made and checked by OpenSSH's ssh-keygen.

A digest (`sealed`) says that a file was not changed by accident. A signature says who vouches for it: the owner of a
key. Which keys belong to whom, the reader says in a file of allowed signers, in the format that git and ssh-keygen use
(ssh-keygen(1), ALLOWED SIGNERS).
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from orchestrator.errors import HostError, StoreError, UsageError
from orchestrator.files import atomic_write, identity, open_regular
from orchestrator.record import allowed_signers
from orchestrator.text import printable

NAMESPACE = "rosetta-capsule"  # part of what is signed: a signature made for git or for e-mail is none for a capsule
SUFFIX = ".sig"
KEYS = ("id_ed25519", "id_ed25519_sk", "id_ecdsa", "id_rsa")  # in ~/.ssh, the preferred first
MAX_SIGNATURE = 64 << 10  # bytes; those of the longest RSA keys are a tenth of that
MAX_PRINCIPALS = 8  # names of one key that are tried
CHECK_SECONDS = 60.0
SIGN_SECONDS = 300.0  # somebody may have to find the passphrase, or to touch a security key
INSTALL = "install OpenSSH 8.2 or newer, for example `apt-get install openssh-client`"
_FINGERPRINT = re.compile(r"\bSHA256:[A-Za-z0-9+/]{43}")


@dataclass(frozen=True, kw_only=True)
class Signature:
    """A signature that fits its file, and who made it, as far as that is known."""

    signer: str = ""  # the name that the allowed signers give the key; empty if they do not have it
    fingerprint: str = ""  # of the key: SHA256:…; empty where the signature could not be checked
    key: str = ""  # the public key, as a line of allowed signers has it after the name; empty if unknown
    doubt: str = ""  # why there is no signer; begins with "it"


def sign(path: Path, key: Path) -> Signature:
    """Sign a file with a private key, or with the agent's key that belongs to a public one. Writes FILE.sig.

    ssh-keygen itself asks for a passphrase. Raises UsageError for a key that cannot be used, HostError without
    ssh-keygen, StoreError for a file that cannot be read or written.
    """
    with _opened(key, why="key", error=UsageError):
        pass
    with tempfile.TemporaryDirectory(prefix="rosetta-sign-") as scratch:
        # ssh-keygen writes beside the file that it signs, and asks before it replaces anything. A copy needs neither.
        copy = Path(scratch, "capsule")
        with _opened(path) as content:
            copy.write_bytes(content.read())
        argv = ["ssh-keygen", "-Y", "sign", "-f", str(key.absolute()), "-n", NAMESPACE, str(copy)]
        code, _, messages = _run(argv, None, SIGN_SECONDS)  # with our stdin: it asks for a passphrase there
        made = copy.with_name(copy.name + SUFFIX)
        if code or not made.exists():
            raise _refused(key, messages)
        target = beside(path)
        try:
            atomic_write(target, made.read_bytes())
        except OSError as error:
            raise StoreError(
                f"{target}: cannot be written: {error.strerror}", hint="copy the capsule to a folder of your own"
            ) from error
    return _checked(path, target, allowed=None)


def check(path: Path, environ: Mapping[str, str] = os.environ) -> Signature | None:
    """Check the signature beside a file; None if there is none.

    Raises StoreError for a signature that is damaged, or of other content; UsageError if the file that ROSETTA_
    ALLOWED_SIGNERS names is missing.
    """
    signature = beside(path)
    if not os.path.lexists(signature):
        return None
    try:
        return _checked(path, signature, allowed=allowed_signers.find(environ))
    except HostError as error:
        return Signature(doubt=f"its signature could not be checked: {error.message}")


@contextlib.contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Raise StoreError if the file is another one after the block than before.

    The block checks a signature and reads the file: both must see the same content.
    """
    before = _identity(path)
    yield
    if before != _identity(path):
        raise StoreError(f"{path}: it changed while it was read", hint="try again when nothing writes to it")


def beside(path: Path) -> Path:
    """The place of a file's signature."""
    return path.parent / (path.name + SUFFIX)  # not with_name: a path such as "." has no name


def default_key() -> Path:
    """The user's own key: the first of KEYS that exists, else the first."""
    folder = Path(os.path.expanduser("~/.ssh"))  # noqa: PTH111  (Path's raises an error for a user without a home)
    there = (folder / name for name in KEYS if os.path.exists(folder / name))  # noqa: PTH110  (nor for a locked folder)
    return next(there, folder / KEYS[0])


def _checked(path: Path, signature: Path, *, allowed: Path | None) -> Signature:
    """Check a signature against the file, then look for its key among the allowed signers."""
    with _opened(signature, limit=MAX_SIGNATURE, why="signature") as stream:
        armored = stream.read(MAX_SIGNATURE)
    with tempfile.TemporaryDirectory(prefix="rosetta-check-") as scratch:
        copy = Path(scratch, "signature")  # ssh-keygen reads what was read here, and no FIFO
        copy.write_bytes(armored)
        code, output, messages = _ask(path, ["-Y", "check-novalidate", "-n", NAMESPACE, "-s", str(copy)])
        fingerprint = _FINGERPRINT.search(output)
        if code or fingerprint is None:
            raise _bad(path, signature, messages)
        found = Signature(fingerprint=fingerprint[0], key=_public_key(armored))
        signer, doubt = _signer(path, copy, allowed) if allowed else ("", "")
    if signer:
        return Signature(signer=signer, fingerprint=found.fingerprint, key=found.key)
    how = f"which your allowed signers do not accept: {doubt}" if doubt else "which is not among your allowed signers"
    return Signature(
        fingerprint=found.fingerprint, key=found.key, doubt=f"it is signed with the key {found.fingerprint}, {how}"
    )


def _signer(path: Path, signature: Path, allowed: Path) -> tuple[str, str]:
    """The first name under which the file of allowed signers accepts a signature; else why it does not."""
    common = ["-s", str(signature), "-f", str(allowed.absolute())]
    code, output, messages = _run(["ssh-keygen", "-Y", "find-principals", *common], subprocess.DEVNULL, CHECK_SECONDS)
    names = output.splitlines()[:MAX_PRINCIPALS] if code == 0 else []
    for name in names:
        code, _, messages = _ask(path, ["-Y", "verify", "-I", name, "-n", NAMESPACE, *common])
        if code == 0:
            return printable(name), ""
    reasons = [line for line in _lines(messages) if "No principal matched" not in line]
    return "", printable(reasons[0], 300) if reasons else ""


def _ask(path: Path, options: Sequence[str]) -> tuple[int, str, str]:
    """Give a file to ssh-keygen's standard input."""
    with _opened(path) as content:
        return _run(["ssh-keygen", *options], content, CHECK_SECONDS)


def _run(argv: Sequence[str], stdin: BinaryIO | int | None, seconds: float) -> tuple[int, str, str]:
    """Run ssh-keygen: its exit code, output and messages. Raises HostError if it is missing, or takes too long."""
    try:
        # not subprocess.run: its SIGKILL would leave a terminal that asks for a passphrase without echo
        child = subprocess.Popen(
            argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        )
    except OSError as error:
        raise HostError(f"ssh-keygen cannot be run: {error.strerror}", hint=INSTALL) from error
    with child:
        try:
            output, messages = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.communicate(timeout=2)
            child.kill()
            raise HostError(
                f"ssh-keygen did not end within {seconds:.0f} s", hint="is it waiting for a passphrase or an agent?"
            ) from None
        except BaseException:
            child.kill()
            raise
    if "unknown option" in messages or "illegal option" in messages or "Unsupported operation" in messages:
        raise HostError("the ssh-keygen of this machine cannot sign files", hint=INSTALL)
    return child.returncode, output, messages


@contextlib.contextmanager
def _opened(
    path: Path,
    *,
    limit: int | None = None,
    why: str = "file",
    error: type[StoreError | UsageError] = StoreError,
) -> Iterator[BinaryIO]:
    """Open a regular file to read it. Raises `error` for anything else, and for more than `limit` bytes."""
    hints = {
        "key": "name your key with --key FILE; `ssh-keygen -t ed25519` makes one",
        "signature": "get the file and its signature again from where they came from",
    }
    hint = hints.get(why, "is this the right file?")
    try:
        stream = open_regular(path)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise error(f"{why} {printable(str(path), 300)}: cannot be read: {reason}", hint=hint) from None
    with stream:
        size = os.fstat(stream.fileno()).st_size
        if limit is not None and size > limit:
            raise error(f"{why} {printable(str(path), 300)}: {size:,} bytes are too many for it", hint=hint)
        yield stream


def _bad(path: Path, signature: Path, messages: str) -> StoreError:
    """The error for a signature that does not fit its file, in words."""
    reason = next(iter(_lines(messages)), "")
    if "incorrect signature" in reason:
        why = f"{path} is not what was signed: it, or {signature.name}, was changed afterwards"
    elif "namespace" in reason:
        why = f"{signature} is a signature for another purpose, not for a capsule"
    else:
        why = f"{signature} is not a signature: {printable(reason) or 'ssh-keygen cannot read it'}"
    return StoreError(
        why,
        hint=f"get both files again from where they came from; without {signature.name} the capsule counts as unsigned",
    )


def _refused(key: Path, messages: str) -> UsageError:
    """The error for a key that ssh-keygen does not sign with."""
    lines = _lines(messages)
    if "are too open" in messages:
        return UsageError(f"{key}: ssh-keygen refuses it because others can read it", hint=f"chmod 600 {key}")
    if "incorrect passphrase" in messages:
        return UsageError(
            f"{key}: the passphrase is wrong, or there is no terminal to ask for it",
            hint="try again; or `ssh-add` the key, and the agent signs with it",
        )
    reason = printable(lines[-1]) if lines else "it says nothing"
    return UsageError(f"ssh-keygen cannot sign with {key}: {reason}", hint="name a private SSH key with --key FILE")


def _lines(messages: str) -> list[str]:
    """The lines of ssh-keygen that say what is wrong."""
    lines = (line.strip() for line in messages.splitlines())
    return [line for line in lines if line and not line.startswith(("Signing file", "Write signature", "Enter pass"))]


def _public_key(armored: bytes) -> str:
    """The public key inside a signature (OpenSSH's PROTOCOL.sshsig); empty for a certificate, and where it is odd."""
    try:
        body = base64.b64decode(b"".join(armored.strip().splitlines()[1:-1]))  # between its first and last line
        key = _string(body, len(b"SSHSIG") + 4)
        kind = _string(key, 0).decode("ascii")
    except (ValueError, IndexError):
        return ""
    if re.fullmatch(r"[a-z0-9@.-]{1,64}", kind) is None or "-cert-" in kind:
        return ""
    return f"{kind} {base64.b64encode(key).decode()}"


def _string(data: bytes, start: int) -> bytes:
    """A string of SSH's encoding: four bytes of length, then the content."""
    length = int.from_bytes(data[start : start + 4], "big")
    return data[start + 4 : start + 4 + length]


def _identity(path: Path) -> tuple[int, ...] | None:
    """What changes if a file is replaced or written to; None for one that cannot be looked at."""
    try:
        return identity(path)
    except (OSError, ValueError):
        return None
