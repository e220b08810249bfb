"""Copies of data sets in public layouts: each gives the same samples, and no hostile file does anything but fail."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import pickletools
import re
import socket
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from orchestrator.errors import DataError
from orchestrator.inputs import data_sources, dataset_folder
from orchestrator.inputs.dataset_folder import Dataset
from orchestrator.inputs.datasets import cifar10 as cifar10_module
from orchestrator.inputs.datasets import imdb as imdb_module
from orchestrator.inputs.draws import Draws
from orchestrator.inputs.layouts import file_tree, plain_pickle, tar_stream

Arrays = dict[str, np.ndarray]
Files = dict[str, bytes]
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
TRAIN, TEST = 50, 20  # samples of the small CIFAR-10


def cifar_arrays() -> Arrays:
    arrays = {}
    for split, count in (("train", TRAIN), ("test", TEST)):
        pixels = Draws("layouts", split).octets(count * 3072)
        arrays[f"x_{split}"] = np.frombuffer(pixels.tobytes(), np.uint8).reshape(count, 3, 32, 32)
        arrays[f"y_{split}"] = np.arange(count) % 10
    return arrays


def batches() -> dict[str, tuple[np.ndarray, list[int]]]:
    arrays = cifar_arrays()
    x = [*np.split(arrays["x_train"], 5), arrays["x_test"]]
    y = [*np.split(arrays["y_train"], 5), arrays["y_test"]]
    return {name: (a.reshape(-1, 3072), b.tolist()) for name, a, b in zip(BATCHES, x, y, strict=True)}


def python_batches(protocol: int = 2) -> Files:
    return {
        f"cifar-10-batches-py/{name}": pickle.dumps(
            {b"batch_label": b"1 of 5", b"labels": y, b"data": x, b"filenames": [b"a.png"] * len(y)}, protocol
        )
        for name, (x, y) in batches().items()
    }


def python_2_batches() -> Files:
    """The very instructions that the official batches consist of, which Python 2 wrote."""
    files = {}
    for name, (x, y) in batches().items():
        labels = b"".join(b"K" + bytes([label]) for label in y)
        array = (
            b"cnumpy.core.multiarray\n_reconstruct\nq\x04cnumpy\nndarray\nq\x05K\x00\x85U\x01b\x87Rq\x06"
            b"(K\x01K" + bytes([len(y)]) + b"M\x00\x0c\x86cnumpy\ndtype\nq\x07U\x02u1K\x00K\x01\x87Rq\x08"
            b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
            + struct.pack("<i", x.nbytes)
            + x.tobytes()
            + b"tb"
        )
        files[f"cifar-10-batches-py/{name}"] = (
            b"\x80\x02}q\x01(U\x0bbatch_labelU\x04testU\x06labelsq\x02](" + labels + b"eU\x04dataq\x03" + array + b"u."
        )
    return files


def binary_batches() -> Files:
    return {
        f"cifar-10-batches-bin/{name}.bin": np.column_stack([np.array(y, np.uint8), x]).tobytes()
        for name, (x, y) in batches().items()
    }


def image_file(pixels: np.ndarray, form: str = "PNG", mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).convert(mode).save(
        buffer, form, **({"quality": 95} if form == "JPEG" else {})
    )
    return buffer.getvalue()


def class_folders(form: str = "PNG", classes: tuple[str, ...] = cifar10_module.CLASSES) -> Files:
    arrays = cifar_arrays()
    return {
        f"{split}/{classes[label]}/{number:04}.{form.lower()}": image_file(x, form)
        for split in ("train", "test")
        for number, (x, label) in enumerate(zip(arrays[f"x_{split}"], arrays[f"y_{split}"], strict=True))
    }


def npz(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def keras_npz() -> bytes:
    """What load_data returns: channels last, and a column of labels."""
    return npz({key: a.transpose(0, 2, 3, 1) if key[0] == "x" else a[:, None] for key, a in cifar_arrays().items()})


def write_files(folder: Path, files: Files) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def tar_of(
    files: Files, mode: str = "w:gz", others: tuple[tarfile.TarInfo, ...] = (), form: int = tarfile.GNU_FORMAT
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:
        for other in others:
            archive.addfile(other)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zip_of(files: Files) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def load(prepared: Dataset) -> Arrays:
    return {file.removesuffix(".npy"): np.load(path) for file, path in prepared.files.items()}


def sample_set(arrays: Arrays, split: str) -> list[tuple[bytes, int]]:
    return sorted((x.tobytes(), int(y)) for x, y in zip(arrays[f"x_{split}"], arrays[f"y_{split}"], strict=True))


def import_cifar(path: Path, tmp_path: Path) -> Dataset:
    return data_sources.import_("cifar10", path, cache=tmp_path / "cache")


def import_imdb(path: Path, tmp_path: Path) -> Dataset:
    return data_sources.import_("imdb", path, cache=tmp_path / "cache")


# --- CIFAR-10 --------------------------------------------------------------------------------------------------

LAYOUTS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "npy": ("NumPy arrays", lambda tmp: [np.save(tmp / f"{key}.npy", a) for key, a in cifar_arrays().items()] and tmp),
    "npz": ("NumPy arrays", lambda tmp: write(tmp / "cifar10.npz", npz(cifar_arrays()))),
    "npz of Keras": ("NumPy arrays", lambda tmp: write(tmp / "cifar10.npz", keras_npz())),
    "python 2 archive": ("python batches", lambda tmp: write(tmp / "cifar-10-python.tar.gz", tar_of(python_2_batches()))),
    "python archive, protocol 2": ("python batches", lambda tmp: write(tmp / "a.tar.gz", tar_of(python_batches(2)))),
    "python archive, protocol 4": ("python batches", lambda tmp: write(tmp / "a.tar.gz", tar_of(python_batches(4)))),
    "python archive, protocol 5": ("python batches", lambda tmp: write(tmp / "a.tar.gz", tar_of(python_batches(5)))),
    "python folder": ("python batches", lambda tmp: write_files(tmp, python_batches()) / "cifar-10-batches-py"),
    "the folder of the python folder": ("python batches", lambda tmp: write_files(tmp / "data", python_batches())),
    "binary archive": ("binary batches", lambda tmp: write(tmp / "cifar-10-binary.tar.gz", tar_of(binary_batches()))),
    "binary archive without compression": ("binary batches", lambda tmp: write(tmp / "a", tar_of(binary_batches(), "w"))),
    "binary folder": ("binary batches", lambda tmp: write_files(tmp, binary_batches()) / "cifar-10-batches-bin"),
    "class folders": ("class folders", lambda tmp: write_files(tmp / "images", class_folders())),
    "class folders in tar.xz": ("class folders", lambda tmp: write(tmp / "a.tar.xz", tar_of(class_folders(), "w:xz"))),
    "class folders in zip": ("class folders", lambda tmp: write(tmp / "a.zip", zip_of({f"a/b/{n}": d for n, d in class_folders().items()}))),
    "class folders 0 to 9": ("class folders", lambda tmp: write_files(tmp / "images", class_folders(classes=tuple("0123456789")))),
    "long names in tar": ("class folders", lambda tmp: write(tmp / "a.tar", tar_of({f"{'a' * 120}/{n}": d for n, d in class_folders().items()}))),
    "long names in pax": ("class folders", lambda tmp: write(tmp / "a.tar", tar_of({f"{'ä' * 120}/{n}": d for n, d in class_folders().items()}, form=tarfile.PAX_FORMAT))),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_cifar10_gives_the_same_samples(tmp_path: Path, layout: str) -> None:
    name, make = LAYOUTS[layout]
    (tmp_path / "mine").mkdir()
    path = make(tmp_path / "mine")
    prepared = import_cifar(path, tmp_path)
    assert (prepared.source, prepared.label, prepared.layout) == ("imported", "cifar10 (imported)", name)
    assert prepared.origin == str(path)
    assert json.loads((prepared.folder / "dataset.json").read_text())["layout"] == name
    for split in ("train", "test"):
        assert sample_set(load(prepared), split) == sample_set(cifar_arrays(), split)


def test_an_archive_and_its_folder_have_one_fingerprint(tmp_path: Path) -> None:
    folder = import_cifar(write_files(tmp_path / "images", class_folders()), tmp_path)
    shuffled = dict(reversed(class_folders().items()))
    archive = import_cifar(write(tmp_path / "a.tar", tar_of(shuffled, "w")), tmp_path)
    assert archive.fingerprint == folder.fingerprint


def test_jpeg_images_are_decoded(tmp_path: Path) -> None:
    smooth = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (3, 32, 1))
    files = {
        f"{split}/{name}/1.jpg": image_file(smooth // (1 + label) // (1 + (split == "test")), "JPEG")
        for split in ("train", "test")
        for label, name in enumerate(cifar10_module.CLASSES)
    }
    arrays = load(import_cifar(write_files(tmp_path / "images", files), tmp_path))
    for x, label in zip(arrays["x_train"], arrays["y_train"], strict=True):
        assert np.abs(x.astype(int) - smooth // (1 + label)).max() < 12


def test_class_names_of_their_own_are_numbered_alphabetically_and_named(tmp_path: Path) -> None:
    names = tuple("zyxwvutsrq")
    prepared = import_cifar(write_files(tmp_path / "images", class_folders(classes=names)), tmp_path)
    reverse = {key: 9 - a if key[0] == "y" else a for key, a in cifar_arrays().items()}
    assert sample_set(load(prepared), "test") == sample_set(reverse, "test")
    assert any("0 q, 1 r" in note for note in prepared.notes)


def test_official_archives_become_the_official_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {0: tar_of(binary_batches()), 1: tar_of(python_2_batches())}
    layouts = list(cifar10_module.DATASET.layouts)
    for number, archive in data.items():
        known = layouts[number].known
        assert known is not None
        layouts[number] = replace(layouts[number], known=replace(known, sha256=sha256(archive).hexdigest()))
    monkeypatch.setattr(cifar10_module, "DATASET", replace(cifar10_module.DATASET, layouts=tuple(layouts)))
    fingerprints = set()
    for number, archive in data.items():
        prepared = import_cifar(write(tmp_path / f"{number}.tar.gz", archive), tmp_path)
        assert (prepared.source, prepared.label, prepared.notes) == ("official", "cifar10", ())
        assert prepared.origin.endswith("by its SHA-256)")
        assert data_sources.resolve("cifar10", "official", cache=tmp_path / "cache") == prepared
        fingerprints.add(prepared.fingerprint)
    assert len(fingerprints) == 1  # the two archives hold the same images in the same order


def test_another_archive_of_the_same_form_is_not_official(tmp_path: Path) -> None:
    archive = tar_of(python_2_batches())
    prepared = import_cifar(write(tmp_path / "cifar-10-python.tar.gz", archive), tmp_path)
    assert prepared.source == "imported"
    assert any(sha256(archive).hexdigest() in note for note in prepared.notes)


# --- IMDB ------------------------------------------------------------------------------------------------------

REVIEWS = {
    "train/neg/0_1": "Bad, bad film!<br /><br />Don't watch.",
    "train/neg/1_2": "bad",
    "train/pos/0_9": "A good Film",
    "train/pos/1_8": "good " * 200 + "end",
    "test/neg/0_1": "bad watch",
    "test/neg/1_1": "caf\N{LATIN SMALL LETTER E WITH ACUTE} bad",
    "test/pos/0_10": "good film",
    "test/pos/1_10": "a good watch",
}
# By frequency: good 203, bad 5, film 3, watch 3, then by the alphabet: a 2, and caf, don't, end once.
RANKS = ["good", "bad", "film", "watch", "a", "caf", "don't", "end"]


def ids(text: str) -> list[int]:
    row = [1, *(RANKS.index(word) + 4 for word in text.split())][-150:]
    return row + [0] * (150 - len(row))


EXPECTED = {
    "train": [(ids("bad bad film don't watch"), 0), (ids("bad"), 0), (ids("a good film"), 1), (ids("good " * 200 + "end"), 1)],
    "test": [(ids("bad watch"), 0), (ids("caf bad"), 0), (ids("good film"), 1), (ids("a good watch"), 1)],
}  # fmt: skip


def acl_files() -> Files:
    files = {f"aclImdb/{name}.txt": text.encode() for name, text in REVIEWS.items()}
    return files | {"aclImdb/train/unsup/0_0.txt": b"never read", "aclImdb/README": b"about"}


@pytest.mark.parametrize(
    "make",
    [
        lambda tmp: write_files(tmp, acl_files()) / "aclImdb",
        lambda tmp: write(tmp / "aclImdb_v1.tar.gz", tar_of(acl_files())),
        lambda tmp: write(tmp / "aclImdb.zip", zip_of(acl_files())),
    ],
    ids=["folder", "tar.gz", "zip"],
)
def test_aclimdb_becomes_token_ids(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    prepared = import_imdb(make(tmp_path / "mine"), tmp_path)
    assert (prepared.label, prepared.layout) == ("imdb (imported)", "aclImdb")
    arrays = load(prepared)
    for split, rows in EXPECTED.items():
        found = [(x.tolist(), int(y)) for x, y in zip(arrays[f"x_{split}"], arrays[f"y_{split}"], strict=True)]
        assert sorted(found) == sorted(rows)


def csv_of(rows: list[tuple[str, str]]) -> bytes:
    quoted = [f'"{text.replace(chr(34), chr(34) * 2)}",{sentiment}' for text, sentiment in rows]
    return "\r\n".join(["review,sentiment", *quoted, ""]).encode()


def review_rows() -> list[tuple[str, str]]:
    texts = [f'word{number} and, "quoted"\nsecond line' for number in range(8)]
    return [(text, "positive" if number < 4 else "negative") for number, text in enumerate(texts)]


@pytest.mark.parametrize(
    "make",
    [
        lambda tmp, data: write(tmp / "IMDB Dataset.csv", data),
        lambda tmp, data: write(tmp / "reviews.txt", b"\xef\xbb\xbf" + data),
        lambda tmp, data: write_files(tmp / "folder", {"IMDB Dataset.csv": data, "other.csv": b"a,b\n1,2\n"}),
        lambda tmp, data: write(tmp / "archive.zip", zip_of({"IMDB Dataset.csv": data})),
    ],
    ids=["file", "with a byte order mark", "folder", "zip"],
)
def test_a_csv_is_split_in_turns(tmp_path: Path, make: Callable[[Path, bytes], Path]) -> None:
    prepared = import_imdb(make(tmp_path / "mine", csv_of(review_rows())), tmp_path)
    arrays = load(prepared)
    assert [sorted(arrays[f"y_{split}"].tolist()) for split in ("train", "test")] == [[0, 0, 1, 1]] * 2
    assert any("in turns" in note for note in prepared.notes)
    # Each word0 to word7 is in one review, so its id tells where the review went: "and" is 4, the rest by alphabet.
    of_word = {4 + 3 + number: number for number in range(8)}  # after and, line, quoted, second: ranks 1 to 4
    where = {
        of_word[token - 1]: split
        for split in ("train", "test")
        for row in arrays[f"x_{split}"].tolist()
        for token in row
        if token - 1 in of_word
    }
    assert [where[number] for number in range(8)] == ["train", "test"] * 4


def test_a_review_that_comes_again_stays_on_its_side(tmp_path: Path) -> None:
    rows = review_rows()
    prepared = import_imdb(write(tmp_path / "a.csv", csv_of(rows + rows[:2] + rows)), tmp_path)
    assert not any("also training samples" in note for note in prepared.notes)
    assert any("10 of 18 reviews occur more than once" in note for note in prepared.notes)
    arrays = load(prepared)
    assert len(arrays["y_train"]) + len(arrays["y_test"]) == 18


def test_imdb_npz_is_known_by_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reviews = np.empty(2, dtype=object)
    reviews[:] = [[1, 2, 29_997], [7]]
    data = npz({"x_train": reviews, "y_train": np.array([0, 1]), "x_test": reviews, "y_test": np.array([0, 1])})
    path = write(tmp_path / "imdb.npz", data)
    with pytest.raises(DataError) as caught:
        import_imdb(path, tmp_path)
    for part in (sha256(data).hexdigest(), imdb_module.DATASET.archive.sha256, f"{len(data):,} bytes", "pickled"):
        assert part in caught.value.message
    digest = sha256(data).hexdigest()
    archive = replace(imdb_module.DATASET.archive, sha256=digest, size=len(data))
    first, *rest = imdb_module.DATASET.layouts
    assert first.known is not None
    first = replace(first, known=replace(first.known, sha256=digest))
    monkeypatch.setattr(imdb_module, "DATASET", replace(imdb_module.DATASET, archive=archive, layouts=(first, *rest)))
    prepared = import_imdb(path, tmp_path)
    assert prepared.label == "imdb"
    assert [1, 4, 5, 2] in [row[:4] for row in load(prepared)["x_train"].tolist()]


# --- hostile files ---------------------------------------------------------------------------------------------


class Evil:
    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self._command,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_a_command_is_refused_and_nothing_runs(tmp_path: Path, protocol: int) -> None:
    ran = tmp_path / "ran"
    files = python_batches()
    files["cifar-10-batches-py/data_batch_3"] = pickle.dumps({b"data": Evil(f"touch {ran}")}, protocol)
    with pytest.raises(DataError, match="data_batch_3"):
        import_cifar(write_files(tmp_path / "mine", files), tmp_path)
    evil = npz(
        {key: np.array([Evil(f"touch {ran}")], dtype=object) for key in ("x_train", "y_train", "x_test", "y_test")}
    )
    for name in ("cifar10", "imdb"):
        with pytest.raises(DataError, match="pickled"):
            data_sources.import_(name, write(tmp_path / "imdb.npz", evil), cache=tmp_path / "cache")
    assert not ran.exists()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"cos\nsystem\n.", "'os.system'"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "'builtins.eval'"),
        (b"\x80\x02]r\xff\xff\xff\x7f.", None),  # a memo of two billion entries, in an unpickler with a list for it
        (b"(" * 100_000 + b"t" * 100_000 + b".", None),
        (b"\x80\x02}" + b")" + b"\x85" * 500_000 + b"K\x01s.", "not text"),  # a key so deep that hashing it would crash
        (b"\x8e" + b"\xff" * 7 + b"\x7f.", None),  # bytes of 2**63 - 1
        (b"N" * 1_000_001, "more than"),
        (b"cnumpy\nndarray\n)R.", "unknown way"),
        (b"cnumpy.core.multiarray\n_reconstruct\n}b.", "not an array"),
        (b"\x80\x02cnumpy\ndtype\n(U\x01Ot.", None),
        (b"i__main__\nX\n.", "instruction 'i'"),
        (b"P1\n.", "instruction 'P'"),
        (b"I" + b"9" * 5000 + b"\n.", "instruction 'I'"),
        (b"\x80\x05\x97\x98.", "instruction"),
        (b"", "instruction"),
        (b"]", "instruction"),
        (b"0.", "instruction"),
        (b"t.", "damaged"),
        (b"h\x05.", "damaged"),
        (b"K\x01K\x02s.", None),
    ],
)
def test_a_hostile_pickle_is_an_error_or_plain_data(tmp_path: Path, data: bytes, says: str | None) -> None:
    if says:
        with pytest.raises(ValueError, match=says):
            plain_pickle.load(data)
    files = python_batches() | {"cifar-10-batches-py/test_batch": data}
    with pytest.raises(DataError, match="test_batch"):
        import_cifar(write_files(tmp_path / "mine", files), tmp_path)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=300) | st.binary(min_size=1, max_size=300),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner) | st.tuples(inner) | st.tuples(inner, inner, inner, inner),
    max_leaves=20,
)  # fmt: skip


@given(PLAIN, st.integers(2, pickle.HIGHEST_PROTOCOL))
def test_plain_data_come_out_of_a_pickle_as_they_went_in(value: object, protocol: int) -> None:
    assert plain_pickle.load(pickle.dumps(value, protocol)) == value


@given(
    st.sampled_from([np.uint8, np.int64, np.float32]),
    st.lists(st.integers(0, 4), min_size=1, max_size=3),
    st.integers(2, pickle.HIGHEST_PROTOCOL),
)
def test_arrays_come_out_of_a_pickle_as_they_went_in(dtype: type, shape: list[int], protocol: int) -> None:
    array = np.arange(int(np.prod(shape)), dtype=dtype).reshape(shape) + np.ones(shape, dtype)
    if array.nbytes == 0 and protocol == 2:
        return  # Python 3 writes no bytes in another way
    found = plain_pickle.load(pickle.dumps(array, protocol))
    assert found == plain_pickle.PlainArray(dtype=array.dtype.str[1:], shape=array.shape, data=array.tobytes())


OPCODES = b"".join(opcode.code.encode("latin-1") for opcode in pickletools.opcodes)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_bytes_are_plain_data_or_a_value_error(data: st.DataObject) -> None:
    batch = bytearray(python_2_batches()["cifar-10-batches-py/test_batch"][:2000])
    for _ in range(data.draw(st.integers(0, 8))):
        batch[data.draw(st.integers(0, 300))] = data.draw(st.sampled_from(OPCODES) | st.integers(0, 255))
    content = data.draw(
        st.binary(max_size=50) | st.lists(st.sampled_from(OPCODES), max_size=50).map(bytes) | st.just(bytes(batch))
    )
    try:
        plain_pickle.load(content)
    except ValueError:
        return


def other(name: str, kind: bytes, target: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_links_devices_and_names_that_lead_out_are_left_out(tmp_path: Path) -> None:
    hostile = (
        other("train/cat/link.png", tarfile.SYMTYPE),
        other("train/cat/hard.png", tarfile.LNKTYPE),
        other("train/cat/device.png", tarfile.CHRTYPE),
        other("train/cat/pipe.png", tarfile.FIFOTYPE),
    )
    outside = {
        "../../train/cat/1.png": b"x",
        "/train/cat/1.png": b"x",
        "train/../../cat/1.png": b"x",
        "train/cat/.1.png": b"x",
    }
    path = write(tmp_path / "a" / "b" / "a.tar.gz", tar_of(outside | class_folders(), others=hostile))
    prepared = import_cifar(path, tmp_path)
    assert sample_set(load(prepared), "train") == sample_set(cifar_arrays(), "train")
    assert sorted(file.name for file in tmp_path.rglob("*.png")) == []
    linked = zipfile.ZipInfo("train/cat/link.png")
    linked.external_attr = 0o120777 << 16
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr(linked, "/etc/passwd")
        for name, data in (outside | class_folders()).items():
            stream.writestr(name, data)
    assert import_cifar(archive, tmp_path).fingerprint == prepared.fingerprint


def test_a_folder_is_read_through_its_links_and_never_waits_for_a_pipe(tmp_path: Path) -> None:
    write_files(tmp_path / "elsewhere", class_folders())
    (tmp_path / "images").mkdir()
    for split in ("train", "test"):
        (tmp_path / "images" / split).symlink_to(tmp_path / "elsewhere" / split)
    os.mkfifo(tmp_path / "elsewhere" / "train" / "cat" / "pipe.png")
    (tmp_path / "elsewhere" / "train" / "loop").symlink_to(tmp_path / "images")
    prepared = import_cifar(tmp_path / "images", tmp_path)
    assert sample_set(load(prepared), "test") == sample_set(cifar_arrays(), "test")


def header_of(name: str, size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def pax(record: bytes) -> bytes:
    record = b"%d " % (len(record) + 3) + record  # its length has two digits
    return header_of("x", len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (header_of("a", 1 << 29, tarfile.XHDTYPE) + bytes(1 << 20), "extended header"),
        (header_of("a", 1 << 29, tarfile.GNUTYPE_LONGNAME) + bytes(1 << 20), "extended header"),
        (header_of("a", 1 << 40, tarfile.REGTYPE), "cut off|damaged"),
        (header_of("a", 512, tarfile.GNUTYPE_SPARSE) + bytes(2048), "sparse"),
        (pax(b"GNU.sparse.major=1\n") + header_of("a", 0, tarfile.REGTYPE) + bytes(1024), "sparse"),
        (pax(b"size=99999999999\n") + header_of("a", 0, tarfile.REGTYPE) + bytes(1024), "8 GiB"),
        (header_of("a", 0, tarfile.REGTYPE), "the end is missing"),
        (header_of("a", 0, tarfile.REGTYPE) + b"nonsense".ljust(512, b"x") + bytes(1024), "damaged"),
        (header_of("a", 0, tarfile.REGTYPE) + bytes(1024) + b"more", "more after its end"),
        (header_of("a", 0, tarfile.REGTYPE) * 2 + bytes(1024), "twice"),
        (header_of("a/./b", 0, tarfile.REGTYPE) + header_of("a//b", 0, tarfile.REGTYPE) + bytes(1024), "twice"),
    ],
    ids=["pax header", "long name", "huge file", "sparse", "pax sparse", "pax size", "no end", "header", "tail", "twice", "twice in other words"],
)  # fmt: skip
@pytest.mark.parametrize("compressed", [False, True])
def test_a_malformed_tar_is_refused(tmp_path: Path, data: bytes, says: str, compressed: bool) -> None:
    path = write(tmp_path / "a.tar", gzip.compress(data, 1) if compressed else data)
    with pytest.raises(DataError, match=says) as caught:
        import_cifar(path, tmp_path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize("pack", [tar_of, lambda files: tar_of(files, "w"), lambda files: tar_of(files, "w:xz"), zip_of], ids=["gz", "tar", "xz", "zip"])  # fmt: skip
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
def test_a_cut_archive_is_refused_and_never_a_smaller_data_set(
    tmp_path: Path, pack: Callable[[Files], bytes], share: float
) -> None:
    data = pack(class_folders()).rstrip(b"\0")
    path = write(tmp_path / "a.archive", data[: int(len(data) * share)])
    with pytest.raises(DataError, match=re.escape(str(path))):
        import_cifar(path, tmp_path)


@pytest.mark.parametrize("pack", [tar_of, zip_of], ids=["tar.gz", "zip"])
def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[Files], bytes]
) -> None:
    monkeypatch.setattr(tar_stream, "LARGEST", 1_000_000)
    monkeypatch.setattr(file_tree, "LARGEST", 1_000_000)
    bomb = write(tmp_path / "bomb", pack({"data_batch_1.bin": bytes(1_000_001)}))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(DataError, match="unpacks to more than 1,000,000 bytes"):
        import_cifar(bomb, tmp_path)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_tree, "MOST_FILES", 50)
    for path in (
        write(tmp_path / "a.tar", tar_of(class_folders())),
        write(tmp_path / "a.zip", zip_of(class_folders())),
        write_files(tmp_path / "a", class_folders()),
    ):
        with pytest.raises(DataError, match="more than 50 files"):
            import_cifar(path, tmp_path)


def png(width: int, height: int) -> bytes:
    """A PNG that claims to be so large, and holds a handful of bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    start = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + start + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (png(100_000, 100_000), "decoded"),
        (png(5_000, 5_000), "5000 x 5000 pixels, wanted 32 x 32"),
        (png(32, 32), "decoded"),
        (image_file(np.zeros((3, 32, 32), np.uint8))[:60], "decoded"),
        (image_file(np.zeros((3, 32, 31), np.uint8)), "31 x 32 pixels"),
        (image_file(np.zeros((3, 32, 32), np.uint8), "GIF"), "not a PNG or JPEG"),
        (image_file(np.zeros((3, 32, 32), np.uint8), "JPEG", "CMYK"), "CMYK"),
        (b"", "not a PNG or JPEG"),
        (b"<svg/>", "not a PNG or JPEG"),
        (bytes(2_000_000), "too many for its pixels"),
    ],
    ids=["a bomb", "large", "short pixels", "cut", "31 wide", "GIF", "CMYK", "empty", "SVG", "2 MB"],
)
def test_an_image_of_something_else_is_refused_by_name(tmp_path: Path, data: bytes, says: str) -> None:
    folder = write_files(tmp_path / "images", class_folders() | {"train/cat/9999.png": data})
    with pytest.raises(DataError, match=says) as caught:
        import_cifar(folder, tmp_path)
    assert str(folder / "train/cat/9999.png") in caught.value.message


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"review,sentiment\r\n\0\0,positive\r\n", "not text"),
        (b'review,sentiment\r\n"' + b"a" * 100_000_000 + b'",positive\r\n', "field larger"),
        (b'review,sentiment\r\n"' + b"a b\n" * 100_000, "field larger"),
        (b"review,sentiment\r\n" + b"a " * 50_000_000, "field larger"),
        (b"review,sentiment\r\nfine,maybe\r\n", "line 2 has the sentiment 'maybe'"),
        (b"review,sentiment\r\nfine\r\n", "line 2 has the sentiment None"),
        (b"review,sentiment\r\n", "no samples"),
        (b"review,sentiment\r\nfine,positive\r\nwell,positive\r\n", "no sample of class 0"),
        (b"sentiment,text\r\npositive,fine\r\n", "not a copy of imdb in a known layout: it is a file of 31 bytes: text"),
    ],
    ids=["NUL", "100 MB in a field", "open quote", "100 MB in a line", "another sentiment", "no sentiment", "no rows", "one class", "other columns"],
)  # fmt: skip
def test_a_csv_of_something_else_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    path = write(tmp_path / "IMDB Dataset.csv", data)
    with pytest.raises(DataError, match=says) as caught:
        import_imdb(path, tmp_path)
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cifar-10-batches-bin/data_batch_2.bin": bytes(3072)}, "data_batch_2.bin.* has 3,072 bytes"),
        ({"cifar-10-batches-bin/data_batch_2.bin": b""}, "data_batch_2.bin.* has 0 bytes"),
        ({"cifar-10-batches-bin/data_batch_2.bin": b"\x0a" + bytes(3072)}, "values from 0 to 10, wanted 0 to 9"),
        ({"cifar-10-batches-bin/test_batch.bin": None}, "test_batch.bin.* is missing"),
        ({"copy/data_batch_1.bin": bytes(3073)}, "several copies of the data: cifar-10-batches-bin/ and copy/"),
    ],
)
def test_wrong_binary_batches_are_refused(tmp_path: Path, change: dict[str, bytes | None], says: str) -> None:
    files = {name: data for name, data in (binary_batches() | change).items() if data is not None}
    for path in (write_files(tmp_path / "a", files), write(tmp_path / "a.tar.gz", tar_of(files))):
        with pytest.raises(DataError, match=says):
            import_cifar(path, tmp_path)


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        ({"labels": [0] * 20}, "no 'data'"),
        ([1, 2], "no 'data'"),
        ({"data": np.zeros((20, 3072), np.uint8)}, "no 'labels'"),
        ({"data": np.zeros((20, 3071), np.uint8), "labels": [0] * 20}, r"\(20, 3071\), wanted \(n, 3072\)"),
        ({"data": np.zeros((20, 3072), np.float32), "labels": [0] * 20}, "not an array of bytes"),
        ({"data": np.zeros((3072, 20), np.uint8).T, "labels": [0] * 20}, "C order"),
        ({"data": np.zeros((20, 3072), np.uint8), "labels": [10] * 20}, "numbers from 0 to 9"),
        ({"data": np.zeros((20, 3072), np.uint8), "labels": "0" * 20}, "numbers from 0 to 9"),
        ({"data": np.zeros((20, 3072), np.uint8), "labels": [0] * 19}, "20 samples, but y_test.npy 19 labels"),
    ],
)
def test_wrong_python_batches_are_refused(tmp_path: Path, batch: object, says: str) -> None:
    files = python_batches() | {"cifar-10-batches-py/test_batch": pickle.dumps(batch, 2)}
    with pytest.raises(DataError, match=says):
        import_cifar(write_files(tmp_path / "mine", files), tmp_path)


