"""The files of a run stay as they were when the run first used them."""

import hashlib
import io
import os
import stat
import tracemalloc

import numpy as np
import pytest

from orchestrator.errors import DataError
from orchestrator.inputs import data_sources, dataset_folder, frozen, orders
from orchestrator.inputs.job_inputs import Store
from tests.support.results import result

SAMPLES = {"train": 40, "test": 20}


def arrays(seed):
    """A data set of 40 and 20 images."""
    draw = np.random.default_rng(seed)
    made = {}
    for split, count in SAMPLES.items():
        made[f"x_{split}.npy"] = draw.integers(0, 256, (count, 3, 32, 32), np.uint8)
        made[f"y_{split}.npy"] = np.arange(count, dtype=np.int32) % 10
    return made


def publish(cache, seed):
    """What `data import` does, with other data for each seed."""
    folder = dataset_folder.folder_of(cache, "cifar10", "imported")
    return dataset_folder.publish_labelled(
        folder, name="cifar10", source="imported", origin="a test", arrays=arrays(seed)
    )


def training():
    settings = {"epochs": 1, "batch": 8, "train_samples": None, "test_samples": None}
    return result().job.model_copy(update={"settings": settings})


def contents(inputs):
    return {name: path.read_bytes() for name, path in inputs.files.items()}


def test_importing_during_a_run_changes_nothing_of_it(tmp_path):
    publish(tmp_path, seed=1)
    store = Store(cache=tmp_path, choice="imported")
    first = store.for_job(training())
    before = contents(first)
    other = publish(tmp_path, seed=2)

    second = store.for_job(training())
    assert second.facts == first.facts
    assert contents(second) == before
    assert Store(cache=tmp_path, choice="imported").for_job(training()).facts.fingerprint == other.fingerprint


def change_in_place(path):
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize("name", ["x_train.npy", "weights.npz"])
def test_no_job_reads_a_file_that_was_changed_in_place(tmp_path, name):
    publish(tmp_path, seed=1)
    store = Store(cache=tmp_path, choice="imported")
    path = store.for_job(training()).files[name]
    change_in_place(path)
    with pytest.raises(DataError, match=path.name):
        store.for_job(training())


def test_an_order_that_was_changed_is_made_again(tmp_path):
    publish(tmp_path, seed=1)
    store = Store(cache=tmp_path, choice="imported")
    first = store.for_job(training())
    before = contents(first)
    change_in_place(first.files["order.npy"])
    assert contents(store.for_job(training())) == before


def test_an_order_of_many_epochs_is_the_file_that_numpy_saves_and_takes_no_more_memory_than_one(tmp_path):
    publish(tmp_path, seed=1)
    long = training().model_copy(update={"settings": {**training().settings, "epochs": 4_000}})
    whole = io.BytesIO()
    np.save(whole, np.concatenate(list(orders.by_epoch(long.seed, 4_000, SAMPLES["train"]))))
    store = Store(cache=tmp_path, choice="imported")
    store.for_job(training())  # all that is needed besides the order
    tracemalloc.start()
    try:
        inputs = store.for_job(long)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert inputs.files["order.npy"].read_bytes() == whole.getvalue()
    assert inputs.facts.inputs["order.npy"] == hashlib.sha256(whole.getvalue()).hexdigest()
    assert peak < whole.getbuffer().nbytes / 2


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_every_user_can_read_what_a_job_reads_and_none_can_write_it(tmp_path, umask):
    before = os.umask(umask)
    try:
        publish(tmp_path, seed=1)
        files = Store(cache=tmp_path, choice="imported").for_job(training()).files
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o444}


def test_where_links_cannot_be_made_the_files_are_copied(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refused)
    dataset = publish(tmp_path, seed=1)
    files = Store(cache=tmp_path, choice="imported").for_job(training()).files
    for name, path in dataset.files.items():
        assert files[name].read_bytes() == path.read_bytes()
        assert not files[name].samefile(path)


def test_a_folder_replaced_by_a_mixture_is_refused(tmp_path):
    """The dataset was checked, then another one took its place before it was frozen."""
    checked = data_sources.resolve("cifar10", "imported", cache=publish(tmp_path, seed=1).folder.parents[1])
    publish(tmp_path, seed=2)
    with pytest.raises(DataError, match="was replaced while the run began"):
        frozen.freeze(checked, tmp_path)
