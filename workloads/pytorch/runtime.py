"""Where a PyTorch job runs: the device, its threads and precision, and how to wait for it."""

import torch

MEMORY_FORMATS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}


def start(job, version=torch.__version__, versions=None, fused=None, notes=()):
    """Set PyTorch up for this job, announce it, and return the torch.device to use.

    Raises NotImplementedError for a precision other than fp32, tf32 or amp."""
    if job.precision not in ("fp32", "tf32", "amp"):
        raise NotImplementedError("these workloads compute in fp32, tf32 or amp, not in {}".format(job.precision))
    torch.manual_seed(job.seed)
    torch.set_num_threads(job.threads)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = job.precision == "tf32"
    if job.device == "cpu":
        device = torch.device("cpu")
        job.start(version=version, versions=versions, fused=fused, notes=notes)
        return device
    device = torch.device("cuda")
    torch.backends.cudnn.benchmark = True  # shapes never change, so let cuDNN measure its kernels once
    versions = dict(versions or {}, cuda=torch.version.cuda, cudnn=str(torch.backends.cudnn.version()))
    name = torch.cuda.get_device_name()
    job.start(version=version, versions=versions, device_name=name, fused=fused, notes=notes)
    return device


def autocast(job, device):
    """A block that computes in 16 bits what PyTorch deems safe: float16 on a GPU, bfloat16 on a CPU. Else in fp32."""
    return torch.autocast(device.type, enabled=job.precision == "amp")


def gradient_scaler(job, device):
    """Keeps the small gradients of float16 from vanishing; does nothing where there is no float16."""
    return torch.amp.GradScaler(device.type, enabled=job.precision == "amp" and device.type == "cuda")


def synchronize(device):
    """Wait until `device` has finished all its work. A CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rehearse(device, forward_backward, predict, x, y):
    """Do once what will be timed: operators choose and load their kernels when they first run.

    No trace is left: without an update no weight changes and the optimizer stays as new, and dropout draws its masks
    as if nothing had been drawn."""
    with torch.random.fork_rng():
        forward_backward(x, y)
        predict(x)
    synchronize(device)


def image_layout(job, device):
    """The order of images in memory, "NCHW" or "NHWC", that convolutions are the faster with.

    oneDNN's on a CPU and those of a GPU's 16 bit units want channels last; cuDNN's for 32 bits were written for NCHW.
    https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html"""
    return "NCHW" if device.type == "cuda" and job.precision != "amp" else "NHWC"


def as_nchw(images, layout):
    """A tensor of images in `layout` as PyTorch wants to see it, whatever the order in memory; nothing is copied."""
    return images.permute(0, 3, 1, 2) if layout == "NHWC" else images


def pinned(array, device):
    """`array` where a GPU can fetch it by itself while other work goes on; on a CPU the array itself."""
    return torch.from_numpy(array).pin_memory().numpy() if device.type == "cuda" else array


def to_device(batch, device):
    """A NumPy batch as a tensor on `device`, without a copy on the CPU.

    Nothing waits for a copy out of pinned memory. A batch gathered just now is not pinned first: that is one more copy
    by the same thread, and costs more than it saves.
    https://docs.pytorch.org/tutorials/intermediate/pinmem_nonblock.html"""
    return torch.from_numpy(batch).to(device, non_blocking=True)
