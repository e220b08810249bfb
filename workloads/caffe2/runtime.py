"""Where a Caffe2 job runs: the device, and how blobs cross the border between IDEEP and Caffe2's own CPU operators.

On a CPU the operators are IDEEP's, which call oneDNN and keep blobs in whatever layout oneDNN likes best.
"""

import re

import torch
from caffe2.proto import caffe2_pb2
from caffe2.python import brew, core, scope, workspace

ARGUMENTS = {"order": "NCHW", "cudnn_exhaustive_search": True}  # of every operator; let cuDNN measure its kernels once


def start(job):
    """Set Caffe2 up for this job, announce it, and return the core.DeviceOption to use.

    Raises NotImplementedError for a precision other than fp32, RuntimeError where there is no GPU for a GPU's job."""
    if job.precision != "fp32":
        raise NotImplementedError("Caffe2 computes in fp32 here, the job asks for {}".format(job.precision))
    threads = "={}".format(job.threads)
    workspace.GlobalInit(["caffe2", "--caffe2_omp_num_threads" + threads, "--caffe2_mkl_num_threads" + threads])
    notes = ["the Caffe2 inside PyTorch, of the last release that has it"]
    if job.device == "cpu":
        job.start(version=torch.__version__, versions=cpu_libraries(), notes=notes)
        return core.DeviceOption(caffe2_pb2.IDEEP)
    if not workspace.has_gpu_support:
        raise RuntimeError("Caffe2 finds no GPU it can use: its build is for CUDA {}".format(torch.version.cuda))
    versions = {"cuda": torch.version.cuda, "cudnn": str(torch.backends.cudnn.version())}
    job.start(version=torch.__version__, versions=versions, notes=notes)
    return core.DeviceOption(workspace.GpuDeviceType)


def cpu_libraries():
    """Versions of the libraries Caffe2 was built with; it calls oneDNN by its former name."""
    built_with = torch.__config__.show()
    return {
        "onednn": re.search(r"MKL-DNN v([\d.]+)", built_with).group(1),
        "mkl": re.search(r"Math Kernel Library Version ([\d.]+)", built_with).group(1),
    }


def synchronize():
    """Wait until the device has finished. RunNet returns when its last operator has, on a GPU too."""


def is_ideep(device):
    return device.device_type == caffe2_pb2.IDEEP


def without_ideep(device):
    """The device for what IDEEP cannot do: the CPU in its place; any other device can do everything."""
    return core.DeviceOption(caffe2_pb2.CPU) if is_ideep(device) else device


def leave_ideep(net, blob):
    """`blob`, an output of the current device, in Caffe2's own layout. On other devices that is `blob` itself."""
    return _copy("CopyIDEEPToCPU", net, blob, "on_cpu") if is_ideep(scope.CurrentDeviceScope()) else blob


def enter_ideep(net, blob):
    """The way back: `blob`, which lies on the CPU, for IDEEP's operators. On any other device `blob` itself."""
    return _copy("CopyCPUToIDEEP", net, blob, "on_ideep") if is_ideep(scope.CurrentDeviceScope()) else blob


def _copy(kind, net, blob, suffix):
    """Add the operator `kind` by hand: the methods of a net are the operators of CPUs and GPUs, none of IDEEP's own."""
    if not net.BlobIsDefined(blob):
        net.AddExternalInput(blob)
    copy = core.BlobReference("{}_{}".format(blob, suffix), net)
    net.extend_ops([core.CreateOperator(kind, [blob], [copy])])
    return copy


def dropout(model, blob, name, ratio, seed):
    """Dropout that draws its masks from `seed`.

    Never IDEEP's own: that takes its seed from the clock, and drops the same units all through a second."""
    source = leave_ideep(model.net, blob)
    device = core.DeviceOption(without_ideep(scope.CurrentDeviceScope()).device_type, random_seed=seed % 2**32)
    with core.DeviceScope(device):
        dropped = brew.dropout(model, source, name, ratio=ratio, is_test=False)
    return enter_ideep(model.net, dropped)


@core.GradientRegistry.RegisterGradient("CopyIDEEPToCPU")
def _gradient_of_leaving(op, output_gradients):
    return _copied("CopyCPUToIDEEP", op, output_gradients)


@core.GradientRegistry.RegisterGradient("CopyCPUToIDEEP")
def _gradient_of_entering(op, output_gradients):
    return _copied("CopyIDEEPToCPU", op, output_gradients)


def _copied(kind, op, output_gradients):
    """Caffe2 knows no gradients of these two copies; they are the copies of the gradients, the other way."""
    gradient = op.input[0] + "_grad"
    copy = core.CreateOperator(kind, [output_gradients[0]], [gradient], device_option=op.device_option)
    return [copy], [gradient]
