"""Import this before CNTK 2.7: it gives today's OpenMPI the names that CNTK asks for, and starts the script anew."""

import os
import sys

LINKS = os.path.join(os.environ["HOME"], "openmpi")
SYSTEM = "/usr/lib/x86_64-linux-gnu"

if os.environ.get("LD_LIBRARY_PATH") != LINKS:  # the linker reads it when a process starts
    os.makedirs(LINKS)
    os.symlink(os.path.join(SYSTEM, "libmpi.so.40"), os.path.join(LINKS, "libmpi.so.12"))
    os.symlink(os.path.join(SYSTEM, "libmpi_cxx.so.40"), os.path.join(LINKS, "libmpi_cxx.so.1"))
    os.environ["LD_LIBRARY_PATH"] = LINKS
    os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606
