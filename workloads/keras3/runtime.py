"""Where a Keras 3 job runs: on its backend. What is not the same on all of them is in the file named after it.

These files have the same parts: FUSED_GRU, the devices where one kernel computes the GRU over all time steps,
MIXED_POLICY, Keras' mixed precision on each device, start, dense, predictor and Training.
"""

import keras
from keras import ops

if keras.backend.backend() == "jax":
    from workloads.keras3 import backend_jax as backend
elif keras.backend.backend() == "tensorflow":
    from workloads.keras3 import backend_tensorflow as backend
else:
    from workloads.keras3 import backend_torch as backend

Training, predictor, FUSED_GRU = backend.Training, backend.predictor, backend.FUSED_GRU


def start(job, fused=None, notes=()):
    """Set Keras and its backend up for this job and announce it. Must come before the first operation."""
    keras.utils.set_random_seed(job.seed)
    if job.precision == "amp":
        keras.mixed_precision.set_global_policy(backend.MIXED_POLICY[job.device])
    backend.start(job, version=keras.__version__, fused=fused, notes=notes)


def as_published(optimizer):
    """`optimizer`, Keras' Adam or AdamW, computing what was published: w <- w - lr m̂ / (√v̂ + ε).

    Keras adds ε to √v, which still lacks the bias correction √(1 - β₂ᵗ); scaled by the same factor, ε is ε again."""
    epsilon, apply = optimizer.epsilon, optimizer.apply

    def apply_as_published(gradients, variables=None):
        step = ops.cast(optimizer.iterations + 1, "float32")
        optimizer.epsilon = epsilon * ops.sqrt(1 - ops.power(optimizer.beta_2, step))
        apply([backend.dense(gradient) for gradient in gradients], variables)

    optimizer.apply = apply_as_published
    return optimizer


def dotted(name):
    """The name of a layer's weights. PyTorch allows no dot in the name of a layer, so that one has a hyphen instead."""
    return name.replace("-", ".")
