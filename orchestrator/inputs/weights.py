"""The initial weights of every workload: written once by the host, the same for every framework.

Names and layouts are the protocol's: dense and recurrent matrices are (out, in), convolutions OIHW, the GRU's gates
r, z, n one below the other; float32 throughout.

- cnn, rnn: Glorot uniform, U(-a, a) with a = sqrt(6 / (fan_in + fan_out)), for every matrix and kernel; the fans of a
  convolution are channels times kernel area. In a GRU's matrices each gate is a matrix of its own: 125 (input) or 100
  (hidden) in, 100 out. The embedding is a table, not a projection: U(-0.05, 0.05), Keras' default for the layer.
  Biases are zero.
- resnet50: He normal, N(0, 2 / fan_in), for every convolution; gamma = 1, beta = 0, and running statistics that fit
  the weights (see `_resnet50`). Both variants, v1 and v1.5, have the same weights.

The numbers come from `datasets.draws`, so a seed means the same weights on every machine and NumPy version.
"""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from orchestrator.errors import DataError
from orchestrator.files import atomic_write, sha256_of
from orchestrator.inputs.datasets import npy
from orchestrator.inputs.datasets.draws import Draws
from orchestrator.inputs.datasets.store import CANNOT_WRITE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

RECIPE = 1  # raised whenever a seed comes to mean other weights

_EMBEDDING_BOUND = 0.05
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest a zip file can hold: the same bytes whenever it is written
_HEADER_BYTES = 4096  # more than any header of a plain array in an .npz takes
_NAME_DIGITS = 16  # of the content's SHA-256, in the name of a cached file

_CNN = {
    "conv1": (50, 3, 3, 3),
    "conv2": (50, 50, 3, 3),
    "conv3": (100, 50, 3, 3),
    "conv4": (100, 100, 3, 3),
    "fc1": (512, 6400),
    "fc2": (10, 512),
}
_RNN = {
    "embedding.weight": (30000, 125),
    "gru.weight_ih": (300, 125),
    "gru.weight_hh": (300, 100),
    "gru.bias_ih": (300,),
    "gru.bias_hh": (300,),
    "fc.weight": (2, 100),
    "fc.bias": (2,),
}
_STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))  # ResNet-50: bottlenecks, and channels inside each of them


class _Moments(NamedTuple):
    """Mean and variance of an activation over images and positions, the same in every channel."""

    mean: float
    variance: float


class _Convolution(NamedTuple):
    """A convolution of ResNet-50, its BatchNorm, and what flows into it."""

    name: str
    norm: str
    shape: tuple[int, int, int, int]  # OIHW
    inputs: _Moments


_PIXELS = _Moments(1 / 2, 1 / 12)  # uniform [0, 1)
_RECTIFIED = _Moments(0.398942, 0.340845)  # max(0, a standard normal): 1 / sqrt(2 pi), 1/2 - 1 / (2 pi)
_POOLED = _Moments(1.485013, 0.357353)  # the greatest of 3x3 independent standard normals


