"""The libraries below Chainer: those CuPy asks for by name, and the versions of what NumPy and iDeep bring along."""

import glob
import importlib.util
import os

from workloads.common import cuda, mkl, openblas

# CuPy 9 compiles its kernels at run time, for 8.6 at most. Beyond that generation it must leave them as PTX, which the
# driver then compiles; on older GPUs that would only ask for a newer driver. It reads the variable as it is imported.
NATIVE = (8, 9)
NVIDIA = (  # in the order in which they need one another; cuDNN finds its parts by itself
    "cuda_runtime/lib/libcudart.so.11.0",
    "cuda_nvrtc/lib/libnvrtc.so.11.2",
    "nvtx/lib/libnvToolsExt.so.1",
    "cublas/lib/libcublasLt.so.11",
    "cublas/lib/libcublas.so.11",
    "cudnn/lib/libcudnn.so.8",
    "cufft/lib/libcufft.so.10",
    "curand/lib/libcurand.so.10",
    "cusolver/lib/libcusolver.so.11",
    "cusparse/lib/libcusparse.so.11",
)


def load():
    """Make `import cupy` find NVIDIA's libraries, and NumPy's OpenBLAS and iDeep's MKL their best code.

    Must come before any of these is imported."""
    openblas.use_this_cpu()
    mkl.use_this_cpu()
    if cuda.capability() > NATIVE:
        os.environ["CUPY_COMPILE_WITH_PTX"] = "1"
    cuda.load(NVIDIA)


def ideep_versions():
    """The versions of what iDeep computes with, once it is loaded: {"mkl": "2018.0.3", "mkl-dnn": "0.14.0"}."""
    import ideep4py  # not before the variable is set

    (path,) = glob.glob(os.path.join(os.path.dirname(ideep4py.__file__), "lib", "libmkldnn.so.*.*"))
    return {"ideep": ideep4py.__version__, "mkl": mkl.version(), "mkl-dnn": path.partition(".so.")[2]}


def openblas_version():
    """The version of the OpenBLAS in NumPy's wheel, None where NumPy was built with another BLAS."""
    numpy = importlib.util.find_spec("numpy")
    folder = os.path.join(os.path.dirname(numpy.submodule_search_locations[0]), "numpy.libs")
    paths = glob.glob(os.path.join(folder, "libopenblas*.so"))
    return openblas.version(paths[0]) if paths else None
