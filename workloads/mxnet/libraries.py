"""What MXNet's wheels expect the system to have: the GNU runtime and, in the build for GPUs, NVIDIA's libraries.

The latter come as wheels too, which MXNet's own does not look for.
"""

import ctypes
import importlib.util

from workloads.common import cuda, openblas

GNU = {"libgomp.so.1": "libgomp1", "libquadmath.so.0": "libquadmath0"}  # and their packages in Debian
NVIDIA = (  # in the order in which they need one another; cuDNN finds its parts by itself
    "cuda_runtime/lib/libcudart.so.11.0",
    "cuda_nvrtc/lib/libnvrtc.so.11.2",
    "nvtx/lib/libnvToolsExt.so.1",
    "cublas/lib/libcublas.so.11",
    "cudnn/lib/libcudnn.so.8",
    "cufft/lib/libcufft.so.10",
    "curand/lib/libcurand.so.10",
    "cusolver/lib/libcusolver.so.11",
    "nccl/lib/libnccl.so.2",
)


def load():
    """Load MXNet's libraries into this process. Does nothing where MXNet is not installed.

    Raises ImportError, naming the Debian package, where one of the system's is missing."""
    if importlib.util.find_spec("mxnet") is None:
        return
    openblas.use_this_cpu()
    for library, package in GNU.items():
        try:
            ctypes.CDLL(library)
        except OSError as error:
            raise ImportError("MXNet needs {}: apt-get install {} ({})".format(library, package, error)) from None
    cuda.load(NVIDIA)
