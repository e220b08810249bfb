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


def rehearse(device, train_step, predict, x, y, *, model, optimizer, scaler):
    """Do once what will be timed, and leave no trace: functions are compiled when they are first called, and operators
    load their kernels."""
    with runtime.leaving_no_trace(model, optimizer, scaler):
        model.train()
        repeat(device, train_step, x, y)
        model.eval()
        repeat(device, predict, x)
    runtime.synchronize(device)
