"""Keras on PyTorch."""

import torch

from workloads.pytorch import runtime


def mixed_policy(job):
    return "mixed_bfloat16"


def start(job, **facts):
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


class Training:
    def __init__(self, model, x, y):
        self.model = model
        self.predict = predictor(model)
        model.optimizer.build(model.trainable_variables)
        self.device = model.trainable_variables[0].value.device
        self.predict(x)

    def step(self, x, y):
        model = self.model
        model.zero_grad()
        loss = model.loss(torch.from_numpy(y), model(x, training=True))
        loss.backward()
        weights = model.trainable_variables
        with torch.no_grad():
            model.optimizer.apply([weight.value.grad for weight in weights], weights)
        return loss.detach()

    def synchronize(self):
        runtime.synchronize(self.device)
