"""SSH keys of a test's own. ssh-keygen makes them; without it the test is skipped, with the reason."""

import shutil
import subprocess
from pathlib import Path

import pytest


def make(folder: Path, name: str = "key", passphrase: str = "") -> Path:
    """A new private key `name` in `folder`; NAME.pub is its public half."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("this machine has no ssh-keygen")
    path = folder / name
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "", "-f", str(path)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return path


def public(key: Path) -> str:
    """The public half, as a line of allowed signers has it after the name."""
    return key.with_suffix(".pub").read_text(encoding="utf-8").strip()


def fingerprint(key: Path) -> str:
    """The key's SHA256:… as ssh-keygen prints it."""
    done = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(key.with_suffix(".pub"))], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.split()[1]
