"""Keras on JAX: functions of a model's state, compiled whole."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from workloads.jax import runtime

FUSED_GRU = ()  # a scan on every device
# bfloat16 has the range of float32, so that no gradient vanishes and none has to be scaled.
MIXED_POLICY = {"cpu": "mixed_bfloat16", "gpu": "mixed_bfloat16"}


def start(job, **facts):
    runtime.start(job, versions={"jax": jax.__version__}, precisions=("fp32", "tf32", "amp"), **facts)


def dense(gradient):
    """Gradients are dense already."""
    return gradient


def values(variables):
    return [variable.value for variable in variables]


def predictor(model):
    """A function from a batch to what `model` makes of it, as NumPy arrays."""
    state = values(model.trainable_variables), values(model.non_trainable_variables)
    predict = jax.jit(functools.partial(outputs, model))
    return lambda x: np.asarray(predict(state, x))


def outputs(model, state, x):
    """What `model` makes of the batch `x` with its weights and other variables as in `state`."""
    return model.stateless_call(*state, x, training=False)[0]


class Training:
    """One compiled step of training, and one of prediction, of a state that `model` gets back when it is asked for.

    https://keras.io/guides/writing_a_custom_training_loop_in_jax/"""

    def __init__(self, model, x, y):
        model.optimizer.build(model.trainable_variables)
        self._model = model
        self._variables = model.trainable_variables, model.non_trainable_variables, model.optimizer.variables
        self._state = tuple(values(variables) for variables in self._variables)
        self._step = jax.jit(self._train_step, donate_argnums=0).lower(self._state, x, y).compile()
        self._predict = jax.jit(functools.partial(outputs, model)).lower(self._state[:2], x).compile()

    def _train_step(self, state, x, y):
        # Keras reports the mean loss since its metrics were 0: make it that of this batch.
        metrics = [jnp.zeros_like(value) for value in values(self._model.metrics_variables)]
        logs, (*state, _) = self._model.train_step((*state, metrics), (x, y))
        return logs["loss"], tuple(state)

    def step(self, x, y):
        loss, self._state = self._step(self._state, x, y)
        return loss

    def predict(self, x):
        return self._predict(self._state[:2], x)

    def synchronize(self):
        jax.block_until_ready(self._state)

    @property
    def model(self):
        """The model with its weights as they are now."""
        for variables, state in zip(self._variables, self._state):
            for variable, value in zip(variables, state):
                variable.assign(value)
        return self._model
