"""Where the time of PyTorch's rows goes: torch.profiler over some steps of their own code, as text.

python -m tests.gpu.profiles DEVICE DATASET
"""

import itertools
import sys
import time

import torch
from torch.profiler import ProfilerActivity, profile

from tests.gpu import one_job
from workloads.common import epochs
from workloads.pytorch import cnn, gpt, resnet50, rnn

GPU = sys.argv[1] == "gpu"
SKIPPED, STEPS = (40, 50) if GPU else (1, 2)
ACTIVITIES = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * GPU
CASES = [(cnn, "fp32"), (rnn, "fp32"), (gpt, "fp32"), (resnet50, "fp32")]
if GPU:
    CASES += [(resnet50, "tf32"), (cnn, "amp"), (gpt, "amp")]


def synchronize():
    if GPU:
        torch.cuda.synchronize()


def training(module, name, precision):
    """Profile STEPS steps of a training, after SKIPPED."""
    some = 64 * (SKIPPED + STEPS + 2)
    sizes = {"train_samples": some, "test_samples": 64}
    if name == "gpt":
        sizes = {"steps": SKIPPED + STEPS + 2, "test_samples": 1024, "batch": 64 if GPU else 2}
    job = one_job.of(name, precision, sys.argv[1], sys.argv[2], epochs=1, **sizes)
    profiler, times, number = profile(activities=ACTIVITIES), [], itertools.count(1)
    real = epochs.Epoch.step

    def step(epoch, loss):
        real(epoch, loss)
        if next(number) in (SKIPPED, SKIPPED + STEPS):
            synchronize()
            (profiler.stop if times else profiler.start)()
            times.append(time.perf_counter())

    epochs.Epoch.step = step
    try:
        module.run(job)
    finally:
        epochs.Epoch.step = real
    show(f"{name} {precision}", profiler, STEPS, times[1] - times[0])


def inference(precision):
    """Profile a pass over the batches, after one that is not profiled."""
    sizes = {"batches": 10, "batch": 32} if GPU else {"batches": 1, "batch": 4}
    job = one_job.of("resnet50", precision, sys.argv[1], sys.argv[2], **sizes)

    def extract(features, images, sync):
        for batch in images:
            features(batch)
        sync()
        with profile(activities=ACTIVITIES) as profiler:
            began = time.perf_counter()
            for batch in images:
                features(batch)
            sync()
            seconds = time.perf_counter() - began
        show(f"resnet50 {precision}", profiler, len(images), seconds)

    job.extract = extract
    resnet50.run(job)


def show(title, profiler, steps, seconds):
    events = [event for event in profiler.events() if "CUDA" in str(event.device_type)]
    busy = sum(event.self_device_time_total for event in events) / 1e3 / steps
    print(
        f"\n#### {title}: {1e3 * seconds / steps:.3f} ms a step under the profiler; on the GPU {busy:.3f} ms", end=" "
    )
    print(f"and {len(events) / steps:.1f} kernels and copies a step")
    order = "self_device_time_total" if GPU else "self_cpu_time_total"
    print(profiler.key_averages().table(sort_by=order, row_limit=20, max_name_column_width=80), flush=True)


for module, precision in CASES:
    name = module.__name__.rpartition(".")[2]
    try:
        inference(precision) if module is resnet50 else training(module, name, precision)
    except Exception as error:  # noqa: BLE001  (the other profiles are worth having)
        print(f"\n#### {name} {precision}: {type(error).__name__}: {error}", flush=True)
