"""A text as a dataset: its characters, its import, its stand-in, and where the windows of each step start."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import DataError
from orchestrator.inputs import data_sources, datasets, job_inputs, orders, sizes
from orchestrator.inputs.datasets.tinyshakespeare import CHARACTERS
from orchestrator.plan import catalog, jobs
from orchestrator.plan.jobs import Job
from orchestrator.plan.spec import Spec
from tests.support.paths import ROOT

NAME = "tinyshakespeare"
# Written down once. A change means that a seed no longer is what results were made with.
GOLDEN_SYNTHETIC = "839b37ec9a2782bfdf666d171df98c55277b41b53b068c9c82e9efd60719f36c"
GOLDEN_STARTS = "03edbec337b8439e62ddd984001da94661cbf73e08592041373788852a2a1091"


def text_of(ids: np.ndarray) -> str:
    return "".join(CHARACTERS[each] for each in ids)


def job_with(**settings: Any) -> Job:
    chosen: dict[str, Any] = {"gpt": settings}
    spec = Spec(name="t", frameworks=("numpy",), workloads=("gpt",), dataset="imported", **chosen)
    (job,) = jobs.plan(spec, catalog.load(ROOT), "cpu")
    return job


def imported(tmp_path: Path, text: str) -> Any:
    (tmp_path / "mine.txt").write_bytes(text.encode())
    return data_sources.import_(NAME, tmp_path / "mine.txt", cache=tmp_path)


def test_the_characters_are_65_in_the_order_of_their_codes() -> None:
    assert len(CHARACTERS) == 65
    assert sorted(set(CHARACTERS)) == list(CHARACTERS)


def test_an_imported_text_keeps_its_order_and_its_last_tenth_is_the_test(tmp_path: Path) -> None:
    found = imported(tmp_path, "To be, or not to be: that is the question.\n" * 5)
    assert found.label == f"{NAME} (imported)"
    train, test = (np.load(found.files[f"text_{split}.npy"]) for split in ("train", "test"))
    assert (train.dtype, len(train), len(test)) == (np.uint8, 193, 22)
    assert text_of(train).startswith("To be, or not")
    assert text_of(test).endswith("that is the question.\n"[-22:])
    assert "the train text has 193 characters; the official one has 1,003,854" in found.notes


def test_a_text_with_other_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"byte 4 is b'4', not one of the 65 characters.*1 of 24 bytes"):
        imported(tmp_path, "No 4 in this little text")


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", "Ärger".encode()])
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine").write_bytes(content)
    with pytest.raises(DataError, match="not a copy of tinyshakespeare") as caught:
        data_sources.import_(NAME, tmp_path / "mine", cache=tmp_path)
    assert "input.txt" in caught.value.hint


def test_the_stand_in_is_well_formed_and_the_same_for_ever(tmp_path: Path) -> None:
    found = data_sources.synthesise(NAME, seed=0, cache=tmp_path, sizes=(3000, 300))
    train, test = (np.load(found.files[f"text_{split}.npy"]) for split in ("train", "test"))
    assert (len(train), len(test)) == (3000, 300)
    assert found.fingerprint == GOLDEN_SYNTHETIC
    assert text_of(train)[0].isupper()
    words = {word.strip(".,;?!").lower() for word in text_of(train).split()}
    assert {word.strip(".,;?!").lower() for word in text_of(test).split()[:-1]} & words  # the same language
    assert data_sources.synthesise(NAME, seed=1, cache=tmp_path, sizes=(3000, 300)).fingerprint != found.fingerprint


def test_window_starts_never_change() -> None:
    starts = np.concatenate(list(orders.window_starts(7, 1500, 4, 1000)))
    assert (starts.dtype, starts.shape) == (np.int32, (1500, 4))
    assert sha256(starts.astype("<i4").tobytes()).hexdigest() == GOLDEN_STARTS


@given(st.integers(0, 2**31), st.integers(1, 1100), st.integers(1, 8), st.integers(1, 2**31 - 1))
def test_windows_fit_and_longer_trainings_begin_alike(seed: int, steps: int, batch: int, starts: int) -> None:
    found = np.concatenate(list(orders.window_starts(seed, steps, batch, starts)))
    assert 0 <= found.min() <= found.max() < starts
    longer = np.concatenate(list(orders.window_starts(seed, steps + 5, batch, starts)))
    np.testing.assert_array_equal(longer[:steps], found)


def test_a_job_gets_the_text_and_a_start_for_each_window(tmp_path: Path) -> None:
    imported(tmp_path, "To be, or not to be: that is the question.\n" * 5)
    store = job_inputs.Store(cache=tmp_path, choice="imported")
    job = job_with(epochs=2, steps=3, batch=4, context=5, layers=1, heads=1, width=8)
    found = store.for_job(job)
    assert set(found.files) == {"text_train.npy", "text_test.npy", "weights.npz", "order.npy"}
    order = np.load(found.files["order.npy"])
    assert order.shape == (6, 4)
    assert order.max() <= 193 - 5 - 1  # the label of a window's last character is in the text, too
    # An epoch has 3 steps of 4 windows of 5 characters; 21 of the 22 test characters are labels: 4 windows.
    assert (found.train_samples, found.test_samples) == (60, 20)
    assert store.for_job(job_with(**{**job.settings, "test_samples": 13})).test_samples == 10
    assert all(size.is_there(tmp_path) for size in sizes.of_jobs([job], "imported", tmp_path))


def test_models_of_two_sizes_have_weights_of_their_own(tmp_path: Path) -> None:
    imported(tmp_path, "To be, or not to be: that is the question.\n" * 5)
    store = job_inputs.Store(cache=tmp_path, choice="imported")
    small, wide = (
        store.for_job(job_with(steps=1, context=5, layers=1, heads=1, width=width)).files["weights.npz"]
        for width in (8, 16)
    )
    assert np.load(small)["blocks.0.up.weight"].shape == (32, 8)
    assert np.load(wide)["blocks.0.up.weight"].shape == (64, 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context": 193}, "has 193 characters, but a window and the label after it have 194"),
        ({"context": 100}, "no whole window among 22 test characters"),
        ({"context": 5, "test_samples": 23}, "gpt.test_samples is 23, but .* has 22"),
    ],
)
def test_a_text_that_is_too_short_is_refused(tmp_path: Path, settings: dict[str, int], message: str) -> None:
    imported(tmp_path, "To be, or not to be: that is the question.\n" * 5)
    with pytest.raises(DataError, match=message):
        job_inputs.Store(cache=tmp_path, choice="imported").for_job(job_with(**settings))


def test_the_official_file_is_the_one_of_its_publisher() -> None:
    archive = datasets.labelled(NAME).archive
    assert (archive.size, archive.file) == (datasets.labelled(NAME).format.train + 111_540, "input.txt")
