"""orchestrator.weights: a seed means the same weights everywhere, and weights from elsewhere are what they claim."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from orchestrator.errors import DataError
from orchestrator.inputs import weights
from orchestrator.inputs.draws import Draws
from orchestrator.plan.workloads import WORKLOADS
from orchestrator.plan.workloads.resnet50 import rectified

# SHA-256 of the files for seed 1. A change means that results made with a seed can no longer be made again.
GOLDEN = {
    "cnn": "644d8999475648eeb0c69e2314cb6eb96e9681a7e615b3fb778d8cd4e054a160",
    "rnn": "6951e858e8503903290e47f8c8438384a6b3de9c6c9b2d612a0b5eeeb1f8c2d6",
    "resnet50": "9d2b34f4cbd6474ba8d045f2f7df614d226e82728f2b0b713cc3307697371be4",
}
STATISTICS = (".mean", ".var")
Weights = dict[str, np.ndarray]


def shapes(workload: str) -> dict[str, tuple[int, ...]]:
    return {name: weight.shape for name, weight in WORKLOADS[workload].weights.items()}


@pytest.fixture(scope="module")
def resnet50() -> Weights:
    return weights.initial_weights("resnet50", 1)


def parameters(arrays: Weights) -> int:
    return sum(array.size for name, array in arrays.items() if not name.endswith(STATISTICS))


def test_the_networks_have_the_size_they_should(resnet50: Weights) -> None:
    assert parameters(weights.initial_weights("cnn", 1)) == 3_441_592
    assert parameters(weights.initial_weights("rnn", 1)) == 30_000 * 125 + 300 * (125 + 100) + 2 * 300 + 2 * 100 + 2
    assert parameters(resnet50) == 23_508_032
    assert sum(array.ndim == 4 for array in resnet50.values()) == 53


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        ("cnn", {"conv1.weight": (50, 3, 3, 3), "conv4.bias": (100,), "fc1.weight": (512, 6400), "fc2.bias": (10,)}),
        ("rnn", {"embedding.weight": (30_000, 125), "gru.weight_ih": (300, 125), "gru.bias_hh": (300,)}),
        (
            "resnet50",
            {
                "conv1.weight": (64, 3, 7, 7),
                "bn1.var": (64,),
                "layer1.0.shortcut.conv.weight": (256, 64, 1, 1),
                "layer1.2.conv1.weight": (64, 256, 1, 1),
                "layer2.0.conv1.weight": (128, 256, 1, 1),
                "layer3.5.conv2.weight": (256, 256, 3, 3),
                "layer4.0.shortcut.bn.gamma": (2048,),
                "layer4.2.bn3.mean": (2048,),
            },
        ),
    ],
)
def test_names_and_shapes_are_those_of_the_protocol(workload: str, expected: dict[str, tuple[int, ...]]) -> None:
    found = shapes(workload)
    assert {name: found[name] for name in expected} == expected


def test_every_array_is_float32_contiguous_and_of_its_shape(resnet50: Weights) -> None:
    for workload in ("cnn", "rnn", "resnet50"):
        arrays = resnet50 if workload == "resnet50" else weights.initial_weights(workload, 1)
        assert {name: array.shape for name, array in arrays.items()} == shapes(workload)
        assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in arrays.values())
        assert list(arrays) == list(shapes(workload))


@pytest.mark.parametrize(
    ("workload", "name", "fans"),
    [
        ("cnn", "conv1.weight", 3 * 9 + 50 * 9),
        ("cnn", "conv3.weight", 50 * 9 + 100 * 9),
        ("cnn", "fc1.weight", 6400 + 512),
        ("rnn", "gru.weight_ih", 125 + 100),
        ("rnn", "gru.weight_hh", 100 + 100),
        ("rnn", "fc.weight", 100 + 2),
    ],
)
def test_matrices_are_glorot_uniform(workload: str, name: str, fans: int) -> None:
    array = weights.initial_weights(workload, 1)[name]
    bound = np.sqrt(6 / fans)
    assert 0.95 * bound < np.abs(array).max() <= np.float32(bound)
    assert abs(array.mean()) < 4 * bound / np.sqrt(3 * array.size)  # four standard errors
    assert array.var() == pytest.approx(bound**2 / 3, rel=0.2)


def test_biases_are_zero_and_the_embedding_is_small() -> None:
    arrays = weights.initial_weights("cnn", 1) | weights.initial_weights("rnn", 1)
    biases = [array for name, array in arrays.items() if "bias" in name]
    assert len(biases) == 6 + 3
    assert not any(bias.any() for bias in biases)
    assert 0.0499 < np.abs(arrays["embedding.weight"]).max() <= np.float32(0.05)


def test_convolutions_of_resnet50_are_he_normal(resnet50: Weights) -> None:
    for name, array in resnet50.items():
        if array.ndim == 4:
            assert array.std() == pytest.approx(np.sqrt(2 / array[0].size), rel=0.03), name
    big = resnet50["layer4.1.conv2.weight"].astype(np.float64)
    assert (big**4).mean() / big.var() ** 2 == pytest.approx(3, abs=0.02)


def test_batch_norm_is_the_identity_after_statistics_that_are_not_trivial(resnet50: Weights) -> None:
    for name, array in resnet50.items():
        if name.endswith(".gamma"):
            assert (array == 1).all()
        if name.endswith(".beta"):
            assert (array == 0).all()
        if name.endswith(".mean"):
            assert 0.2 < array.std() < 5, name
        if name.endswith(".var"):
            assert 0.05 < array.min() < array.max() < 6, name
            assert array.std() > 0.01, name


def test_the_statistics_of_the_first_layer_are_those_of_noise(resnet50: Weights) -> None:
    """Where no approximation is involved, convolving noise shows the very means and variances that are written."""
    noise = Draws("noise").uniform(3 * 106 * 106).astype(np.float32).reshape(3, 106, 106)
    patches = np.lib.stride_tricks.sliding_window_view(noise, (7, 7), axis=(1, 2))  # (3, 100, 100, 7, 7)
    out = np.tensordot(resnet50["conv1.weight"], patches, axes=([1, 2, 3], [0, 3, 4])).reshape(64, -1)
    normalised = (out.mean(axis=1) - resnet50["bn1.mean"]) / np.sqrt(resnet50["bn1.var"])
    np.testing.assert_allclose(normalised, 0, atol=0.1)
    np.testing.assert_allclose(out.var(axis=1) / resnet50["bn1.var"], 1, atol=0.15)


def test_a_rectified_normal_has_the_moments_it_is_given() -> None:
    for mean, variance in ((0.0, 2.0), (1.2, 2.4)):
        sample = np.maximum(0, mean + np.sqrt(variance) * Draws("rectified").normal(400_000))
        expected = rectified(mean, variance)
        assert sample.mean() == pytest.approx(expected.mean, abs=0.01)
        assert sample.var() == pytest.approx(expected.variance, abs=0.02)


def test_seeds_and_arrays_differ() -> None:
    one, two = weights.initial_weights("cnn", 1), weights.initial_weights("cnn", 2)
    assert not np.array_equal(one["conv1.weight"], two["conv1.weight"])
    assert not np.array_equal(one["conv4.weight"].ravel()[:99], one["conv2.weight"].ravel()[:99])


@pytest.mark.parametrize("workload", ["cnn", "rnn", "resnet50"])
def test_the_file_of_a_seed_is_the_same_for_ever(tmp_path: Path, workload: str) -> None:
    path, digest = weights.write(workload, 1, cache=tmp_path)
    assert digest == GOLDEN[workload]
    written = path.stat().st_mtime_ns
    assert weights.write(workload, 1, cache=tmp_path) == (path, digest)
    assert path.stat().st_mtime_ns == written
    with np.load(path, allow_pickle=False) as archive:
        assert sorted(archive.files) == sorted(shapes(workload))


def test_a_damaged_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path, _ = weights.write("cnn", 1, cache=tmp_path)
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="is damaged") as caught:
        weights.write("cnn", 1, cache=tmp_path)
    assert f"Delete {path}" in caught.value.hint


def test_a_cache_that_cannot_be_written_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(DataError, match="cannot be written") as caught:
        weights.write("rnn", 1, cache=tmp_path / "cache")
    assert "ROSETTA_CACHE" in caught.value.hint
