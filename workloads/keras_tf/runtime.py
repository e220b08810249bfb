"""Where a Keras job runs, and one compiled step of training."""

import keras
import tensorflow as tf

from workloads.tensorflow import runtime as tensorflow


def start(job, fused=None, notes=()):
    """Set Keras and TensorFlow up for this job and announce it. Must come before the first operation."""
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError("Keras runs on {}: set KERAS_BACKEND=tensorflow".format(keras.backend.backend()))
    keras.utils.set_random_seed(job.seed)
    if job.precision == "amp":  # Keras then scales the loss by itself where gradients of float16 could vanish
        keras.mixed_precision.set_global_policy("mixed_float16" if job.device == "gpu" else "mixed_bfloat16")
    tensorflow.start(
        job,
        version=keras.__version__,
        versions={"tensorflow": tf.__version__},
        fused=fused,
        notes=notes,
        precisions=("fp32", "tf32", "amp"),
    )


synchronize = tensorflow.synchronize


def train_on_batch(model, x, y):
    """model.train_on_batch without its last act, which waits for the device to return the loss as a float."""
    model.reset_metrics()  # Keras reports the mean loss since the last reset: make it that of this batch
    return model.train_function(iter([(x, y)]))["loss"]


def compile_ahead(model, x, y):
    """Trace and compile one step of training and of prediction, and leave every weight as it was."""
    model.optimizer.build(model.trainable_variables)
    model.make_train_function()
    with tensorflow.unchanged(model.variables + model.optimizer.variables):
        train_on_batch(model, x, y)
    model.predict_on_batch(x)
