"""Where a PyTorch job runs: the device, its threads and precision, and how to wait for it."""

import contextlib
import os

import numpy as np
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from workloads.common.ring import Ring

MEMORY_FORMATS = {"NCHW": torch.contiguous_format, "NHWC": torch.channels_last}


def start(job, version=torch.__version__, versions=None, fused=None, notes=()):
    """Set PyTorch up for this job, announce it, and return the torch.device to use.

    Raises NotImplementedError for a precision other than fp32, tf32 or amp."""
    if job.precision not in ("fp32", "tf32", "amp"):
        raise NotImplementedError("these workloads compute in fp32, tf32 or amp, not in {}".format(job.precision))
    torch.manual_seed(job.seed + (job.rank << 32))  # each rank draws its own masks of dropout
    torch.set_num_threads(job.threads)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = job.precision == "tf32"
    if job.device == "cpu":
        device = torch.device("cpu")
        meet(job, "gloo")
        job.start(version=version, versions=versions, fused=fused, notes=notes)
        return device
    device = torch.device("cuda", job.rank)
    torch.cuda.set_device(device)
    meet(job, "nccl")
    torch.backends.cudnn.benchmark = True  # shapes never change, so let cuDNN measure its kernels once
    versions = dict(versions or {}, cuda=torch.version.cuda, cudnn=str(torch.backends.cudnn.version()))
    job.start(version=version, versions=versions, fused=fused, notes=notes)
    return device


def meet(job, backend):
    """Connect the ranks of this job. They run on one machine, so that its loopback interface is enough."""
    if job.ranks > 1:
        os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = "lo"
        where = "file://" + job.meeting
        distributed.init_process_group(backend, init_method=where, rank=job.rank, world_size=job.ranks)


def parallel(job, model):
    """`model`, trained by all ranks together: gradients are means over them. With one rank, the model itself."""
    return DistributedDataParallel(model) if job.ranks > 1 else model


def mean_over_ranks(job, loss):
    """The loss of the whole batch, from that of this rank's part of it."""
    if job.ranks > 1:
        distributed.all_reduce(loss)
        loss /= job.ranks
    return loss


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


@contextlib.contextmanager
def leaving_no_trace(model, optimizer, scaler):
    """A block after which weights, optimizer, scaler and random numbers are as they were before it."""
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    scale = scaler.state_dict()  # empty without amp
    with torch.random.fork_rng():
        yield
    model.load_state_dict(weights)
    optimizer.zero_grad()
    optimizer.state.clear()
    if scale:
        scaler.load_state_dict(scale)


def rehearse(device, train_step, predict, x, y, *, model, optimizer, scaler):
    """Do once what will be timed, and leave no trace: operators choose and load their kernels when they first run."""
    with leaving_no_trace(model, optimizer, scaler):
        train_step(x, y)
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


def ring(x, y, batch, device):
    """Pinned memory for the batches of a training on a GPU, see Ring; None on a CPU, where nothing is copied."""
    if device.type != "cuda":
        return None

    def empty(shape, dtype):
        return pinned(np.empty(shape, dtype), device)

    def mark():
        event = torch.cuda.Event()
        event.record()
        return event.synchronize

    return Ring(x, y, batch, empty, mark)


def to_device(batch, device):
    """A NumPy batch as a tensor on `device`, without a copy on the CPU. Nothing waits for a copy out of pinned memory.

    https://docs.pytorch.org/tutorials/intermediate/pinmem_nonblock.html"""
    return torch.from_numpy(batch).to(device, non_blocking=True)