# --- what is not recognised ------------------------------------------------------------------------------------


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Path.mkdir, "is an empty folder"),
        (lambda path: write_files(path, {"a.txt": b"", "sub/b": b""}), "it is a folder with a.txt, sub/"),
        (lambda path: write_files(path, {str(n): b"" for n in range(20)}), "and 12 more"),
        (os.mkfifo, "{path} is a named pipe (FIFO), wanted a file or a folder"),
        (a_socket, "is a socket"),
        (lambda path: path.symlink_to("/dev/zero"), "is a device"),
        (lambda path: path.write_bytes(b"hello"), "a file of 5 bytes: text"),
        (lambda path: path.write_bytes(b""), "a file of 0 bytes: unknown data"),
        (lambda path: path.write_bytes(bytes(300)), "a file of 300 bytes: unknown data"),
        (lambda path: path.write_bytes(b"<html>log in"), "HTML"),
        (lambda path: path.write_bytes(gzip.compress(b"hello")), "compressed data without a tar archive inside (gzip), of 25 bytes"),
        (lambda path: path.write_bytes(tar_of({"a.txt": b"1"})), "a tar archive (gzip) of"),
        (lambda path: path.write_bytes(zip_of({"a\x1b[2J.txt": b"1"})), "with a\N{REPLACEMENT CHARACTER}[2J.txt"),
        (lambda path: path.write_bytes(pickle.dumps([1])), "perhaps a Python pickle"),
    ],
)  # fmt: skip
def test_what_is_not_recognised_is_described(tmp_path: Path, make: Callable[[Path], object], says: str) -> None:
    path = tmp_path / "mine"
    make(path)
    for name, wanted in (("cifar10", "cifar-10-python.tar.gz"), ("imdb", "aclImdb")):
        with pytest.raises(DataError) as caught:
            data_sources.import_(name, path, cache=tmp_path / "cache")
        assert says.format(path=path) in caught.value.message
        assert wanted in caught.value.hint
    assert not (tmp_path / "cache").exists()


