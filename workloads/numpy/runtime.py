"""What a NumPy job computes with: the number type and the library behind the matrix product."""

import numpy as np

DTYPES = {"fp32": np.float32, "fp64": np.float64}


def start(job, fused=None, notes=()):
    """Announce this job and return the dtype it computes in. Raises NotImplementedError for any other precision."""
    if job.precision not in DTYPES:
        raise NotImplementedError("NumPy computes in {}, not in {}".format(" or ".join(DTYPES), job.precision))
    job.start(version=np.__version__, versions={"blas": blas()}, fused=fused, notes=notes)
    return np.dtype(DTYPES[job.precision])


def blas():
    """Name and version of the BLAS library behind NumPy's matrix product, `unknown` before NumPy 1.25."""
    config = getattr(np.__config__, "CONFIG", None)
    if config is None:
        return "unknown"
    library = config["Build Dependencies"]["blas"]
    return "{} {}".format(library["name"], library["version"])


def synchronize():
    """Wait until the device has finished. NumPy returns when the result is there."""
