"""orchestrator.datasets: what is used is whole, verified and labelled as what it is, or nothing is used."""

from __future__ import annotations

import http.server
import io
import json
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from orchestrator import activity
from orchestrator.errors import DataError
from orchestrator.inputs import data_sources, dataset_folder, datasets, download, npy, orders
from orchestrator.inputs.array_format import FILES, ArrayFormat
from orchestrator.inputs.dataset_folder import Dataset
from orchestrator.inputs.datasets import cifar10 as cifar10_module
from orchestrator.inputs.datasets import imdb as imdb_module
from orchestrator.inputs.draws import Draws

RECORDS = 20  # in each file of the small CIFAR-10 archive
Arrays = dict[str, np.ndarray]

# Written down once. A change means that a seed, or a stored dataset, no longer is what results were made with.
GOLDEN_BITS = [11018937893342733756, 2422850252181908660]
GOLDEN_OCTETS = [188, 229, 200]
GOLDEN_BELOW = [597, 131, 107]
GOLDEN_UNIFORM = ["0x1.31d643442d91cp-1", "0x1.0cfd8bbd8a254p-3"]
GOLDEN_NORMAL = ["0x1.ceea3b7b02bf0p+0", "-0x1.fe28f67182964p-2"]
GOLDEN_BATCH_ORDER = [[0, 9, 8, 4, 2, 5, 3, 1, 6, 7], [9, 5, 2, 6, 4, 8, 3, 1, 7, 0]]
GOLDEN_TRAIN_ORDER = [3, 2, 11, 7, 9, 6, 8, 5, 1, 0, 10, 4]
GOLDEN_TEST_ORDER = [2, 9, 5, 0, 8, 3, 6, 7, 10, 1, 11, 4]
GOLDEN_SYNTHETIC = {
    "cifar10": "73658856735018ac8352f7045a3a8d51d76041b37aaa275e24d5e785570a2f3d",
    "imdb": "f0514b7707b88413b03b9c0aa61ecda9256f3bd1e510aaa9627edccbf3a4e8fd",
}
GOLDEN_IMAGES = "320a9dca844e9f346342fa3e421344353924b0a6ad7c3880e33d018db0750e81"


class Server:
    """An HTTP server on 127.0.0.1 that can misbehave; `requests` are the Range headers it got."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str | None] = []
        self.honours_range = True
        self.stops_after: int | None = None  # bytes of a body, once
        self.status: int | None = None  # answer this and nothing else
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        self._thread = threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.requests.append(wanted)
        body = self.files.get(request.path.removeprefix("/"))
        if self.status or body is None:
            request.send_error(self.status or 404)
            return
        first = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.honours_range else 0
        if wanted and first >= len(body):
            request.send_error(416)
            return
        request.send_response(206 if first else 200)
        request.send_header("Content-Length", str(len(body) - first))
        if first:
            request.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        request.end_headers()
        stop, self.stops_after = self.stops_after, None
        request.wfile.write(body[first:][:stop])

    def close(self) -> None:
        self._httpd.shutdown()
        self._thread.join()
        self._httpd.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What a person is warned of."""
    return [record.getMessage() for record in caplog.records if "WARNING" in record.getMessage()]


