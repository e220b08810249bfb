"""What a container's user cannot read is named with the reason, before the job starts."""

import os

import pytest

from orchestrator.engines.base import EngineError
from orchestrator.engines.docker import readable

STRANGER = 54321


def check(*paths, user=STRANGER, group=STRANGER):
    readable.check(paths, user=user, group=group)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "code"
    (place / "common").mkdir(parents=True)
    (place / "common" / "bench.py").write_text("")
    (place / "link.py").symlink_to(place / "common" / "bench.py")
    for path in (place, place / "common"):
        path.chmod(0o755)
    (place / "common" / "bench.py").chmod(0o644)
    return place


def test_what_everybody_may_read_passes(folder):
    check(folder, folder / "common" / "bench.py", folder / "link.py")


@pytest.mark.parametrize(
    ("name", "mode"), [("common/bench.py", 0o640), ("common", 0o750), ("common", 0o754), (".", 0o700)]
)
def test_what_others_may_not_read_is_named_with_the_remedy(folder, name, mode):
    path = folder / name
    path.chmod(mode)
    with pytest.raises(EngineError) as caught:
        check(folder)
    assert caught.value.message == (
        f"{path.resolve()} cannot be read by user {STRANGER}, whom jobs run as in containers (mode 0{mode:o})"
    )
    assert caught.value.hint.startswith(f"run `chmod -R a+rX {folder.resolve()}`")
    check(folder, user=os.geteuid())  # its owner
    if mode & 0o050 == 0o050:
        check(folder, group=path.stat().st_gid)


def test_the_target_of_a_link_counts(folder, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("")
    secret.chmod(0o600)
    (folder / "to-secret").symlink_to(secret)
    with pytest.raises(EngineError, match=r"/secret cannot be read by user 54321.*mode 0600") as caught:
        check(folder)
    assert caught.value.hint.startswith(f"run `chmod -R a+rX {secret.resolve()}`")


def test_what_is_missing_is_left_to_the_daemon(tmp_path):
    check(tmp_path / "missing")
