"""Keras on TensorFlow. It compiles a model with XLA on a GPU, and on a CPU only where a workload asks for it."""

import tensorflow as tf

from workloads.tensorflow import runtime as tensorflow

FUSED_GRU = ("gpu",)  # cuDNN's
# Where gradients of float16 could vanish, Keras scales the loss by itself.
MIXED_POLICY = {"cpu": "mixed_bfloat16", "gpu": "mixed_float16"}


def start(job, **facts):
    tensorflow.start(job, versions={"tensorflow": tf.__version__}, precisions=("fp32", "tf32", "amp"), **facts)


def dense(gradient):
    """The gradient of an embedding has a slice for every token of the batch, which Keras would square before it adds up
    those of equal tokens; as a dense tensor they are added up first."""
    return tf.convert_to_tensor(gradient)


def predictor(model):
    """A function from a batch to what `model` makes of it, as NumPy arrays."""
    return model.predict_on_batch


class Training:
    """One compiled step of training, and one of prediction. Every weight is as it was after both have been traced."""

    synchronize = staticmethod(tensorflow.synchronize)

    def __init__(self, model, x, y):
        self.model = model
        self.predict = predictor(model)
        model.optimizer.build(model.trainable_variables)
        model.make_train_function()
        with tensorflow.unchanged(model.variables + model.optimizer.variables):
            self.step(x, y)
        self.predict(x)

    def step(self, x, y):
        """model.train_on_batch without its last act, which waits for the device to return the loss as a float."""
        self.model.reset_metrics()  # Keras reports the mean loss since the last reset: make it that of this batch
        return self.model.train_function(iter([(x, y)]))["loss"]