def tar_gz(members: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def cifar10_members(records: int = RECORDS) -> list[tuple[str, bytes]]:
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    rows = np.frombuffer(Draws("test").octets(6 * records * 3073).tobytes(), np.uint8).reshape(6, records, 3073).copy()
    rows[:, :, 0] %= 10
    return [(f"cifar-10-batches-bin/{name}.bin", data.tobytes()) for name, data in zip(names, rows, strict=True)]


def offer(server: Server, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, **limits: int) -> None:
    """Let `server` have the official archive of `name`, which now is `data`."""
    module = {"cifar10": cifar10_module, "imdb": imdb_module}[name]
    read = partial(module.read, **({"records": RECORDS} if name == "cifar10" else {}), **limits)
    archive = replace(module.DATASET.archive, sha256=sha256(data).hexdigest(), read=read)
    monkeypatch.setattr(module, "DATASET", replace(module.DATASET, archive=archive))
    server.files[archive.file] = data


@pytest.fixture
def cifar10(server: Server, monkeypatch: pytest.MonkeyPatch) -> bytes:
    data = tar_gz(cifar10_members())
    offer(server, monkeypatch, "cifar10", data)
    return data


def load(prepared: Dataset) -> Arrays:
    return {file: np.load(path, allow_pickle=False) for file, path in prepared.files.items()}


def small_arrays(name: str = "cifar10", train: int = 30, test: int = 20) -> Arrays:
    wanted = datasets.labelled(name).format
    arrays = {}
    for split, count in (("train", train), ("test", test)):
        size = (count, *wanted.x_shape)
        x = Draws("x", split).below(wanted.x_values, int(np.prod(size))).reshape(size)
        arrays[f"x_{split}.npy"] = x.astype(wanted.x_dtype)
        arrays[f"y_{split}.npy"] = (np.arange(count) % wanted.classes).astype(np.int32)
    return arrays


def save(folder: Path, arrays: Arrays) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file, array in arrays.items():
        np.save(folder / file, array)
    return folder


def sample_set(x: np.ndarray, y: np.ndarray) -> list[tuple[bytes, int]]:
    return sorted((sample.tobytes(), int(label)) for sample, label in zip(x, y, strict=True))


# --- the official archives -------------------------------------------------------------------------------------


def test_the_official_cifar10_archive_becomes_arrays(server: Server, cifar10: bytes, tmp_path: Path) -> None:
    prepared = data_sources.prepare("cifar10", cache=tmp_path, base_url=server.url)
    assert (prepared.name, prepared.source, prepared.label) == ("cifar10", "official", "cifar10")
    assert prepared.origin == f"{server.url}/cifar-10-binary.tar.gz"
    arrays = load(prepared)
    assert {file: (str(a.dtype), a.shape) for file, a in arrays.items()} == {
        "x_train.npy": ("uint8", (100, 3, 32, 32)),
        "y_train.npy": ("int32", (100,)),
        "x_test.npy": ("uint8", (20, 3, 32, 32)),
        "y_test.npy": ("int32", (20,)),
    }
    assert dict(prepared.shapes) == {file: a.shape for file, a in arrays.items()}
    # a record is its label and then the red, green and blue planes, whatever its place in the stored order
    records = b"".join(data for _, data in cifar10_members()[:5])
    expected = sorted((records[i + 1 : i + 3073], records[i]) for i in range(0, len(records), 3073))
    assert sample_set(arrays["x_train.npy"], arrays["y_train.npy"]) == expected


def test_prepared_data_is_used_without_the_network(
    server: Server, cifar10: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = data_sources.prepare("cifar10", cache=tmp_path, base_url=server.url)
    server.requests.clear()
    for choice in ("auto", "real", "official"):
        caplog.clear()
        assert data_sources.resolve("cifar10", choice, cache=tmp_path, base_url=server.url) == first
        assert not caplog.records
    assert not server.requests


def test_the_imdb_archive_becomes_the_ids_of_keras(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reviews = [[1, 29_996, 29_997, 80_000], list(range(1, 150)), list(range(1, 151)), list(range(1, 301)), []]
    objects = np.empty(5, dtype=object)
    objects[:] = reviews
    labels = np.array([0, 1, 0, 1, 0])
    buffer = io.BytesIO()
    np.savez(buffer, x_train=objects, y_train=labels, x_test=objects[:2], y_test=labels[:2])
    offer(server, monkeypatch, "imdb", buffer.getvalue())
    arrays = load(data_sources.prepare("imdb", cache=tmp_path, base_url=server.url))

    def ids(review: list[int]) -> list[int]:  # what load_data(num_words=30000) returns, then the last 150, padded
        kept = [w if w < 30_000 else 2 for w in [1] + [rank + 3 for rank in review]][-150:]
        return kept + [0] * (150 - len(kept))

    found = {tuple(row): int(label) for row, label in zip(arrays["x_train.npy"], arrays["y_train.npy"], strict=True)}
    assert found == {tuple(ids(review)): int(label) for review, label in zip(reviews, labels, strict=True)}
    assert tuple([1, 4, 29_999, 2, 2] + [0] * 145) in found
    assert arrays["x_train.npy"].dtype == np.int32
    assert arrays["x_test.npy"].shape == (2, 150)


def test_nothing_is_unpickled_before_the_checksum_matched(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (ran,)

    buffer = io.BytesIO()
    np.savez(buffer, x_train=np.array([Evil()], dtype=object))
    offer(server, monkeypatch, "imdb", b"the official file")
    server.files["imdb.npz"] = buffer.getvalue()
    with pytest.raises(DataError, match="its SHA-256 is not"):
        data_sources.prepare("imdb", cache=tmp_path, base_url=server.url)
    assert not ran.exists()
    # the same pickle in an import is refused for being a pickle
    folder = save(tmp_path / "import", small_arrays("imdb"))
    np.save(folder / "x_test.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"x_test\.npy.*pickled"):
        data_sources.import_("imdb", folder, cache=tmp_path)
    assert not ran.exists()


def test_members_of_other_names_are_ignored_and_never_written(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hostile = [("../../escaped", b"x"), (f"{tmp_path}/escaped", b"x"), ("cifar-10-batches-bin/../up.bin", b"x")]
    offer(server, monkeypatch, "cifar10", tar_gz(hostile + cifar10_members()))
    prepared = data_sources.prepare("cifar10", cache=tmp_path / "a" / "b", base_url=server.url)
    assert sorted(path.name for path in prepared.folder.iterdir()) == sorted([*FILES, "dataset.json"])
    assert not [path for path in tmp_path.rglob("*") if "escaped" in path.name or path.name == "up.bin"]


def link_instead(members: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo(members[0][0])
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("archive", "says"),
    [
        (tar_gz(cifar10_members()[:-1]), "test_batch.bin is missing"),
        (tar_gz(cifar10_members(RECORDS - 1)), "data_batch_1.bin is not one file of 61,460 bytes"),
        (tar_gz(cifar10_members()[:1] * 2), "data_batch_1.bin is not one file"),
        (link_instead(cifar10_members()), "data_batch_1.bin is not one file"),
        (tar_gz(cifar10_members())[:5000], "cannot be read"),
        (b"<html>please log in</html>", "cannot be read"),
        (b"", "cannot be read"),
    ],
    ids=["member missing", "short member", "twice", "link", "truncated", "no archive", "empty"],
)
def test_a_malformed_archive_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, archive: bytes, says: str
) -> None:
    offer(server, monkeypatch, "cifar10", archive)  # with the right checksum: the reader itself must be careful
    with pytest.raises(DataError, match=says):
        data_sources.prepare("cifar10", cache=tmp_path, base_url=server.url)
    assert data_sources.ls(tmp_path) == []


def test_an_archive_that_unpacks_to_too_much_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bomb = tar_gz([("bomb", bytes(1_000_001)), *cifar10_members()])
    offer(server, monkeypatch, "cifar10", bomb, largest=1_000_000)
    with pytest.raises(DataError, match="unpacks to more than 1,000,000 bytes"):
        data_sources.prepare("cifar10", cache=tmp_path, base_url=server.url)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x_train=np.zeros(1_000_001, np.uint8))
    offer(server, monkeypatch, "imdb", buffer.getvalue(), largest=1_000_000)
    with pytest.raises(DataError, match="unpacks to more than 1,000,000 bytes"):
        data_sources.prepare("imdb", cache=tmp_path, base_url=server.url)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_archive_never_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    archive = bytearray(tar_gz(cifar10_members(1)))
    for _ in range(data.draw(st.integers(1, 5))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "archive"
    path.write_bytes(archive[: data.draw(st.integers(0, len(archive)))])
    for read in (partial(cifar10_module.read, records=1), imdb_module.read):
        try:
            arrays = read(path)
        except DataError:
            continue
        assert arrays["x_train.npy"].shape == (5, 3, 32, 32)


# --- downloads -------------------------------------------------------------------------------------------------


def fetch(server: Server, tmp_path: Path, data: bytes, **limits: int) -> Path:
    path = tmp_path / "file.bin"
    download.fetch(f"{server.url}/file.bin", path, sha256=sha256(data).hexdigest(), **limits)
    assert path.read_bytes() == data
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]
    return path


@pytest.fixture
def body(server: Server) -> bytes:
    data = Draws("body").octets(300_000).tobytes()
    server.files["file.bin"] = data
    return data


def test_a_broken_download_is_continued(server: Server, body: bytes, tmp_path: Path) -> None:
    server.stops_after = 200_000
    with pytest.raises(download.DownloadError, match=r"broke"):
        fetch(server, tmp_path, body)
    assert (tmp_path / "file.bin.part").read_bytes() == body[: (tmp_path / "file.bin.part").stat().st_size]
    have = (tmp_path / "file.bin.part").stat().st_size
    assert have > 100_000
    fetch(server, tmp_path, body)
    assert server.requests == [None, f"bytes={have}-"]
    fetch(server, tmp_path, body)
    assert len(server.requests) == 2  # what is there is verified, not fetched again


def test_a_server_that_ignores_ranges_restarts_cleanly(server: Server, body: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(body[:1000])
    server.honours_range = False
    fetch(server, tmp_path, body)
    assert server.requests == ["bytes=1000-"]


def test_a_part_that_is_no_beginning_of_the_file_is_thrown_away(server: Server, body: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(body + b"more")  # the server answers 416
    fetch(server, tmp_path, body)
    assert server.requests == [f"bytes={len(body) + 4}-", None]


def test_a_wrong_part_is_noticed_and_the_next_call_starts_anew(server: Server, body: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(b"X" * 1000)
    with pytest.raises(download.DownloadError, match="SHA-256"):
        fetch(server, tmp_path, body)
    assert list(tmp_path.iterdir()) == []
    fetch(server, tmp_path, body)


def test_a_download_reports_how_far_it_is(server: Server, body: bytes, tmp_path: Path) -> None:
    heard: list[activity.Activity | None] = []
    with activity.heard(heard.append):
        fetch(server, tmp_path, body)
    told = [each for each in heard if each]
    assert {(each.what, each.total, each.unit) for each in told} == {
        ("downloading file.bin", len(body), activity.BYTES)
    }
    assert (told[0].done, told[-1].done) == (0, len(body))
    assert [each.done for each in told] == sorted(each.done for each in told)
    assert heard[-1] is None


def test_a_damaged_file_is_fetched_again(server: Server, body: bytes, tmp_path: Path) -> None:
    path = fetch(server, tmp_path, body)
    path.write_bytes(body[:-1] + b"!")
    fetch(server, tmp_path, body)


def test_a_download_never_fills_the_disk(server: Server, body: bytes, tmp_path: Path) -> None:
    with pytest.raises(download.DownloadError, match="larger than 100,000 bytes"):
        fetch(server, tmp_path, body, largest=100_000)
    assert (tmp_path / "file.bin.part").stat().st_size <= 100_000


def test_a_server_error_says_which(server: Server, tmp_path: Path) -> None:
    server.status = 503
    with pytest.raises(download.DownloadError, match=r"127\.0\.0\.1:\d+ answered 503 Service Unavailable"):
        fetch(server, tmp_path, b"")
    assert list(tmp_path.iterdir()) == []


def unused_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


# --- resolve ---------------------------------------------------------------------------------------------------


@pytest.fixture
def small_synthetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let full size be small."""
    for module in (cifar10_module, imdb_module):
        small = replace(module.DATASET.format, train=40, test=20)
        monkeypatch.setattr(module, "DATASET", replace(module.DATASET, format=small))


@pytest.mark.usefixtures("small_synthetic")
def test_auto_without_a_network_is_synthetic_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepared = data_sources.resolve("cifar10", "auto", cache=tmp_path, base_url=unused_url())
    assert prepared.label == "cifar10 (synthetic)"
    (warning,) = warnings_in(caplog)
    for part in ("SYNTHETIC", "cannot be reached", "never compare", "rosetta data import cifar10"):
        assert part in warning


@pytest.mark.usefixtures("small_synthetic")
def test_auto_with_a_server_that_sends_something_else_is_synthetic_and_says_why(
    server: Server, cifar10: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.files["cifar-10-binary.tar.gz"] = b"<html>please log in</html>"
    prepared = data_sources.resolve("cifar10", "auto", cache=tmp_path, base_url=server.url)
    assert prepared.source == "synthetic"
    assert "its SHA-256 is not" in warnings_in(caplog)[0]


@pytest.mark.parametrize("choice", ["real", "official"])
def test_real_without_a_network_is_an_error_with_the_remedy(tmp_path: Path, choice: data_sources.DatasetChoice) -> None:
    with pytest.raises(DataError, match="cannot be reached") as caught:
        data_sources.resolve("imdb", choice, cache=tmp_path, base_url=unused_url())
    assert "rosetta data import imdb PATH" in caught.value.hint
    assert str(tmp_path / "downloads" / "imdb.npz") in caught.value.hint


def test_an_archive_put_in_place_by_hand_is_used_offline(cifar10: bytes, tmp_path: Path) -> None:
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "cifar-10-binary.tar.gz").write_bytes(cifar10)
    prepared = data_sources.resolve("cifar10", "real", cache=tmp_path, base_url=unused_url())
    assert prepared.label == "cifar10"


def test_imported_data_comes_before_a_download_and_after_official_data(
    server: Server, cifar10: bytes, tmp_path: Path
) -> None:
    resolve = partial(data_sources.resolve, "cifar10", cache=tmp_path, base_url=server.url)
    with pytest.raises(DataError, match="no cifar10 was imported"):
        resolve("imported")
    data_sources.import_("cifar10", save(tmp_path / "mine", small_arrays()), cache=tmp_path)
    assert [resolve(choice).label for choice in ("auto", "real", "imported")] == ["cifar10 (imported)"] * 3
    assert not server.requests
    assert resolve("official").label == "cifar10"
    assert [resolve(choice).source for choice in ("auto", "real", "imported")] == ["official", "official", "imported"]


def test_an_unknown_dataset_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mnist") as caught:
        data_sources.resolve("mnist", "auto", cache=tmp_path)
    assert "cifar10, imdb" in caught.value.hint


# --- imports ---------------------------------------------------------------------------------------------------


OF_ARRAYS = [name for name in datasets.labelled_names() if isinstance(datasets.labelled(name).format, ArrayFormat)]


@pytest.mark.parametrize("name", OF_ARRAYS)
def test_an_import_holds_the_same_samples_in_the_stored_order(tmp_path: Path, name: str) -> None:
    arrays = small_arrays(name)
    prepared = data_sources.import_(name, save(tmp_path / "mine", arrays), cache=tmp_path)
    assert prepared.label == f"{name} (imported)"
    assert prepared.origin == str(tmp_path / "mine")
    stored = load(prepared)
    for split in ("train", "test"):
        x, y = f"x_{split}.npy", f"y_{split}.npy"
        assert sample_set(stored[x], stored[y]) == sample_set(arrays[x], arrays[y])
        assert stored[y].tolist() != arrays[y].tolist()
        assert stored[y].dtype == np.int32


def test_the_stored_order_never_changes(tmp_path: Path) -> None:
    arrays = small_arrays("imdb", train=12, test=12)
    for split in ("train", "test"):
        arrays[f"x_{split}.npy"][:, 0] = np.arange(12)
    stored = load(data_sources.import_("imdb", save(tmp_path / "mine", arrays), cache=tmp_path))
    assert stored["x_train.npy"][:, 0].tolist() == GOLDEN_TRAIN_ORDER
    assert stored["x_test.npy"][:, 0].tolist() == GOLDEN_TEST_ORDER


def test_a_prefix_of_a_sorted_import_is_a_fair_sample(tmp_path: Path) -> None:
    arrays = small_arrays("imdb", train=4000, test=20)
    arrays["y_train.npy"].sort()
    stored = load(data_sources.import_("imdb", save(tmp_path / "mine", arrays), cache=tmp_path))
    assert 0.4 < stored["y_train.npy"][:400].mean() < 0.6


def test_a_new_import_replaces_the_old_one(tmp_path: Path) -> None:
    first = data_sources.import_("cifar10", save(tmp_path / "one", small_arrays()), cache=tmp_path)
    second = data_sources.import_("cifar10", save(tmp_path / "two", small_arrays(train=17)), cache=tmp_path)
    assert second.folder == first.folder
    assert second.fingerprint != first.fingerprint
    assert [prepared.shapes["y_train.npy"] for prepared in data_sources.ls(tmp_path)] == [(17,)]


def test_arrays_in_fortran_order_and_labels_of_any_integer_type_are_welcome(tmp_path: Path) -> None:
    arrays = small_arrays()
    plain = data_sources.import_("cifar10", save(tmp_path / "mine", arrays), cache=tmp_path)
    arrays["x_train.npy"] = np.asfortranarray(arrays["x_train.npy"])
    arrays["y_test.npy"] = arrays["y_test.npy"].astype(">u8")
    assert data_sources.import_("cifar10", save(tmp_path / "mine", arrays), cache=tmp_path) == plain


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("x_train.npy", lambda x: x.astype(np.float32), r"float32 \(30, 3, 32, 32\), wanted uint8 \(n, 3, 32, 32\)"),
        ("x_test.npy", lambda x: x.transpose(0, 2, 1, 3), r"uint8 \(20, 32, 3, 32\), wanted uint8 \(n, 3, 32, 32\)"),
        ("y_train.npy", lambda y: y + 1, "values from 1 to 10, wanted 0 to 9"),
        ("y_train.npy", lambda y: y - 1, "values from -1 to 8, wanted 0 to 9"),
        ("y_test.npy", lambda y: y.astype(np.float64), r"float64 \(20,\), wanted integer \(n,\)"),
        ("y_test.npy", lambda y: np.stack([y, y], axis=1), r"int32 \(20, 2\), wanted integer \(n,\)"),
        ("y_test.npy", lambda y: y[:-1], "x_test.npy holds 20 samples, but y_test.npy 19 labels"),
        ("x_train.npy", lambda x: x[:0], "no samples"),
        ("x_train.npy", lambda _: np.uint8(3), r"uint8 \(\), wanted"),
    ],
)
def test_an_import_of_something_else_is_refused(
    tmp_path: Path, file: str, change: Callable[[np.ndarray], np.ndarray], says: str
) -> None:
    arrays = small_arrays()
    arrays[file] = change(arrays[file])
    folder = save(tmp_path / "mine", arrays)
    with pytest.raises(DataError, match=says) as caught:
        data_sources.import_("cifar10", folder, cache=tmp_path)
    assert str(folder) in caught.value.message
    assert file in caught.value.message
    assert data_sources.ls(tmp_path) == []


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (Path.unlink, "is missing"),
        (lambda path: path.write_bytes(b""), "not a NumPy array file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has 147 bytes where its header promises 148"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "has 149 bytes where its header promises 148"),
        (lambda path: path.write_text("1\n2\n"), "not a NumPy array file"),
    ],
)
def test_a_damaged_import_is_refused_by_name(tmp_path: Path, damage: Callable[[Path], object], says: str) -> None:
    folder = save(tmp_path / "mine", small_arrays(test=5))
    damage(folder / "y_test.npy")
    with pytest.raises(DataError, match=says) as caught:
        data_sources.import_("cifar10", folder, cache=tmp_path)
    assert str(folder / "y_test.npy") in caught.value.message
    assert "uint8 (n, 3, 32, 32)" in caught.value.hint


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin-1")


HOSTILE = st.one_of(
    st.binary(max_size=200),
    st.text(st.characters(max_codepoint=255), max_size=100).map(header),
    st.builds(
        lambda descr, shape, order, tail: header(repr({"descr": descr, "fortran_order": order, "shape": shape})) + tail,
        st.sampled_from(["<i4", "|u1", "|O", "<f8", "<M8[s]", "", "nonsense", "|V0", "<U4", [("a", "<i4")], 7]),
        st.one_of(
            st.tuples(st.integers(-3, 5)),
            st.tuples(st.integers(0, 2**70), st.integers(0, 2**40)),
            st.just(()),
            st.none(),
            st.lists(st.integers(0, 3), max_size=40).map(tuple),
        ),
        st.booleans(),
        st.binary(max_size=64),
    ),
)


@settings(max_examples=300, deadline=None)
@given(HOSTILE)
def test_a_hostile_npy_file_is_an_array_or_a_value_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.npy"
    path.write_bytes(content)
    try:
        array = npy.open_array(path)
    except ValueError:
        return
    assert array.nbytes <= len(content)
    assert not array.dtype.hasobject
    np.testing.assert_array_equal(array, np.load(path, allow_pickle=False))


# --- prepared folders ------------------------------------------------------------------------------------------


def small(tmp_path: Path, seed: int = 0) -> Dataset:
    return data_sources.synthesise("imdb", seed=seed, cache=tmp_path, sizes=(20, 10))


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def replace_by_link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".moved"))


@pytest.mark.parametrize(
    ("file", "damage", "says"),
    [
        ("x_train.npy", flip_last_byte, "no longer holds what was written"),
        ("y_test.npy", lambda path: path.write_bytes(path.read_bytes()[:-4]), "has 164 bytes instead of 168"),
        ("y_test.npy", Path.unlink, "is missing"),
        ("y_test.npy", replace_by_link, "is missing"),
        ("dataset.json", Path.unlink, "cannot be read as the description"),
        ("dataset.json", lambda path: path.write_text("{"), "cannot be read as the description"),
        ("dataset.json", lambda path: path.write_text("[" * 50_000), "cannot be read as the description"),
        ("dataset.json", lambda path: edit(path, schema=2), "another version of this program"),
        ("dataset.json", lambda path: edit(path, name="cifar10"), "describes another dataset"),
        ("dataset.json", lambda path: edit(path, source="official"), "describes another dataset"),
        ("dataset.json", lambda path: edit(path, fingerprint="0" * 64), "describes another dataset"),
        ("dataset.json", lambda path: edit(path, files={}), "describes another dataset"),
    ],
)
def test_a_damaged_folder_is_refused_by_name(
    tmp_path: Path, file: str, damage: Callable[[Path], object], says: str
) -> None:
    prepared = small(tmp_path)
    damage(prepared.folder / file)
    with pytest.raises(DataError, match=says) as caught:
        small(tmp_path)
    assert str(prepared.folder / file) in caught.value.message
    assert f"Delete {prepared.folder}" in caught.value.hint


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_description_cannot_point_outside_its_folder(tmp_path: Path) -> None:
    prepared = small(tmp_path)
    manifest = json.loads((prepared.folder / "dataset.json").read_text())
    (tmp_path / "datasets" / "outside.npy").write_bytes((prepared.folder / "y_test.npy").read_bytes())
    manifest["files"]["../outside.npy"] = manifest["files"].pop("y_test.npy")
    files = {
        name: dataset_folder.ArrayFile(**{**facts, "shape": tuple(facts["shape"])})
        for name, facts in manifest["files"].items()
    }
    edit(prepared.folder / "dataset.json", files=manifest["files"], fingerprint=dataset_folder.fingerprint_of(files))
    with pytest.raises(DataError, match=r"outside\.npy"):
        small(tmp_path)


def test_the_remedy_for_official_and_imported_data_is_named(
    server: Server, cifar10: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    resolve = partial(data_sources.resolve, "cifar10", cache=tmp_path, base_url=server.url)
    imported = data_sources.import_("cifar10", save(tmp_path / "mine", small_arrays()), cache=tmp_path)
    flip_last_byte(imported.files["x_test.npy"])
    with pytest.raises(DataError) as caught:
        resolve("auto")
    assert "rosetta data import cifar10 PATH" in caught.value.hint
    prepared = resolve("official")
    flip_last_byte(prepared.files["x_test.npy"])
    with pytest.raises(DataError) as caught:
        resolve("auto")
    assert "rosetta data prepare cifar10" in caught.value.hint
    assert data_sources.prepare("cifar10", cache=tmp_path, base_url=server.url) == prepared
    assert "x_test.npy no longer holds what was written" in caplog.text
    assert resolve("auto") == prepared


def test_a_killed_writer_leaves_nothing_that_is_used(tmp_path: Path) -> None:
    folder = dataset_folder.folder_of(tmp_path, "imdb", "imported")
    leftover = folder.with_name(f".{folder.name}.0a1b2c.tmp")
    leftover.mkdir(parents=True)
    (leftover / "x_train.npy").write_bytes(b"half")
    assert data_sources.ls(tmp_path) == []
    data_sources.import_("imdb", save(tmp_path / "mine", small_arrays("imdb")), cache=tmp_path)
    assert not leftover.exists()


def test_a_folder_is_made_once_however_many_want_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def slow_imdb(*arguments: int, make: Callable[..., Arrays] = imdb_module.synthesise) -> Arrays:
        made.append(arguments)
        time.sleep(0.1)
        return make(*arguments)

    monkeypatch.setattr(imdb_module, "DATASET", replace(imdb_module.DATASET, synthesise=slow_imdb))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(small, [tmp_path] * 4))
    assert made == [(0, 20, 10)]
    assert found == [found[0]] * 4


def test_a_cache_that_cannot_be_written_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(DataError, match="cannot be written") as caught:
        small(tmp_path / "cache")
    assert "ROSETTA_CACHE" in caught.value.hint


def test_ls_names_what_is_there(tmp_path: Path) -> None:
    assert data_sources.ls(tmp_path) == []
    small(tmp_path)
    data_sources.generate("images", 0, {"batches": 1, "batch": 1}, cache=tmp_path)
    assert [prepared.label for prepared in data_sources.ls(tmp_path)] == ["uniform noise", "imdb (synthetic)"]


# --- what is generated -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_ARRAYS)
def test_synthetic_data_is_well_formed_and_the_same_for_ever(tmp_path: Path, name: str) -> None:
    prepared = data_sources.synthesise(name, seed=0, cache=tmp_path, sizes=(60, 30))
    arrays = load(prepared)
    assert [len(arrays[file]) for file in FILES] == [60, 60, 30, 30]
    assert arrays["x_train.npy"].dtype == datasets.labelled(name).format.x_dtype
    assert len(np.unique(arrays["y_train.npy"])) == datasets.labelled(name).format.classes
    assert prepared.fingerprint == GOLDEN_SYNTHETIC[name]
    assert data_sources.synthesise(name, seed=1, cache=tmp_path, sizes=(60, 30)).fingerprint != prepared.fingerprint


def test_synthetic_reviews_look_like_the_real_ones(tmp_path: Path) -> None:
    x = load(data_sources.synthesise("imdb", seed=0, cache=tmp_path, sizes=(2000, 10)))["x_train.npy"]
    assert x.min() == 0
    assert x.max() < 30_000
    padded = (x == 0).any(axis=1)
    assert 0.2 < padded.mean() < 0.5
    first_pad = np.where(padded, (x == 0).argmax(axis=1), 150)
    assert ((np.arange(150) >= first_pad[:, None]) == (x == 0)).all()  # all padding is at the end
    assert (x[padded, 0] == 1).all()  # what was not cut begins with the start id
    counts = np.bincount(x.ravel(), minlength=14)[4:14]
    assert (np.diff(counts[:5]) < 0).all()  # Zipf: 4 is the most frequent word


def test_a_linear_model_learns_the_synthetic_reviews_but_not_perfectly(tmp_path: Path) -> None:
    """The sentiment is in the words: their log odds, counted on the training set, predict the test set."""
    arrays = load(data_sources.synthesise("imdb", seed=0, cache=tmp_path, sizes=(4000, 1000)))
    counts = np.ones((2, 30_000))
    for label in (0, 1):
        counts[label] += np.bincount(arrays["x_train.npy"][arrays["y_train.npy"] == label].ravel(), minlength=30_000)
    odds = np.log(counts[1] / counts[1].sum()) - np.log(counts[0] / counts[0].sum())
    odds[:4] = 0
    predicted = odds[arrays["x_test.npy"]].sum(axis=1) > 0
    assert 0.65 < (predicted == arrays["y_test.npy"]).mean() < 0.97


def test_colours_alone_tell_something_about_the_synthetic_classes(tmp_path: Path) -> None:
    arrays = load(data_sources.synthesise("cifar10", seed=0, cache=tmp_path, sizes=(3000, 1000)))
    means = {split: arrays[f"x_{split}.npy"].mean(axis=(2, 3)) for split in ("train", "test")}
    nearest = [np.abs(means["train"] - mean).sum(axis=1).argpartition(15)[:15] for mean in means["test"]]
    votes = np.array([np.bincount(arrays["y_train.npy"][near], minlength=10).argmax() for near in nearest])
    assert 0.2 < (votes == arrays["y_test.npy"]).mean() < 0.9


def test_images_are_uniform_and_a_prefix_of_more(tmp_path: Path) -> None:
    two = data_sources.generate("images", 3, {"batches": 2, "batch": 2}, cache=tmp_path)
    x = np.load(two.files["images.npy"], allow_pickle=False)
    assert (x.dtype, x.shape) == (np.float32, (2, 2, 3, 224, 224))
    assert 0 <= x.min() < 0.001
    assert 0.999 < x.max() < 1
    assert abs(x.mean() - 0.5) < 0.002
    assert abs(x.var() - 1 / 12) < 0.001
    one = np.load(
        data_sources.generate("images", 3, {"batches": 1, "batch": 2}, cache=tmp_path).files["images.npy"],
        allow_pickle=False,
    )
    np.testing.assert_array_equal(one[0], x[0])
    assert two.label == "uniform noise"
    assert two.fingerprint == GOLDEN_IMAGES
    assert data_sources.generate("images", 4, {"batches": 2, "batch": 2}, cache=tmp_path).fingerprint != two.fingerprint


# --- orders and draws ------------------------------------------------------------------------------------------


def order_of(seed: int, epochs: int, samples: int) -> NDArray[np.int32]:
    return np.concatenate(list(orders.by_epoch(seed, epochs, samples)))


def test_the_batch_order_never_changes() -> None:
    order = order_of(7, 2, 10)
    assert order.dtype == np.int32
    assert order.tolist() == GOLDEN_BATCH_ORDER


@given(st.integers(0, 2**63), st.integers(1, 4), st.integers(1, 300))
def test_every_epoch_is_a_permutation_and_longer_trainings_begin_alike(seed: int, epochs: int, samples: int) -> None:
    order = order_of(seed, epochs, samples)
    assert (np.sort(order, axis=1) == np.arange(samples)).all()
    np.testing.assert_array_equal(order_of(seed, epochs + 1, samples)[:epochs], order)


def test_seeds_and_epochs_give_different_orders() -> None:
    found = {tuple(row) for seed in range(5) for row in order_of(seed, 4, 50).tolist()}
    assert len(found) == 20


def test_draws_never_change() -> None:
    assert Draws("golden", 1).bits(2).tolist() == GOLDEN_BITS
    assert Draws("golden", 1).octets(3).tolist() == GOLDEN_OCTETS
    assert Draws("golden", 1).below(1000, 3).tolist() == GOLDEN_BELOW
    assert [value.hex() for value in Draws("golden", 1).uniform(2).tolist()] == GOLDEN_UNIFORM
    assert [value.hex() for value in Draws("golden", 1).normal(2).tolist()] == GOLDEN_NORMAL


def test_draws_have_the_moments_they_should() -> None:
    normal = Draws("moments").normal(200_001)
    assert len(normal) == 200_001
    assert abs(normal.mean()) < 0.01
    assert abs(normal.var() - 1) < 0.01
    assert abs((normal**4).mean() - 3) < 0.1
    assert np.bincount(Draws("moments").below(7, 70_000)).min() > 9_600
    assert len(Draws("moments").normal(0)) == 0
