"""Finds the file that says which keys belong to whom, in the format of ssh-keygen(1), ALLOWED SIGNERS."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from orchestrator.errors import UsageError

VARIABLE = "ROSETTA_ALLOWED_SIGNERS"  # the environment variable that names another one


def find(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The file with the keys that the user trusts, and their names.

    The first that exists of: the one that ROSETTA_ALLOWED_SIGNERS names, `allowed_signers` in the user's configuration
    of this program, the one that the user's git has as gpg.ssh.allowedSignersFile. None without any.
    Raises UsageError if the first is named and missing.
    """
    if named := environ.get(VARIABLE):
        path = Path(os.path.expanduser(named))  # noqa: PTH111  (Path's raises an error for a user without a home)
        if not os.path.exists(path):  # noqa: PTH110  (Path's raises an error for a folder that cannot be entered)
            raise UsageError(f"{VARIABLE} names {path}, which does not exist", hint="correct it, or unset it")
        return path
    found = (own(), _of_git())
    return next((path for path in found if path is not None and os.path.exists(path)), None)  # noqa: PTH110


def own() -> Path:
    """Where this program looks for allowed signers if nothing else is configured."""
    from platformdirs import user_config_path

    return user_config_path("rosetta") / "allowed_signers"


def _of_git() -> Path | None:
    """Git's file of allowed signers. Only the user's own configuration counts: a folder may be a stranger's."""
    argv = ["git", "config", "--global", "--type=path", "--get", "gpg.ssh.allowedSignersFile"]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=10, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return None
    name = done.stdout.strip()
    return Path(name) if done.returncode == 0 and Path(name).is_absolute() else None