# --- checks of what is imported --------------------------------------------------------------------------------


def save(folder: Path, arrays: Arrays) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for key, array in arrays.items():
        np.save(folder / f"{key}.npy", array)
    return folder


def test_a_missing_class_is_refused(tmp_path: Path) -> None:
    for split in ("train", "test"):
        arrays = cifar_arrays()
        arrays[f"y_{split}"] = np.minimum(arrays[f"y_{split}"], 8)
        with pytest.raises(DataError, match=rf"the {split} set has no sample of class 9 \(truck\)"):
            import_cifar(save(tmp_path / split, arrays), tmp_path)


def test_a_rare_class_and_another_number_of_samples_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arrays = cifar_arrays()
    arrays["y_train"] = np.array([*range(10), *[0] * 40])
    prepared = import_cifar(save(tmp_path / "mine", arrays), tmp_path)
    for part in (
        "the train set has 50 samples; the official one has 50,000",
        "the train set has 1 of 50 samples of class 1",
    ):
        assert any(part in note for note in prepared.notes)
        assert part in caplog.text
    assert json.loads((prepared.folder / "dataset.json").read_text())["notes"] == list(prepared.notes)


def test_test_samples_that_are_training_samples_are_counted_and_all_of_them_are_refused(tmp_path: Path) -> None:
    arrays = cifar_arrays()
    arrays["x_test"] = np.concatenate([arrays["x_train"][:3], arrays["x_test"][3:]])
    prepared = import_cifar(save(tmp_path / "some", arrays), tmp_path)
    assert "3 of 20 test samples are also training samples" in prepared.notes
    arrays["x_test"] = arrays["x_train"][:20]
    with pytest.raises(DataError, match="all 20 test samples are also training samples"):
        import_cifar(save(tmp_path / "all", arrays), tmp_path)


