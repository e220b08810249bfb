"""What a run costs is computed from its settings, before anything is made."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import CostError
from orchestrator.inputs import dataset_folder, datasets, sizes
from orchestrator.inputs.job_inputs import Store
from orchestrator.inputs.sizes import InputSize
from orchestrator.plan.spec import Spec
from orchestrator.record.figures import EpochFigure
from orchestrator.run import cost
from orchestrator.run.cost import Cost, Room
from tests.support.results import result, trained

NOWHERE = Path("/nonexistent")
IMAGE = 3 * 224 * 224 * 4  # bytes


def job(workload="resnet50", **settings):
    found = result("numpy", workload).job
    of_spec = Spec(name="x").settings_of(workload).for_device("cpu")
    return found.model_copy(update={"settings": {**of_spec, **settings}})


def by_name(jobs, choice="synthetic", cache=NOWHERE):
    return {each.what: each for each in sizes.of_jobs(jobs, choice, cache)}


inputs = st.lists(
    st.builds(
        InputSize,
        what=st.just("x"),
        places=st.tuples(st.sampled_from("abcdefgh")),
        disk=st.integers(0, 10**15),
        memory=st.integers(0, 10**15),
    ),
    max_size=8,
    unique_by=lambda each: each.places,
)


@given(inputs, st.integers(0, 8))
def test_costs_are_never_negative_and_add_up(all_of_them, cut):
    one, other, both = (cost.of_inputs(part, NOWHERE) for part in (all_of_them[:cut], all_of_them[cut:], all_of_them))
    assert min(one.disk, one.memory, one.seconds) >= 0
    assert both.disk == one.disk + other.disk
    assert both.seconds == pytest.approx(one.seconds + other.seconds)
    assert both.memory == max(one.memory, other.memory)  # jobs run one after the other
    assert cost.of_inputs([*all_of_them, *all_of_them], NOWHERE) == both  # what jobs share is made once


@given(st.integers(1, 4096), st.integers(1, 1000), st.integers(1, 10**6), st.integers(64, 10**6))
def test_the_size_follows_from_the_settings(batch, batches, epochs, samples):
    images = by_name([job(batch=batch, batches=batches)])["images of resnet50"]
    assert images.disk == images.memory == batch * batches * IMAGE
    order = by_name([job("cnn", epochs=epochs, train_samples=samples)])["batch order of cnn"]
    assert (order.disk, order.memory) == (epochs * samples * 4, 0)  # jobs map it


@pytest.mark.parametrize("workload", ["resnet50", "cnn"])
def test_what_was_made_has_the_size_that_was_computed_and_is_not_needed_again(tmp_path, workload):
    counts = {"train_samples": 200, "epochs": 3} if workload == "cnn" else {"batch": 2, "batches": 2}
    wanted = job(workload, **counts)
    if workload == "cnn":
        publish(tmp_path, 320)
    choice = "imported"
    before = sizes.of_jobs([wanted], choice, tmp_path)
    assert cost.of_inputs(before, tmp_path).disk > 0
    files = Store(cache=tmp_path, choice=choice).for_job(wanted).files
    made = {"resnet50": ["images.npy", "weights.npz"], "cnn": ["order.npy", "weights.npz"]}[workload]
    headers = 400 * 200  # at most, of .npy files: there are 160 weights
    assert sum(files[name].stat().st_size for name in made) == pytest.approx(
        sum(each.disk for each in before), abs=headers
    )
    assert cost.of_jobs([wanted], choice, tmp_path).disk == 0


def publish(cache, samples):
    draw = np.random.default_rng(1)
    arrays = {}
    for split in ("train", "test"):
        arrays[f"x_{split}.npy"] = draw.integers(0, 256, (samples, 3, 32, 32), np.uint8)
        arrays[f"y_{split}.npy"] = np.arange(samples, dtype=np.int32) % 10
    folder = dataset_folder.folder_of(cache, "cifar10", "imported")
    dataset_folder.publish_labelled(folder, name="cifar10", source="imported", origin="a test", arrays=arrays)


def test_a_training_on_all_samples_takes_those_that_are_there(tmp_path):
    whole = job("cnn", epochs=10, train_samples=None)
    for choice in ("imported", "auto", "real", "official", "synthetic"):
        assert by_name([whole], choice, tmp_path)["batch order of cnn"].disk == 10 * 50_000 * 4
    publish(tmp_path, 320)
    for choice in ("imported", "auto", "real"):
        assert by_name([whole], choice, tmp_path)["batch order of cnn"].disk == 10 * 320 * 4
    for choice in ("official", "synthetic"):
        assert by_name([whole], choice, tmp_path)["batch order of cnn"].disk == 10 * 50_000 * 4


def test_data_that_have_to_be_made_or_downloaded_count(tmp_path):
    synthetic = by_name([job("cnn")], "synthetic", tmp_path)["synthetic cifar10"].disk
    assert synthetic == 60_000 * (3 * 32 * 32 + 8)
    archive = datasets.labelled("cifar10").archive.size
    assert by_name([job("cnn")], "auto", tmp_path)["cifar10"].disk == synthetic + archive
    publish(tmp_path, 320)
    assert "cifar10" not in {each.what for each in sizes.of_jobs([job("cnn")], "imported", tmp_path)}
    assert by_name([job("cnn")], "auto", tmp_path)["cifar10"].is_there(tmp_path)
    assert not by_name([job("cnn")], "official", tmp_path)["cifar10"].is_there(tmp_path)


def test_repeats_and_frameworks_share_their_inputs():
    one = job()
    others = [one.model_copy(update={"repeat": 2}), one.model_copy(update={"framework": "pytorch"})]
    assert sizes.of_jobs([one, *others], "auto", NOWHERE) == sizes.of_jobs([one], "auto", NOWHERE)
    two = sizes.of_jobs([one, one.model_copy(update={"seed": 2})], "auto", NOWHERE)
    assert len(two) == 2 * len(sizes.of_jobs([one], "auto", NOWHERE))


def test_what_there_is_not_is_refused_with_both_numbers():
    needed = Cost(disk=38_000_000_000, memory=9_000_000_000, largest="images of resnet50")
    cost.require_room(needed, Room(disk=38_000_000_000, memory=9_000_000_000), NOWHERE)
    cost.require_room(needed, Room(disk=None, memory=None), NOWHERE)
    with pytest.raises(CostError, match=r"inputs need 38\.0 GB in /nonexistent, which has 37\.9 GB left") as caught:
        cost.require_room(needed, Room(disk=37_900_000_000, memory=9_000_000_000), NOWHERE)
    assert "ROSETTA_CACHE" in caught.value.hint
    with pytest.raises(CostError, match=r"images of resnet50 need 9\.0 GB of memory, and .* at most 8\.9 GB here"):
        cost.require_room(needed, Room(disk=38_000_000_000, memory=8_900_000_000), NOWHERE)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (40, "40 s"), (720, "12 min"), (12_000, "3 h 20 min"), (3599.9, "1 h 0 min"), (4e5, "111 h")],
)
def test_times_in_words(seconds, words):
    assert cost.in_hours(seconds) == words


def test_a_cost_in_words():
    assert Cost(disk=38_000_000_000, seconds=12_000).in_words(NOWHERE) == "about 38.0 GB in /nonexistent and 3 h 20 min"
    assert Cost(disk=5).in_words(NOWHERE) == "about 1 MB in /nonexistent"
    assert Cost(seconds=9e99).in_words(NOWHERE) == "about 30 years or more"


def with_epochs(count, seconds, framework="numpy", workload="cnn"):
    found = trained(framework, seconds, workload=workload)
    epochs = tuple(EpochFigure(samples=64, seconds=seconds / count, loss=1.0) for _ in range(count))
    return found.model_copy(update={"figures": found.figures.model_copy(update={"epochs": epochs})})


def test_the_time_is_that_of_the_slowest_stored_repeat():
    stored = [with_epochs(2, 100.0).model_copy(update={"seconds": each}) for each in (110.0, 140.0, 120.0)]
    assert cost.seconds_of(stored, [job("cnn", epochs=2, train_samples=64)] * 3) == 3 * 140


def test_figures_of_less_work_than_the_settings_ask_for_are_scaled_up():
    """A file from somebody else: the settings of a million epochs, beside the figures of two."""
    asked = job("cnn", epochs=10**6, train_samples=64)
    assert cost.seconds_of([with_epochs(2, 100.0)], [asked]) == 50 * 10**6
    assert cost.seconds_of([with_epochs(2, 100.0)], [job("cnn", epochs=2, train_samples=6400)]) == 100 * 100.0
    stored = result("numpy", images_per_s=20.0, inference_s=1.0, workload="resnet50")
    assert cost.seconds_of([stored], [job(batch=4096, batches=1000)] * 3) == 3 * 2 * 4_096_000 / 20


def test_the_rest_of_a_run_takes_as_long_as_the_same_work_took():
    """The slowest repeat of the job's own framework counts, or that of any framework where its own has none."""
    known = [with_epochs(2, 100.0), with_epochs(2, 60.0), with_epochs(4, 1000.0, framework="pytorch")]
    of_numpy, of_pytorch, of_jax = (
        job("cnn", epochs=4, train_samples=64).model_copy(update={"framework": name})
        for name in ("numpy", "pytorch", "jax")
    )
    assert cost.seconds_of_rest([of_numpy], known) == 200
    assert cost.seconds_of_rest([of_pytorch], known) == 1000
    assert cost.seconds_of_rest([of_jax], known) == 1000
    assert cost.seconds_of_rest([of_numpy, of_pytorch], known) == 1200
    assert cost.seconds_of_rest([job("rnn"), of_numpy.model_copy(update={"device": "gpu"})], known) == 0


def test_another_size_of_the_model_is_scaled_by_its_operations():
    measured = with_epochs(1, 10.0, workload="gpt")
    small, larger = (measured.model_copy(update={"job": job("gpt", layers=layers)}) for layers in (4, 8))
    operations = [each.job.declaration.operations_for(each.job.settings) for each in (small, larger)]
    ratio = operations[1] / operations[0]
    assert 1.5 < ratio < 2
    of_small, of_larger = (cost.seconds_of_rest([each.job], [small]) for each in (small, larger))
    assert of_larger == pytest.approx(ratio * of_small)
    samples = small.job.settings["epochs"] * small.job.declaration.epoch_samples(small.job.settings, 0)
    assert of_small == pytest.approx(10.0 / 64 * samples)


@given(st.floats(-1e308, 1e308), st.floats(5e-324, 1e22), st.integers(1, 100))
def test_no_figure_of_a_file_breaks_the_arithmetic(seconds, rate, repeats):
    stored = result("numpy", "resnet50", images_per_s=rate).model_copy(update={"seconds": seconds})
    found = Cost(seconds=cost.seconds_of([stored], [job()] * repeats))
    assert found.seconds >= 0
    assert len(found.in_words(NOWHERE)) < 40
