"""Why an image build failed, read from its output."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.errors import BuildError, MissingWheelError, PullError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN_LINES = 12
_SHOWN_CHARACTERS = 300  # of a line; pip can put hundreds of file names into one
_STEP = re.compile(r"^#(?P<number>\d+) (?:(?P<seconds>\d+\.\d+) )?(?P<text>.*)$")
_NO_FILE = (
    "the package index answers, so try again. If it happens again, a proxy may limit size or time of downloads: raise "
    "pip's time limit in seconds with PIP_DEFAULT_TIMEOUT, or put the folder with the wheel into PIP_FIND_LINKS"
)


@dataclass(frozen=True, kw_only=True)
class _Cause:
    error: type[BuildError] = BuildError
    pattern: str  # its first group, if any, fills {} below
    says: str
    hint: str


# The first match counts. The order matters: pip reports a network that it cannot reach as a missing package.
_CAUSES = (
    _Cause(
        pattern=r"(?i)no space left on device",
        says="the disk is full",
        hint="{disk_hint}",
    ),
    _Cause(
        pattern=r"DO NOT MATCH THE HASHES[^\n]*\n\s*(\S+)",
        says="{} is not the file that the lock names",
        hint="an incomplete download looks like this, so try again. If it happens again, something between this "
        "machine and the package index changes files, or a release was replaced: find out which before you run "
        "ci/lock.sh in a checkout",
    ),
    _Cause(
        # What the daemon and runc say: the bridge, its addresses or the firewall's rules are gone.
        pattern=r"(network \S+ not found|failed to create endpoint[^\n]{0,200}|failed to set up container networking"
        r"|iptables(?: failed|: No chain)[^\n]{0,100}|could not find an available[^\n]{0,60}address pool[^\n]{0,60})",
        says="Docker cannot give a step a network: {}",
        hint="the daemon makes its bridge and its firewall rules when it starts: restart it, and look at its log"
        "{or_process}",
    ),
    _Cause(
        error=PullError,
        pattern=r"failed to (?:do request|authorize|resolve (?:source metadata|reference))"
        r"|pull access denied|manifest unknown|toomanyrequests|httpReadSeeker",
        says="its base image cannot be pulled",
        hint="check the network; or make local base images with ci/make-bases.sh of a checkout and set "
        "ROSETTA_BASE_PREFIX=rosetta-base{or_process}",
    ),
    _Cause(
        pattern=r"CERTIFICATE_VERIFY_FAILED",
        says="the certificate of the package index is not trusted",
        hint="behind a proxy that signs TLS itself, set PIP_CERT to the file with all trusted certificates",
    ),
    _Cause(
        pattern=r"(?:HTTP error \d+ while getting|Max retries exceeded with url:) \S*/([^\s/#]+\.(?:whl|tar\.gz|zip))",
        says="{} cannot be downloaded",
        hint=_NO_FILE,
    ),
    _Cause(
        # pip's own message does not name the file: it is the last one that pip started to download.
        pattern=r"[\s\S]*Downloading (?:\S*/)?(\S+)[\s\S]*exceptions\.(?:ProtocolError|ReadTimeoutError)",
        says="the download of {} broke off",
        hint=_NO_FILE,
    ),
    _Cause(
        pattern=r"(?:NewConnection|ConnectTimeout|ReadTimeout|Proxy)Error[\s\S]*from versions: (?:none)?\)"
        r"|HTTPS?ConnectionPool",
        says="the package index cannot be reached from inside a build",
        hint="check the network and the proxy variables, or set PIP_INDEX_URL to an index that can be reached",
    ),
    _Cause(
        error=MissingWheelError,
        pattern=r"No matching distribution found for (\S+\+\S+)",
        says="the package index has no {}",
        hint="{} is a local version, which public indexes do not have: put the folder with its wheel into "
        "PIP_FIND_LINKS, or an index that has it into PIP_EXTRA_INDEX_URL",
    ),
    _Cause(
        pattern=r"No matching distribution found for (\S+)",
        says="the package index has no {} for this Python",
        hint="check PIP_INDEX_URL; if the base image changed its Python, run ci/lock.sh in a checkout",
    ),
    _Cause(
        pattern=r"Temporary failure (?:in name resolution|resolving)|Could not resolve (?:host|')"
        r"|(?i:network is unreachable|no route to host)",
        says="a step of its Dockerfile cannot reach the network",
        hint="check the network, its name servers and the proxy variables, also as containers see them: "
        "`docker run --rm IMAGE cat /etc/resolv.conf`{or_process}",
    ),
    _Cause(
        pattern=r"(?i)cannot connect to the docker daemon|error during connect",
        says="the Docker daemon does not answer",
        hint="start the Docker daemon and check that this user may use it{or_process}",
    ),
)


_DOCKERS_DISK = "see what uses Docker's disk with `docker system df`; `docker builder prune` empties its build cache"


def explain(
    subject: str,
    lines: Sequence[str],
    *,
    otherwise: str = "a step of its Dockerfile failed",
    disk_hint: str = _DOCKERS_DISK,
    or_process: str = "; or use --engine process",
) -> BuildError:
    """Return the error for a failed build of `subject` whose output was `lines`, oldest first.

    Its message is one line with the cause and, below it, the last lines of the failed step. Its hint is the remedy.
    When the cause is not known, the message says `otherwise`; when a disk is full, the hint is `disk_hint`.
    `or_process` ends the hints where another engine would do; it is empty for an image that only Docker can run.
    """
    text = "\n".join(_text(line) for line in lines)
    error, says, hint = BuildError, otherwise, "the lines above are the end of that step's output"
    for cause in _CAUSES:
        if match := re.search(cause.pattern, text):
            what = match[1] if match.groups() else ""
            error, says = cause.error, cause.says.format(what)
            hint = cause.hint.format(what, disk_hint=disk_hint, or_process=or_process)
            break
    else:
        says = ": ".join(filter(None, (otherwise, _last_words(lines))))
    shown = [f"    {_cut(line)}" for line in _failed_step(lines)[-_SHOWN_LINES:]]
    return error("\n".join([f"{subject} could not be built: {says}", *shown]), hint=hint)


def _cut(line: str) -> str:
    """A line of bounded length. The middle goes: BuildKit writes a long command first, and the cause at the end."""
    if len(line) <= _SHOWN_CHARACTERS:
        return line
    end = _SHOWN_CHARACTERS // 2
    return f"{line[: _SHOWN_CHARACTERS - end - 1]}…{line[-end:]}"


def _last_words(lines: Sequence[str]) -> str:
    """Why BuildKit could not run a step; empty where the step ran, and ended with an exit code."""
    found = [match[1] for line in lines if (match := re.search(r"failed running \[.*\]: (.+)$", line))]
    return "" if not found or found[-1].startswith("exit code:") else found[-1][:_SHOWN_CHARACTERS]


def _text(line: str) -> str:
    """A line without BuildKit's step number and time."""
    step = _STEP.match(line)
    return step["text"] if step else line


def _failed_step(lines: Sequence[str]) -> list[str]:
    """What the failed step printed; if nothing, the reason that BuildKit gives; if there is none, all lines."""
    steps = [step for line in lines if (step := _STEP.match(line))]
    failed = [step for step in steps if step["text"].startswith("ERROR: ")]
    if not failed:
        return [line for line in lines if line.strip()]
    number = failed[-1]["number"]
    printed = [step["text"] for step in steps if step["number"] == number and step["seconds"]]
    return [line for line in printed if line.strip()] or [failed[-1]["text"]]