def test_reviews_padded_at_their_beginning_are_reported(tmp_path: Path) -> None:
    arrays = {}
    for split, count in (("train", 6), ("test", 4)):
        x = np.zeros((count, 150), np.int32)
        x[:, :5] = np.arange(1, 6) + 10 * np.arange(count)[:, None] + (1000 if split == "test" else 0)
        x[0] = x[0, ::-1]
        arrays |= {f"x_{split}": x, f"y_{split}": np.arange(count) % 2}
    arrays["x_test"][3] = 0
    notes = import_imdb(save(tmp_path / "mine", arrays), tmp_path).notes
    assert any("1 of 6 train samples have padding (0) before words" in note for note in notes)
    assert any("1 of 4 test samples are empty" in note for note in notes)


def test_a_description_that_names_no_layout_is_still_read(tmp_path: Path) -> None:
    prepared = import_cifar(save(tmp_path / "mine", cifar_arrays()), tmp_path)
    path = prepared.folder / "dataset.json"
    older = {key: value for key, value in json.loads(path.read_text()).items() if key not in {"layout", "notes"}}
    path.write_text(json.dumps(older))
    found = dataset_folder.find(prepared.folder)
    assert found == replace(prepared, layout="", notes=())


# --- a wrong archive where the official one should be ----------------------------------------------------------


