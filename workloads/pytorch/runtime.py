"""Where a PyTorch job runs: the device, its threads and precision, and how to wait for it."""

import torch


def start(job, fused=None):
    """Set PyTorch up for this job, announce it, and return the torch.device to use.

    Raises NotImplementedError for a precision other than fp32, tf32 or amp."""
    if job.precision not in ("fp32", "tf32", "amp"):
        raise NotImplementedError("these workloads compute in fp32, tf32 or amp, not in {}".format(job.precision))
    torch.manual_seed(job.seed)
    torch.set_num_threads(job.threads)
    if job.device == "cpu":
        device = torch.device("cpu")
        job.start(version=torch.__version__, fused=fused)
        return device
    device = torch.device("cuda")
    torch.backends.cudnn.benchmark = True  # shapes never change, so let cuDNN measure its kernels once
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = job.precision == "tf32"
    versions = {"cuda": torch.version.cuda, "cudnn": str(torch.backends.cudnn.version())}
    job.start(version=torch.__version__, versions=versions, device_name=torch.cuda.get_device_name(), fused=fused)
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


def to_device(batch, device):
    """A NumPy batch as a tensor on `device`. Without a copy on the CPU, through pinned memory to a GPU."""
    tensor = torch.from_numpy(batch)
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
