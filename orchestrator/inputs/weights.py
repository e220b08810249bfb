"""The initial weights of every workload: written once by the host, the same for every framework.

Names and layouts are the protocol's: dense and recurrent matrices are (out, in), convolutions OIHW, the GRU's gates
r, z, n one below the other; float32 throughout. A workload's declaration lists its weights and how they are
drawn. The numbers come from `draws`, so a seed means the same weights on every machine and NumPy version.
"""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.errors import DataError
from orchestrator.files import READ_ONLY, atomic_write, cache_error, make_readable, sha256_of
from orchestrator.inputs import npy
from orchestrator.inputs.draws import Draws
from orchestrator.plan.initialisers import (
    ActivationMean,
    ActivationVariance,
    GlorotUniform,
    HeNormal,
    Normal,
    Ones,
    Uniform,
    Weight,
    Zeros,
)
from orchestrator.plan.workloads import WORKLOADS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

RECIPE = 1  # raised whenever a seed comes to mean other weights

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest a zip file can hold: the same bytes whenever it is written
_NAME_DIGITS = 16  # of the content's SHA-256, in the name of a cached file


def initial_weights(workload: str, seed: int, settings: Mapping[str, Any] | None = None) -> dict[str, Array]:
    """Return the initial weights of `workload`: {name: float32 array}, in the order of the file.

    `settings` are those of a job; without them the sizes are those of the default settings.
    """
    found: dict[str, Array] = {}
    for name, weight in _declared(workload, settings).items():
        found[name] = _drawn(workload, seed, name, weight, found)
    return found


def stem(workload: str, seed: int, settings: Mapping[str, Any] | None = None) -> str:
    """The name of the file of these weights in the cache, without the hash of its content and the suffix."""
    found = f"{workload}-r{RECIPE}-seed{seed}"
    if WORKLOADS[workload].sized_weights is None:
        return found
    sizes = hashlib.sha256(repr(sorted(_declared(workload, settings).items())).encode()).hexdigest()
    return f"{found}-{sizes[:_NAME_DIGITS]}"


def write(workload: str, seed: int, *, cache: Path, settings: Mapping[str, Any] | None = None) -> tuple[Path, str]:
    """Write the initial weights unless they are in `cache`; return the .npz file and its SHA-256.

    A cached file is named by its content. Raises DataError when it is damaged or cannot be written.
    """
    name = stem(workload, seed, settings)
    for path in sorted((cache / "weights").glob(f"{name}-*.npz")):
        digest = sha256_of(path)
        if digest[:_NAME_DIGITS] != path.stem.rpartition("-")[2]:
            raise DataError(f"{path} is damaged", hint=f"Delete {path}; it is made again when needed.")
        make_readable(path)
        return path, digest
    return _keep(initial_weights(workload, seed, settings), cache / "weights", name)


def _declared(workload: str, settings: Mapping[str, Any] | None) -> Mapping[str, Weight]:
    declaration = WORKLOADS[workload]
    return declaration.weights if settings is None else declaration.weights_for(settings)


def _drawn(workload: str, seed: int, name: str, weight: Weight, before: Mapping[str, Array]) -> Array:
    """One array; `before` holds those declared before it."""
    shape = weight.shape
    match weight.initial:
        case Zeros():
            return np.zeros(shape, np.float32)
        case Ones():
            return np.ones(shape, np.float32)
        case Uniform(bound):
            return _uniform(workload, seed, name, shape, bound)
        case GlorotUniform(gates):
            area = math.prod(shape[2:])  # of a convolution's kernel
            return _uniform(workload, seed, name, shape, math.sqrt(6 / ((shape[1] + shape[0] // gates) * area)))
        case HeNormal():
            scale = math.sqrt(2 * shape[0] / math.prod(shape))  # fan_in is what one output channel has: count / out
            return _normal(workload, seed, name, shape, scale)
        case Normal(deviation):
            return _normal(workload, seed, name, shape, deviation)
        case ActivationMean(kernel, inputs):
            return (inputs * _sums(before[kernel], power=1)).astype(np.float32)
        case ActivationVariance(kernel, inputs):
            return (inputs * _sums(before[kernel], power=2)).astype(np.float32)


def _uniform(workload: str, seed: int, name: str, shape: tuple[int, ...], bound: float) -> Array:
    draws = Draws("weights", workload, name, seed).uniform(math.prod(shape))
    return ((2 * draws - 1) * bound).astype(np.float32).reshape(shape)


def _normal(workload: str, seed: int, name: str, shape: tuple[int, ...], deviation: float) -> Array:
    draws = Draws("weights", workload, name.removesuffix(".weight"), seed).normal(math.prod(shape))
    return (draws * deviation).astype(np.float32).reshape(shape)


def _sums(kernel: Array, *, power: int) -> NDArray[np.float64]:
    """For each output channel of a convolution, the sum of its weights, or of their squares."""
    rows = kernel.reshape(kernel.shape[0], -1).astype(np.float64)
    terms = rows if power == 1 else rows * rows
    # A cumulative sum adds from left to right; the order that np.sum takes depends on the processor.
    sums: NDArray[np.float64] = np.cumsum(terms, axis=1)[:, -1]
    return sums


def _keep(weights: Mapping[str, Array], folder: Path, called: str) -> tuple[Path, str]:
    """Write `weights` to a file of `folder` that is `called` so, and named by its content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in weights.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", _ZIP_TIME), "w") as stream:
                npy.write_header(stream, array.dtype, array.shape)
                stream.write(array.data.cast("B"))
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    path = folder / f"{called}-{digest[:_NAME_DIGITS]}.npz"
    try:
        atomic_write(path, data, mode=READ_ONLY)
    except OSError as error:
        raise cache_error(DataError, path, error) from error
    return path, digest
