"""Make `import cntk` work, and work fast, on machines of today.

CNTK 2.7 asks the dynamic linker for libmpi.so.12 and libmpi_cxx.so.1, the names of OpenMPI 1.10. OpenMPI 3 and 4 have
the same functions under the name .so.40, and CNTK calls them in distributed training only. The linker looks for what
a library needs in the folder it was loaded from, so CNTK's own are loaded here, once, through a folder that shows
today's MPI under the old names beside them. Nothing in the environment is changed, and no root is needed.
"""

import ctypes
import importlib.util
import os
import tempfile

from workloads.common import mkl

OLD_NAMES = {"libmpi.so.12": "libmpi.so.40", "libmpi_cxx.so.1": "libmpi_cxx.so.40"}


def load():
    """Load CNTK's libraries into this process. Does nothing where CNTK is not installed.

    Raises ImportError, naming the Debian package, where OpenMPI is missing."""
    cntk = importlib.util.find_spec("cntk")
    if cntk is None:
        return
    mkl.use_this_cpu()
    libraries = os.path.join(cntk.submodule_search_locations[0], "libs")
    with tempfile.TemporaryDirectory() as folder:
        for name in os.listdir(libraries):
            os.symlink(os.path.join(libraries, name), os.path.join(folder, name))
        for old, new in OLD_NAMES.items():
            os.symlink(find(new), os.path.join(folder, old))
        ctypes.CDLL(os.path.join(folder, "libCntk.Core-2.7.so"), mode=ctypes.RTLD_GLOBAL)


def find(library):
    """The path of the file the dynamic linker loads for `library`."""
    try:
        ctypes.CDLL(library)
    except OSError as error:
        raise ImportError("CNTK needs OpenMPI 3 or 4: apt-get install libopenmpi3 ({})".format(error)) from None
    with open("/proc/self/maps", encoding="utf-8") as maps:
        paths = [line.rstrip("\n").split(None, 5)[-1] for line in maps]
    return next(path for path in paths if os.path.basename(path).startswith(library))
