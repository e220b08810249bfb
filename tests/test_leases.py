"""Programs that need the same file or folder wait for each other, and say for which program they wait."""

import logging
import os
import platform
import subprocess
import sys
import threading
import time

import pytest

from orchestrator import leases
from orchestrator.errors import DataError, HostError

HOLD = """
import sys, time
from pathlib import Path
from orchestrator import leases
with leases.awaited(Path(sys.argv[1]), "the thing"):
    print("held", flush=True)
    time.sleep(60)
"""


def holder_of(path, root):
    """Another program that holds the lease `path`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], cwd=root, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def other(root, tmp_path):
    process = holder_of(tmp_path / "a.lock", root)
    with process:
        yield process
        process.kill()


def test_who_waits_names_the_program_that_is_waited_for(other, tmp_path, caplog):
    threading.Timer(0.5, other.kill).start()  # the kernel ends the lease of a program that is killed
    with leases.awaited(tmp_path / "a.lock", "the thing"):
        pass
    (message,) = caplog.messages
    assert message.startswith(f"waiting for the thing, in use by process {other.pid} on {platform.node()}, since ")


def test_a_lease_that_nobody_holds_is_had_at_once(tmp_path, caplog):
    with leases.awaited(tmp_path / "new" / "a.lock", "the thing"):
        assert str(os.getpid()) in leases.holder(tmp_path / "new" / "a.lock")
    assert leases.holder(tmp_path / "new" / "a.lock") is None
    assert not caplog.messages


def test_only_one_of_many_has_it(tmp_path, caplog):
    caplog.set_level(logging.CRITICAL)
    inside, most = [], []

    def use():
        with leases.awaited(tmp_path / "a.lock", "the thing"):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=use) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert most == [1] * 5


def test_an_interruption_ends_the_wait(other, tmp_path, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(leases.signals, "check", interrupted)
    with pytest.raises(KeyboardInterrupt), leases.awaited(tmp_path / "a.lock", "the thing"):
        pytest.fail("another program holds it")


@pytest.mark.parametrize("kind", [HostError, DataError])
def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path, kind):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(kind, match=r"file/a\.lock cannot be written"),
        leases.awaited(tmp_path / "file" / "a.lock", "the thing", error=kind),
    ):
        pass
