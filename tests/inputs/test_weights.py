"""orchestrator.weights: a seed means the same weights everywhere, and weights from elsewhere are what they claim."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import DataError
from orchestrator.inputs import weights
from orchestrator.inputs.datasets.draws import Draws

# SHA-256 of the files for seed 1. A change means that results made with a seed can no longer be made again.
GOLDEN = {
    "cnn": "644d8999475648eeb0c69e2314cb6eb96e9681a7e615b3fb778d8cd4e054a160",
    "rnn": "6951e858e8503903290e47f8c8438384a6b3de9c6c9b2d612a0b5eeeb1f8c2d6",
    "resnet50": "9d2b34f4cbd6474ba8d045f2f7df614d226e82728f2b0b713cc3307697371be4",
}
STATISTICS = (".mean", ".var")
Weights = dict[str, np.ndarray]


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
    shapes = weights.shapes(workload)
    assert {name: shapes[name] for name in expected} == expected


def test_every_array_is_float32_contiguous_and_of_its_shape(resnet50: Weights) -> None:
    for workload in ("cnn", "rnn", "resnet50"):
        arrays = resnet50 if workload == "resnet50" else weights.initial_weights(workload, 1)
        assert {name: array.shape for name, array in arrays.items()} == weights.shapes(workload)
        assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in arrays.values())
        assert list(arrays) == list(weights.shapes(workload))


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
        expected = weights._rectify(mean, variance)
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
        assert sorted(archive.files) == sorted(weights.shapes(workload))


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


def test_an_unknown_workload_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="vgg"):
        weights.shapes("vgg")


# --- weights from elsewhere ------------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Weights:
    """The cnn shrunk to one dense layer, and weights for it."""
    monkeypatch.setattr(weights, "_CNN", {"fc1": (3, 4)})
    return {"fc1.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "fc1.bias": np.ones(3, np.float32)}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_weights_made_elsewhere_are_copied_into_the_cache(
    tmp_path: Path, tiny: Weights, save: Callable[..., None]
) -> None:
    mine = tmp_path / "mine.npz"
    save(mine, **(tiny | {"fc1.weight": np.asfortranarray(tiny["fc1.weight"])}))
    path, digest = weights.import_weights("cnn", mine, cache=tmp_path / "cache")
    assert path.parent == tmp_path / "cache" / "weights"
    found = weights.read_weights("cnn", path)
    assert list(found) == ["fc1.weight", "fc1.bias"]
    for name, array in tiny.items():
        np.testing.assert_array_equal(found[name], array)
    assert weights.import_weights("cnn", path, cache=tmp_path / "cache") == (path, digest)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fc1.bias": None}, r"fc1\.bias is missing \(1 of 2 arrays are\)"),
        ({"fc9.bias": np.ones(3, np.float32)}, "'fc9.bias' is not one of its arrays"),
        ({"fc1.bias": np.ones(3)}, r"fc1\.bias is float64 \(3,\), not float32 \(3,\)"),
        ({"fc1.weight": np.ones((4, 3), np.float32)}, r"fc1\.weight is float32 \(4, 3\), not float32 \(3, 4\)"),
        ({"fc1.bias": np.array([1, np.nan, 2], np.float32)}, r"fc1\.bias holds a value that is not a finite number"),
        ({"fc1.bias": np.array([1, -np.inf, 2], np.float32)}, r"fc1\.bias holds a value that is not a finite number"),
        ({"fc1.bias": np.ones(3000, np.float32)}, r"fc1\.bias has 12,128 bytes; float32 \(3,\) has 12"),
        ({"fc1.bias": np.array([{}], dtype=object)}, "pickled"),
    ],
)
def test_other_weights_are_refused_by_name(tmp_path: Path, tiny: Weights, change: Weights, says: str) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **{name: array for name, array in (tiny | change).items() if array is not None})
    with pytest.raises(DataError, match=says) as caught:
        weights.import_weights("cnn", path, cache=tmp_path)
    assert str(path) in caught.value.message
    assert "PROTOCOL.md" in caught.value.hint
    assert not (tmp_path / "weights").exists()


def test_a_negative_variance_is_refused(tmp_path: Path, resnet50: Weights) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **(resnet50 | {"bn1.var": -resnet50["bn1.var"]}))
    with pytest.raises(DataError, match=r"bn1\.var holds a negative variance"):
        weights.read_weights("resnet50", path)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04" + bytes(100)])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, tiny: Weights, content: bytes) -> None:
    path = tmp_path / "mine.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot serve as weights of cnn"):
        weights.read_weights("cnn", path)
    with pytest.raises(DataError, match="is not a file"):
        weights.read_weights("cnn", tmp_path)


def test_a_member_that_lies_about_its_size_is_not_unpacked(tmp_path: Path, tiny: Weights) -> None:
    bomb = io.BytesIO()
    np.save(bomb, np.zeros(5_000_000, np.float32))
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("fc1.weight.npy", bomb.getvalue())
        archive.writestr("fc1.bias.npy", b"")
    truth, lie = (size.to_bytes(4, "little") for size in (20_000_128, 176))
    assert path.read_bytes().count(truth) == 2  # in the member's header and in the directory
    path.write_bytes(path.read_bytes().replace(truth, lie))
    tracemalloc.start()
    with pytest.raises(DataError, match="cannot serve as weights of cnn"):
        weights.read_weights("cnn", path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_hostile_files_are_weights_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    buffer = io.BytesIO()
    save = data.draw(st.sampled_from([np.savez, np.savez_compressed]))
    save(buffer, **{"fc1.weight": np.ones((3, 4), np.float32), "fc1.bias": np.ones(3, np.float32)})
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "hostile.npz"
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "_CNN", {"fc1": (3, 4)})
        try:
            found = weights.read_weights("cnn", path)
        except DataError:
            return
    assert {name: array.shape for name, array in found.items()} == {"fc1.weight": (3, 4), "fc1.bias": (3,)}
    assert all((array == 1).all() for array in found.values())  # a changed value does not pass the CRC
