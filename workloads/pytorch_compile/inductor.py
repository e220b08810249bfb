"""PyTorch's compiler, Inductor: how these workloads call it, and how they wait until it is done.

It writes C++ for a CPU and Triton for a GPU. What it compiles is kept below the folder for temporary files, which is
the job's own, so that every job compiles anew.
"""

import functools

import torch
from torch._inductor import config

from workloads.pytorch import runtime


def compiler(device):
    """torch.compile for functions that are one graph each, with arguments whose shapes never change.

    On a GPU the kernels of a graph start together, as a CUDA graph. On a CPU PyTorch's own generator draws the masks of
    dropout faster than the C++ that Inductor would write for it."""
    config.fallback_random = device.type == "cpu"
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    return functools.partial(torch.compile, fullgraph=True, dynamic=False, mode=mode)


def repeat(device, function, *arguments):
    """Call `function` until it is compiled: once. A CUDA graph takes three calls, it is recorded in the second."""
    for _ in range(3 if device.type == "cuda" else 1):
        function(*arguments)


def rehearse(device, model, forward_backward, predict, x, y):
    """Do once what will be timed: functions are compiled when they are first called, and operators load their kernels.

    No trace is left: without an update no weight changes and the optimizer stays as new, and dropout draws its masks
    as if nothing had been drawn."""
    with torch.random.fork_rng():
        model.train()
        repeat(device, forward_backward, x, y)
        model.eval()
        repeat(device, predict, x)
    runtime.synchronize(device)
