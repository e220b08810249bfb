"""Arrays that a job sends: what is kept of them, and what is refused."""

import base64
import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.record.artifacts import MAX_BYTES, PART, Artifacts
from orchestrator.record.events import Artifact, Violation


def event(data=b"four", name="a.npy", dtype="uint8", shape=None, sha256=None):
    return Artifact(
        event="artifact", seq=2, t=1.0, name=name, dtype=dtype, shape=[len(data)] if shape is None else shape,
        sha256=sha256 or hashlib.sha256(data).hexdigest(),
    )  # fmt: skip


def part(data):
    return json.dumps({"part": base64.b64encode(data).decode()}, separators=(",", ":")).encode()


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64", "float32", "float64"])
def test_an_array_comes_out_as_it_was_sent(tmp_path, dtype):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    data = array.tobytes()
    artifacts = Artifacts(tmp_path / "output")
    artifacts.begin(event(data, dtype=dtype, shape=[2, 3, 4]))
    for first in range(0, len(data), 7):
        assert part(data[first : first + 7]).startswith(PART)
        artifacts.add(part(data[first : first + 7]))
    artifacts.check_whole()
    kept = np.load(tmp_path / "output" / "a.npy")
    assert (kept.dtype, kept.tolist()) == (array.dtype, array.tolist())
    assert names(tmp_path / "output") == ["a.npy"]


@pytest.mark.parametrize("shape", [[], [0], [3, 0, 2]])
def test_one_value_and_no_value_are_arrays_too(tmp_path, shape):
    data = bytes(int(np.prod(shape)))
    artifacts = Artifacts(tmp_path / "output")
    artifacts.begin(event(data, shape=shape))
    if data:
        artifacts.add(part(data))
    artifacts.check_whole()
    assert np.load(tmp_path / "output" / "a.npy").shape == tuple(shape)


def test_there_is_no_folder_without_an_artifact(tmp_path):
    Artifacts(tmp_path / "output").close()
    assert not (tmp_path / "output").exists()


def test_what_is_cut_off_is_not_kept(tmp_path):
    artifacts = Artifacts(tmp_path / "output")
    artifacts.begin(event(b"four"))
    artifacts.add(part(b"ab"))
    with pytest.raises(Violation, match=r"2 bytes of artifact 'a\.npy' are missing"):
        artifacts.check_whole()
    artifacts.close()
    assert names(tmp_path / "output") == []


@pytest.mark.parametrize(
    "line", [b'{"part":"', b'{"part":"?"}', b'{"part":""}', b'{"part":"Zm91cg=="} ', part(b"fifth")]
)
def test_a_part_that_is_none_is_refused(tmp_path, line):
    artifacts = Artifacts(tmp_path / "output")
    artifacts.begin(event(b"four"))
    with pytest.raises(Violation, match="a part"):
        artifacts.add(line)
    artifacts.close()
    assert names(tmp_path / "output") == []


def test_all_artifacts_of_a_job_are_bounded_before_their_bytes_come(tmp_path):
    artifacts = Artifacts(tmp_path / "output")
    artifacts.begin(event(b"four"))
    artifacts.add(part(b"four"))
    with pytest.raises(Violation, match="more than 64 MiB"):
        artifacts.begin(event(b"", name="b.npy", shape=[MAX_BYTES - 3]))
    with pytest.raises(Violation, match="more than 64 MiB"):
        artifacts.begin(event(b"", name="c.npy", dtype="float64", shape=[10**9] * 16))


@pytest.mark.parametrize("name", ["../a.npy", "/a.npy", ".npy", ".a.npy", "a", "a.npy/b.npy", "a\x00.npy", "a\n.npy"])
def test_a_name_is_a_name_and_no_path(name):
    with pytest.raises(ValueError, match="name"):
        event(name=name)


@given(st.lists(st.one_of(st.binary(max_size=20), st.binary(max_size=20).map(part)), max_size=20))
def test_any_lines_leave_only_what_was_announced(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("any") / "output"
    artifacts = Artifacts(folder)
    artifacts.begin(event(b"four"))
    try:
        for line in lines:
            artifacts.add(line)
    except Violation:
        pass
    artifacts.close()
    assert names(folder) in ([], ["a.npy"])
