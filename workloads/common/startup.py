"""Prepare the process before NumPy or any framework is imported. Does nothing outside a job.

Three things must happen this early, because libraries start their threads and print their banners on import:

1. stdout is claimed for events; whatever a framework prints goes to stderr and can never corrupt the stream;
2. the CPUs this job was given become the default of every threading library;
3. denormal floats are flushed to zero. They cost up to a factor of ten on CPUs, in some frameworks only, so one
   policy for all of them is part of comparing like with like. New threads inherit the setting from this one.
"""

import ctypes
import mmap
import os
import platform

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

# Functions of a few bytes, called through ctypes: f(uint32_t *control) loads the control register from memory.
SET_CONTROL_REGISTER = {
    "x86_64": b"\x0f\xae\x17\xc3",  # ldmxcsr [rdi]; ret
}
# SSE's default control word (all exceptions masked) with FTZ (bit 15) and DAZ (bit 6) set.
FLUSH_DENORMALS = 0x1F80 | 0x8000 | 0x0040

event_fd = None  # file descriptor of the event stream, once claimed


def claim_stdout():
    """Keep the real stdout for events and point fd 1 at stderr. Returns the descriptor of the event stream."""
    stream = os.dup(1)
    os.dup2(2, 1)
    return stream


def use_given_cpus():
    """Make every threading library default to the CPUs of this process. Returns their number."""
    threads = available_cpus()
    for variable in THREAD_VARIABLES:
        os.environ.setdefault(variable, str(threads))
    return threads


def available_cpus():
    """Number of CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def flush_denormals():
    """Flush denormal floats to zero in this thread and all it starts, where the CPU is known."""
    code = SET_CONTROL_REGISTER.get(platform.machine())
    if code is None:
        return
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:  # a hardened kernel may forbid executable memory; denormals_flushed() tells the truth
        return
    page.write(code)
    load = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    control = ctypes.c_uint32(FLUSH_DENORMALS)
    load(ctypes.addressof(control))


def denormals_flushed():
    """Whether arithmetic in this thread flushes denormals, found by trying."""
    smallest_normal = 2.2250738585072014e-308
    return smallest_normal * float("0.5") == 0.0


if "BENCH_SPEC" in os.environ:
    event_fd = claim_stdout()
    use_given_cpus()
    flush_denormals()