def shapes(workload: str) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every array of `workload`, in the order of the file."""
    if workload == "cnn":
        return {
            f"{layer}.{part}": shape if part == "weight" else shape[:1]
            for layer, shape in _CNN.items()
            for part in ("weight", "bias")
        }
    if workload == "rnn":
        return dict(_RNN)
    if workload == "resnet50":
        found: dict[str, tuple[int, ...]] = {}
        for convolution in _resnet50_convolutions():
            found[f"{convolution.name}.weight"] = convolution.shape
            found |= {f"{convolution.norm}.{part}": convolution.shape[:1] for part in ("gamma", "beta", "mean", "var")}
        return found
    raise ValueError(f"there are no weights for {workload!r}")


def initial_weights(workload: str, seed: int) -> dict[str, Array]:
    """Return the initial weights of `workload`: {name: float32 array}, in the order of the file."""
    if workload == "resnet50":
        return _resnet50(seed)
    return {name: _glorot(workload, seed, name, shape) for name, shape in shapes(workload).items()}


def write(workload: str, seed: int, *, cache: Path) -> tuple[Path, str]:
    """Write the initial weights unless they are in `cache`; return the .npz file and its SHA-256.

    A cached file is named by its content. Raises DataError when it is damaged or cannot be written.
    """
    stem = f"{workload}-r{RECIPE}-seed{seed}"
    for path in sorted((cache / "weights").glob(f"{stem}-*.npz")):
        digest = sha256_of(path)
        if digest[:_NAME_DIGITS] != path.stem.rpartition("-")[2]:
            raise DataError(f"{path} is damaged", hint=f"Delete {path}; it is made again when needed.")
        return path, digest
    return _keep(initial_weights(workload, seed), cache / "weights", stem)


def import_weights(workload: str, path: Path, *, cache: Path) -> tuple[Path, str]:
    """Check weights made elsewhere and keep a copy in `cache`; return the copy and its SHA-256. Raises DataError."""
    return _keep(read_weights(workload, path), cache / "weights", f"{workload}-imported")


def read_weights(workload: str, path: Path) -> dict[str, Array]:
    """Read an .npz of weights for `workload` made by whomever: {name: float32 array}, in the order of `shapes`.

    Raises DataError naming the array that is missing, unknown, or of another shape, type or value than it may have.
    """
    wanted = shapes(workload)
    hint = "Weights are an .npz file of float32 arrays, named and shaped as workloads/common/PROTOCOL.md says."
    if not path.is_file():
        raise DataError(f"{path} is not a file", hint=hint)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            _check_names(members, wanted)
            return {name: _read_array(archive, members[name], name, shape) for name, shape in wanted.items()}
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} cannot serve as weights of {workload}: {error}",
            hint=hint,
        ) from error


def _check_names(found: Mapping[str, object], wanted: Mapping[str, object]) -> None:
    if missing := [name for name in wanted if name not in found]:
        raise ValueError(f"{missing[0]} is missing ({len(missing)} of {len(wanted)} arrays are)")
    if unknown := [name for name in found if name not in wanted]:
        raise ValueError(f"{unknown[0]!r} is not one of its arrays")


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, shape: tuple[int, ...]) -> Array:
    """Read one member, and never more bytes than an array of `shape` has."""
    expected = 4 * math.prod(shape)
    if info.file_size > expected + _HEADER_BYTES:
        raise ValueError(f"{name} has {info.file_size:,} bytes; float32 {shape} has {expected:,}")
    with archive.open(info) as stream:
        header = npy.read_header(stream)
        if header.dtype != np.float32 or header.shape != shape:
            raise ValueError(f"{name} is {header.dtype} {header.shape}, not float32 {shape}")
        data = stream.read(expected + 1)  # one byte more reaches the end, where the member's CRC is checked
    if len(data) != expected:
        raise ValueError(f"{name} has {len(data):,} bytes after its header, not {expected:,}")
    array = np.frombuffer(data, header.dtype).reshape(shape, order="F" if header.fortran_order else "C")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds a value that is not a finite number")
    if name.endswith(".var") and array.min() < 0:
        raise ValueError(f"{name} holds a negative variance")
    return np.ascontiguousarray(array, np.float32)


def _keep(weights: Mapping[str, Array], folder: Path, stem: str) -> tuple[Path, str]:
    """Write `weights` to a file of `folder` that is named by its content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in weights.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", _ZIP_TIME), "w") as stream:
                npy.write_header(stream, array.dtype, array.shape)
                stream.write(array.data.cast("B"))
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    path = folder / f"{stem}-{digest[:_NAME_DIGITS]}.npz"
    try:
        atomic_write(path, data)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error}", hint=CANNOT_WRITE) from error
    return path, digest


