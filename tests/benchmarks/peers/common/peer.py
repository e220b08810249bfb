"""What a peer is given and how it reports. This file lies beside the peers in the container: `import peer`.

The data are random, of the shapes and types of the real ones, and whole batches: speed is all that is asked.
"""

import json
import math
import os

import numpy as np

with open(os.environ["BENCH_SPEC"]) as spec:
    JOB = json.load(spec)
SETTINGS = JOB["settings"]  # as in configs/README.md, without the name of the workload: SETTINGS["batch"]
THREADS = len(os.sched_getaffinity(0))
RANDOM = np.random.RandomState(0)


def cifar10():
    """Images, float32 (samples, 3, 32, 32) in [0, 1), and their classes, int64 (samples,)."""
    samples = SETTINGS["train_samples"]
    return RANDOM.rand(samples, 3, 32, 32).astype(np.float32), RANDOM.randint(10, size=samples)


def imdb():
    """Word ids, int32 (samples, 150) below 30,000, and their classes, int64 (samples,)."""
    samples = SETTINGS["train_samples"]
    # Of 30,000 words few are frequent: ids follow Zipf's law, as words do.
    words = np.minimum(30000 ** RANDOM.rand(samples, 150), 29999).astype(np.int32)
    return words, RANDOM.randint(2, size=samples)


def text():
    """A text of 200,000 characters, int32 below 65."""
    return RANDOM.randint(65, size=200000).astype(np.int32)


def share_of_lr(step):
    """By what gpt's learning rate of step 0, 1, … is multiplied: up along a line, then down along half a cosine."""
    warmup, lr_end = SETTINGS["warmup"], SETTINGS["lr_end"]
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, SETTINGS["decay_steps"] - warmup))
    return lr_end + (1 - lr_end) * 0.5 * (1 + math.cos(math.pi * done))


def photos():
    """Batches of images, float32 (batches, batch, 3, 224, 224) in [0, 1)."""
    shape = (SETTINGS["batches"], SETTINGS["batch"], 3, 224, 224)
    return RANDOM.rand(*shape).astype(np.float32)


def report(samples, seconds):
    """Say how many images, reviews or characters took how many seconds, warm-up and compiling left out."""
    print(json.dumps({"samples": samples, "seconds": seconds}))
