"""Where an MXNet job runs, and what its workloads share. Gluon is another interface to the same engine."""

import math
import os
import re
import sys

import mxnet as mx
import numpy as np

from workloads.common import openblas

WEIGHTS_PER_CALL = 45  # of the AdamW operator; it has room for 50, and does not check
SMALLEST = np.float32(2**-126)  # normal float; a softmax may round to 0 what has a finite logarithm


def start(job, fused=None):
    """Set MXNet up for this job, announce it, and return the context to use.

    `fused`: whether the workload uses the RNN operator, which oneDNN or cuDNN compute in one go; None without one."""
    if job.precision not in ("fp32", "tf32"):
        raise NotImplementedError("the MXNet workloads compute in fp32 or tf32, not in {}".format(job.precision))
    mx.random.seed(job.seed)
    versions = {"openblas": openblas_version()}
    if job.device == "gpu":
        job.start(version=mx.__version__, versions=versions, fused=fused)
        return mx.gpu()
    notes = openblas.notes()
    if onednn_enabled():
        versions["onednn"] = onednn_version()
    else:
        notes.append("oneDNN is switched off: MXNet's own operators on OpenBLAS")
        if fused:
            forbid_rnn_without_kernel()
            fused = False
    job.start(version=mx.__version__, versions=versions, fused=fused, notes=notes)
    return mx.cpu()


def onednn_enabled():
    return mx.runtime.Features().is_enabled("MKLDNN") and os.environ.get("MXNET_MKLDNN_ENABLED", "1") != "0"


def forbid_rnn_without_kernel():
    """Without oneDNN the RNN operator needs this setting; else it returns zeros, and zero gradients, in silence."""
    if os.environ.get("MXNET_USE_MKLDNN_RNN", "1") != "0":
        raise RuntimeError("MXNET_MKLDNN_ENABLED=0 needs MXNET_USE_MKLDNN_RNN=0, or the RNN operator returns zeros")


def openblas_version():
    library = os.path.join(os.path.dirname(mx.libinfo.find_lib_path()[0]), "libopenblas.so.0")
    return openblas.version(library)


def onednn_version():
    """From the header beside the library, as MXNet has no function that tells."""
    header = os.path.join(mx.libinfo.find_include_path(), "mkldnn", "oneapi", "dnnl", "dnnl_version.h")
    with open(header, encoding="utf-8") as file:
        return ".".join(re.findall(r"define DNNL_VERSION_(?:MAJOR|MINOR|PATCH)\s+(\d+)", file.read()))


class Adam(mx.optimizer.Adam):
    """Adam as published: w ← w − lr · m̂ / (√v̂ + ε).

    MXNet adds ε to √v, which still lacks the bias correction √(1 − β₂ᵗ); scaled by the same factor, ε is ε again."""

    def __init__(self, epsilon, **options):
        super().__init__(**options)
        self.published_epsilon = epsilon

    def update(self, index, weight, grad, state):
        step = self._index_update_count.get(index, 0) + 1
        self.epsilon = self.published_epsilon * math.sqrt(1 - self.beta2**step)
        super().update(index, weight, grad, state)


class AdamW(mx.optimizer.Optimizer):
    """Adam with decoupled weight decay, after the gradient of all weights together was clipped to the norm `clip`.

    MXNet's operator has no bias correction: w ← w − η · (α · m / (√v + ε) + decay · w). With η the learning rate,
    α = √(1 − β₂ᵗ) / (1 − β₁ᵗ) and ε multiplied by √(1 − β₂ᵗ) it has."""

    def __init__(self, beta1, beta2, epsilon, clip, **options):
        super().__init__(**options)
        self.beta1, self.beta2, self.epsilon, self.clip = beta1, beta2, epsilon, clip
        self.aggregate_num = sys.maxsize  # `update` is called once with all weights: the norm needs all gradients

    def create_state(self, index, weight):
        return mx.nd.zeros_like(weight), mx.nd.zeros_like(weight)

    def update(self, index, weight, grad, state):
        self._update_count(index)
        rates, decays = self._get_lrs(index), self._get_wds(index)
        correction = math.sqrt(1 - self.beta2**self.num_update)
        alpha = correction / (1 - self.beta1**self.num_update)
        norm = mx.nd.multi_sum_sq(*grad, num_arrays=len(grad)).sum().sqrt()  # not yet multiplied by rescale_grad
        factor = mx.nd.minimum(self.clip / norm, self.rescale_grad)  # stays on the device; nothing waits for it
        for first in range(0, len(index), WEIGHTS_PER_CALL):
            part = slice(first, first + WEIGHTS_PER_CALL)
            mx.nd.contrib.multi_adamw_update(
                weight[part],
                grad[part],
                *zip(*state[part]),
                rescale_grad=factor,
                lrs=[alpha] * len(index[part]),
                etas=rates[part],
                wds=decays[part],
                beta1=self.beta1,
                beta2=self.beta2,
                epsilon=self.epsilon * correction,
                out=weight[part],
            )


def cosine_schedule(lr, lr_end, warmup, decay_steps):
    """Up along a line for `warmup` steps, then down along half a cosine to lr · lr_end, as in PROTOCOL.md.

    MXNet counts steps from 1 and PROTOCOL.md from 0: hence one step more, here and for the end."""
    warmup_steps = warmup + 1
    max_update = max(decay_steps, warmup_steps + 1)
    return mx.lr_scheduler.CosineScheduler(max_update, base_lr=lr, final_lr=lr * lr_end, warmup_steps=warmup_steps)


def interleaved(qkv, heads):
    """The rows of `qkv` in the order that MXNet's attention reads: for each head its query, its key and its value."""
    return qkv.reshape(3, heads, -1, qkv.shape[1]).transpose(1, 0, 2, 3).reshape(qkv.shape)


def stacked(qkv, heads):
    """The inverse of `interleaved`: all queries, then all keys, then all values."""
    return qkv.reshape(heads, 3, -1, qkv.shape[1]).transpose(1, 0, 2, 3).reshape(qkv.shape)


def batch(x, y=None):
    """NumPy arrays as what a Module takes; it copies them to its own device."""
    return mx.io.DataBatch(data=[mx.nd.array(x)], label=None if y is None else [mx.nd.array(y)])


def cross_entropy(probabilities, labels):
    """The mean over the batch, from the output of SoftmaxOutput, whose value is not the loss but the softmax."""
    chosen = probabilities.asnumpy()[np.arange(len(labels)), labels]
    return -np.log(np.maximum(chosen, SMALLEST)).mean()
