"""Keras on PyTorch. It runs operation by operation, which is what jit_compile="auto" means there."""

import contextlib

import keras
import torch

from workloads.pytorch import runtime

FUSED_GRU = ("gpu",)  # cuDNN's
# bfloat16 has the range of float32, so that no gradient vanishes and none has to be scaled.
MIXED_POLICY = {"cpu": "mixed_bfloat16", "gpu": "mixed_bfloat16"}
EVERYWHERE = contextlib.ExitStack()  # holds to the end of the process


def start(job, **facts):
    EVERYWHERE.enter_context(keras.device(job.device))  # Keras itself would use a GPU wherever there is one
    runtime.start(job, versions={"torch": torch.__version__}, **facts)


def dense(gradient):
    """Gradients are dense already."""
    return gradient


def predictor(model):
    """A function from a batch to what `model` makes of it, as NumPy arrays."""

    @torch.inference_mode()
    def predict(x):
        return model(x, training=False).cpu().numpy()

    return predict


@contextlib.contextmanager
def unchanged(variables):
    """A block after which Keras' variables and PyTorch's random numbers are as they were before it."""
    values = [variable.value.detach().clone() for variable in variables]
    with torch.random.fork_rng():
        yield
    for variable, value in zip(variables, values):
        variable.assign(value)


class Training:
    """One step of training, and one of prediction. A model is a torch.nn.Module here.

    https://keras.io/guides/writing_a_custom_training_loop_in_torch/"""

    def __init__(self, model, x, y):
        self.model = model
        self.predict = predictor(model)
        self.weights = model.trainable_variables
        self.device = self.weights[0].value.device
        model.optimizer.build(self.weights)
        with unchanged(model.variables + model.optimizer.variables):
            self.step(x, y)  # operators choose and load their kernels when they first run
            self.predict(x)
        self.synchronize()

    def step(self, x, y):
        self.model.zero_grad()
        loss = self.model.loss(y, self.model(x, training=True))
        loss.backward()
        with torch.no_grad():
            self.model.optimizer.apply([weight.value.grad for weight in self.weights], self.weights)
        return loss.detach()

    def synchronize(self):
        runtime.synchronize(self.device)
