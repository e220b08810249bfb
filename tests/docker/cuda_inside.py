"""Runs inside a CUDA image, without a GPU: what its libraries need, and which GPUs they carry code for. Prints JSON.

    cuda_inside.py driver     the functions of NVIDIA's driver that its libraries cannot be loaded without
    cuda_inside.py IMAGE      its report

Any Python from 3.6 on; pyelftools must be importable.
"""

import collections
import ctypes
import importlib
import json
import os
import re
import struct
import subprocess
import sys
import sysconfig

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

PACKAGES = sysconfig.get_paths()["purelib"]
DRIVER = {"libcuda.so.1", "libnvidia-ml.so.1"}  # these come from the host, with the GPU
FATBIN = 0xBA55ED50  # starts every bundle of GPU code
KINDS = {1: "ptx", 2: "native"}
CUDNN_PARTS = {
    "7": [],  # in one piece
    "8": ["OpsInfer", "OpsTrain", "CnnInfer", "CnnTrain", "AdvInfer", "AdvTrain"],
    "9": ["Graph", "Ops", "Cnn", "Adv"],
}
FRAMEWORKS = {  # image: the package of its workloads, the package itself, the library with its GPU code
    "caffe2": ("workloads.caffe2", "caffe2.python.workspace", "torch/lib/libcaffe2_detectron_ops_gpu.so"),
    "chainer": ("workloads.chainer", "chainer", "cupy/cuda/thrust.*.so"),
    "cntk": ("workloads.cntk", "cntk", "cntk/libs/libCntk.Math-2.7.so"),
    "jax": ("workloads.jax", "jax", "jax_plugins/xla_cuda13/xla_cuda_plugin.so"),
    "mxnet": ("workloads.mxnet", "mxnet", "mxnet/libmxnet.so"),
    "pytorch": ("workloads.pytorch", "torch", "torch/lib/libtorch_cuda.so"),
    "tensorflow": ("workloads.tensorflow", "tensorflow", "tensorflow/libtensorflow_cc.so.2"),
}


def shared_objects():
    for folder, _, names in os.walk(PACKAGES):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if re.search(r"\.so(\.|$)", name) and not os.path.islink(path) and is_elf(path):
                yield path


def is_elf(path):
    with open(path, "rb") as file:
        try:
            return ELFFile(file).get_section_by_name(".dynamic") is not None
        except ELFError:  # a linker script, say
            return False


def driver_functions():
    """Those that libraries are linked with, and those that cuDNN 8 asks for by name and must get."""
    found = set()
    for path in shared_objects():
        with open(path, "rb") as file:
            elf = ELFFile(file)
            needed = {tag.needed for tag in elf.get_section_by_name(".dynamic").iter_tags("DT_NEEDED")}
            if needed & DRIVER:
                symbols = elf.get_section_by_name(".dynsym").iter_symbols()
                undefined = (symbol.name for symbol in symbols if symbol["st_shndx"] == "SHN_UNDEF")
                found.update(name for name in undefined if re.match(r"cu[A-Z]|nvml[A-Z]", name))
            if os.path.basename(path).startswith("libcudnn_"):
                strings = elf.get_section_by_name(".rodata").data().split(b"\0")
                found.update(text.decode() for text in strings if re.fullmatch(rb"cu[A-Z]\w+", text))
    return sorted(found)


def unresolved():
    """{library: who needs it}, of those the dynamic linker would not find, once the framework is imported."""
    missing = collections.defaultdict(list)
    for path in shared_objects():
        done = subprocess.run(
            ["ldd", path], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
        )
        for name in re.findall(r"^\s*(\S+) => not found", done.stdout, re.MULTILINE):
            # What lies beside a library is loaded by the path its own parent has.
            if not os.path.exists(os.path.join(os.path.dirname(path), name)) and not is_loaded(name):
                missing[name].append(os.path.relpath(path, PACKAGES))
    return missing


def is_loaded(name):
    """Whether the linker already has a library of this name, and so need not look for it."""
    try:
        ctypes.CDLL(name, mode=os.RTLD_NOLOAD)
    except OSError:
        return False
    return True


def gpu_code(pattern):
    """{"native" or "ptx": compute capabilities} that at least half of the bundles in a library are compiled for."""
    (path,) = (path for path in shared_objects() if re.fullmatch(pattern, os.path.relpath(path, PACKAGES)))
    with open(path, "rb") as file:
        counts = collections.Counter(bundled(ELFFile(file).get_section_by_name(".nv_fatbin").data()))
    code = collections.defaultdict(list)
    for (kind, arch), count in sorted(counts.items()):
        if 2 * count >= max(counts.values()):
            code[kind].append("{}.{}".format(*divmod(arch, 10)))
    return code


def bundled(section):
    """(kind, architecture) of every piece in a .nv_fatbin section; cuobjdump of today no longer lists old ones."""
    at = 0
    while at + 16 <= len(section):
        magic, _, header, size = struct.unpack_from("<IHHQ", section, at)
        if magic != FATBIN:  # padding
            at += 8
            continue
        at += header
        end = at + size
        while at < end:
            kind, _, header, size = struct.unpack_from("<HHIQ", section, at)
            (arch,) = struct.unpack_from("<I", section, at + 28)
            yield KINDS[kind], arch
            at += header + size


def cudnn():
    """{version, cuda, parts: {name: status}} of the cuDNN that is loaded, or can be; None where it is linked in."""
    for major, parts in CUDNN_PARTS.items():
        paths = [path for path in shared_objects() if os.path.basename(path) == "libcudnn.so." + major]
        if paths:
            library = ctypes.CDLL(paths[0])
            library.cudnnGetVersion.restype = library.cudnnGetCudartVersion.restype = ctypes.c_size_t
            # The first call into a part loads it.
            loaded = {part: getattr(library, f"cudnn{part}VersionCheck")() for part in parts}
            return {
                "version": library.cudnnGetVersion(),
                "cuda": library.cudnnGetCudartVersion(),
                "parts": loaded,
            }
    return None


def versions(image, package):
    """(version of the framework, its CUDA), as it says itself; None for a CUDA it does not tell."""
    if image == "tensorflow":
        return package.__version__, package.sysconfig.get_build_info()["cuda_version"]
    if image == "jax":
        built = importlib.import_module("jax_cuda13_plugin._versions").cuda_runtime_build_version()
        return package.__version__, "{}.{}".format(built // 1000, built % 1000 // 10)
    if image == "chainer":
        cupy = importlib.import_module("cupy")  # Chainer does without, and keeps the reason to itself
        return package.__version__, "{}.{}".format(*cupy.cuda.nvrtc.getVersion())
    if image in {"caffe2", "pytorch"}:
        torch = importlib.import_module("torch")
        return torch.__version__.partition("+")[0], torch.version.cuda
    return package.__version__, None


def report(image):
    workloads, name, library = FRAMEWORKS[image]
    importlib.import_module(workloads)  # it knows where its libraries are
    version, cuda = versions(image, importlib.import_module(name))
    return {
        "version": version,
        "cuda": cuda,
        "cudnn": cudnn(),
        "unresolved": unresolved(),
        "code": gpu_code(library),
    }


if __name__ == "__main__":
    stream = os.dup(1)
    os.dup2(2, 1)  # whatever a framework prints
    answer = driver_functions() if sys.argv[1] == "driver" else report(sys.argv[1])
    with os.fdopen(stream, "w") as out:
        json.dump(answer, out)