@pytest.mark.parametrize("choice", ["official", "real"])
def test_a_wrong_archive_put_in_place_by_hand_is_described(tmp_path: Path, choice: data_sources.DatasetChoice) -> None:
    path = write(tmp_path / "downloads" / "cifar-10-binary.tar.gz", b"<html>please log in</html>")
    with pytest.raises(DataError) as caught:
        data_sources.resolve("cifar10", choice, cache=tmp_path, base_url="http://127.0.0.1:9")
    archive = cifar10_module.DATASET.archive
    for part in (
        str(path),
        "26 bytes",
        sha256(path.read_bytes()).hexdigest(),
        f"{archive.size:,} bytes",
        archive.sha256,
    ):
        assert part in caught.value.message
    assert f"Replace {path}" in caught.value.hint
    assert f"rosetta data import cifar10 {path}" in caught.value.hint
    assert "put the file" not in caught.value.hint
    assert path.exists()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "FIFO"])
def test_something_else_in_the_place_of_an_archive_is_named(tmp_path: Path, make: Callable[[Path], object]) -> None:
    path = tmp_path / "downloads" / "imdb.npz"
    path.parent.mkdir()
    make(path)
    with pytest.raises(DataError, match=re.escape(f"{path} is not a file")):
        data_sources.prepare("imdb", cache=tmp_path, base_url="http://127.0.0.1:9")


# --- the command -----------------------------------------------------------------------------------------------


def test_the_command_says_what_it_reads_and_help_lists_the_layouts(tmp_path: Path, root: Path) -> None:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "orchestrator", "data", "import", *arguments]
        environment = {**os.environ, "ROSETTA_CACHE": str(tmp_path / "cache"), "COLUMNS": "200"}
        return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)

    path = write(tmp_path / "a.tar.gz", tar_of(class_folders()))
    done = call("cifar10", str(path))
    assert done.returncode == 0, done.stderr
    assert "cifar10 (imported) is in" in done.stdout
    for part in (
        f"reading {path} (class folders)",
        "checking 50 training and 20 test samples",
        "official one has 50,000",
    ):
        assert part in done.stderr
    refused = call("cifar10", str(tmp_path / "nothing"))
    assert refused.returncode == 2
    assert f"there is no file or folder {tmp_path}/nothing" in " ".join(refused.stderr.split())
    assert "cifar-10-batches-py" in call("--help").stdout