def _glorot(workload: str, seed: int, name: str, shape: tuple[int, ...]) -> Array:
    if len(shape) == 1:
        return np.zeros(shape, np.float32)
    if name == "embedding.weight":
        bound = _EMBEDDING_BOUND
    else:
        area = math.prod(shape[2:])  # of a convolution's kernel
        outputs = shape[0] // 3 if name.startswith("gru.") else shape[0]  # three gates lie one below the other
        bound = math.sqrt(6 / ((shape[1] + outputs) * area))
    draws = Draws("weights", workload, name, seed).uniform(math.prod(shape))
    return ((2 * draws - 1) * bound).astype(np.float32).reshape(shape)


def _resnet50(seed: int) -> dict[str, Array]:
    """He-normal kernels, and the running statistics such a network has when it is shown noise.

    A pre-activation is a weighted sum of inputs. For inputs of one mean and variance per layer that do not depend on
    each other, its mean is (mean of the inputs) * (sum of the channel's weights), and its variance is (variance of
    the inputs) * (sum of their squares). These are the running statistics written here: they differ from channel to
    channel, and they keep the activations of every layer near unit variance, as training would. Measured on uniform
    noise, seeds 0 and 1, both variants: what leaves the 53 BatchNorms has standard deviations of 1.0 to 3.0, growing
    with depth, and the 2,048 features have means of 2.4 to 2.6 and a maximum of 11.4.
    """
    weights: dict[str, Array] = {}
    for name, norm, shape, inputs in _resnet50_convolutions():
        count = math.prod(shape)
        scale = math.sqrt(2 * shape[0] / count)  # fan_in is what one output channel has: count / out
        kernel = (Draws("weights", "resnet50", name, seed).normal(count) * scale).astype(np.float32)
        rows = kernel.reshape(shape[0], -1).astype(np.float64)
        # A cumulative sum adds from left to right; the order np.sum takes depends on the processor.
        sums, squares = np.cumsum(rows, axis=1)[:, -1], np.cumsum(rows * rows, axis=1)[:, -1]
        weights[f"{name}.weight"] = kernel.reshape(shape)
        weights[f"{norm}.gamma"] = np.ones(shape[0], np.float32)
        weights[f"{norm}.beta"] = np.zeros(shape[0], np.float32)
        weights[f"{norm}.mean"] = (inputs.mean * sums).astype(np.float32)
        weights[f"{norm}.var"] = (inputs.variance * squares).astype(np.float32)
    return weights


def _resnet50_convolutions() -> Iterator[_Convolution]:
    """Yield the 53 convolutions in the order in which data flows through them, a block's shortcut last."""
    yield _Convolution("conv1", "bn1", (64, 3, 7, 7), _PIXELS)
    channels, stream = 64, _POOLED
    for stage, (blocks, width) in enumerate(_STAGES, start=1):
        for block in range(blocks):
            prefix = f"layer{stage}.{block}"
            outputs = 4 * width
            yield _Convolution(f"{prefix}.conv1", f"{prefix}.bn1", (width, channels, 1, 1), stream)
            yield _Convolution(f"{prefix}.conv2", f"{prefix}.bn2", (width, width, 3, 3), _RECTIFIED)
            yield _Convolution(f"{prefix}.conv3", f"{prefix}.bn3", (outputs, width, 1, 1), _RECTIFIED)
            if block == 0:
                shortcut = f"{prefix}.shortcut"
                yield _Convolution(f"{shortcut}.conv", f"{shortcut}.bn", (outputs, channels, 1, 1), stream)
                stream = _Moments(0, 1)  # the shortcut's BatchNorm normalises what passes
            # The last BatchNorm of a block adds a standard normal to the stream before it is rectified.
            channels, stream = outputs, _rectify(stream.mean, stream.variance + 1)


def _rectify(mean: float, variance: float) -> _Moments:
    """Return the moments of max(0, x) for a normal x, rounded so that no library's last bit shows."""
    deviation = math.sqrt(variance)
    density = math.exp(-mean * mean / (2 * variance)) / math.sqrt(2 * math.pi)
    positive = math.erfc(-mean / (deviation * math.sqrt(2))) / 2  # the probability of x > 0
    first = mean * positive + deviation * density
    second = (mean * mean + variance) * positive + mean * deviation * density
    return _Moments(round(first, 6), round(second - first * first, 6))
