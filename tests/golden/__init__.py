"""Golden event streams: what the tiny workloads here must say, in whichever language bench is written.

tiny.py, tiny.jl and tiny.cpp tell the same stories: `train`, `extract`, `diverge` and `refuse`, each with its NAME.jsonl.
"""

import base64
import json
from pathlib import Path

import numpy as np

from orchestrator.record.artifacts import PART

FOLDER = Path(__file__).resolve().parent
STORIES = {"train": 0, "extract": 0, "diverge": 1, "refuse": 1}  # name → exit code
TRAINING = {"epochs": 2, "batch": 4, "train_samples": 10, "test_samples": 6}
JOB = {
    "protocol": 2,
    "framework": "tiny",
    "workload": "cnn",
    "device": "cpu",
    "ranks": 1,
    "precision": "fp32",
    "seed": 1,
    "trace": 2,
    "learning_curve": True,
    "settings": {**TRAINING, "seconds": 0.0},
}
LONGER = {**TRAINING, "batch": 2, "seconds": 0.05}  # several passes of `extract`, but not the most batches that it does
MASKED = {"t", "seconds", "load_s", "build_s", "compile_s", "threads", "denormals"}
RUNTIMES = {"python", "numpy", "julia", "node", "compiler"}


def write_inputs(folder):
    """Write the arrays of the tiny workloads into `folder`, as the host would."""
    pixels = np.arange(12 * 3 * 2 * 2, dtype=np.uint8).reshape(12, 3, 2, 2)
    for split in ("train", "test"):
        np.save(folder / f"x_{split}.npy", pixels)
        np.save(folder / f"y_{split}.npy", np.arange(12, dtype=np.int32) % 2)
    np.save(folder / "order.npy", np.stack([np.arange(10), np.arange(10)[::-1]]).astype(np.int32))
    np.save(folder / "images.npy", np.zeros((2, 2, 3, 224, 224), np.float32))
    np.savez(folder / "weights.npz", bias=np.ones(3, np.float32))


def masked(stream):
    """The events of a stream without what differs from run to run."""
    events = [json.loads(line) for line in stream.splitlines() if not line.startswith(PART)]
    for event in events:
        event.update(dict.fromkeys(MASKED & set(event), 0))
        if "batch_seconds" in event:
            event["batch_seconds"] = [0] * len(event["batch_seconds"])
        if "versions" in event:
            event["versions"] = {name: text for name, text in event["versions"].items() if name not in RUNTIMES}
        if "loss" in event:
            event["loss"] = round(event["loss"], 4)  # a mean's last digits depend on how it is summed up
    return events


def artifacts(stream):
    """The arrays of a stream by their names."""
    found = []
    for line in stream.splitlines():
        content = json.loads(line)
        if line.startswith(PART):
            found[-1][1].extend(base64.b64decode(content["part"]))
        elif content["event"] == "artifact":
            found.append((content, bytearray()))
    return {event["name"]: np.frombuffer(data, event["dtype"]).reshape(event["shape"]) for event, data in found}


def check_passes(stream):
    """Check the passes of `extract` in a job with the settings LONGER."""
    events = [json.loads(line) for line in stream.splitlines() if not line.startswith(PART)]
    cold, timed = (next(event for event in events if event["event"] == name) for name in ("cold", "inference"))
    assert len(cold["batch_seconds"]) == 2
    batches = len(timed["batch_seconds"])
    assert batches > 2
    assert batches % 2 == 0
    assert timed["samples"] == 2 * batches
    assert timed["seconds"] >= LONGER["seconds"] > sum(timed["batch_seconds"][:-2])


def expected(story):
    """The golden stream of one story."""
    return [json.loads(line) for line in (FOLDER / f"{story}.jsonl").read_text().splitlines()]


# framework → (its error's type, its message) when a GPU has no memory left
OUT_OF_MEMORY = {
    "caffe2": (
        "RuntimeError",
        "[enforce fail at context_gpu.cu:536] error == cudaSuccess. 2 vs 0. Error at: context_gpu.cu:536: out of memory",
    ),
    "cntk": ("RuntimeError", "CUDA failure 2: out of memory ; GPU=0 ; hostname=x ; expr=cudaMalloc((void**) &p, n)"),
    "cublas": ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "cudnn": ("RuntimeError", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "cupy": ("OutOfMemoryError", "Out of memory allocating 1,073,741,824 bytes (allocated so far: 0 bytes)."),
    "cuda-runtime": ("CUDARuntimeError", "cudaErrorMemoryAllocation: no room"),
    "jax": ("XlaRuntimeError", "RESOURCE_EXHAUSTED: Failed to reserve 1073741824 bytes."),
    "knet": ("OutOfGPUMemoryError", "Out of GPU memory trying to allocate 1.000 GiB"),
    "knet-driver": ("CuError", "CUDA error: (code 2, ERROR_OUT_OF_MEMORY)"),
    "mxnet": ("MXNetError", "Check failed: e == cudaSuccess: CUDA: out of memory"),
    "mxnet-retry": ("MXNetError", "cudaMalloc retry failed: out of memory"),
    "pytorch": ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 20.00 MiB."),
    "pytorch-cpu": ("RuntimeError", "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
    "tensorflow": (
        "ResourceExhaustedError",
        "{{function_node __wrapped__Conv2D}} OOM when allocating tensor with shape[64]",
    ),
    "tensorflow-copy": (
        "InternalError",
        "Failed copying input tensor from CPU:0 to GPU:0: Dst tensor is not initialized.",
    ),
    "tensorflow-driver": ("InternalError", "failed call to cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY"),
    "libstdc++": ("RuntimeError", "std::bad_alloc"),
}
