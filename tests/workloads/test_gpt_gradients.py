"""The GPT in NumPy: gradients are slopes, the model is what PROTOCOL.md says, the optimiser does two steps by hand."""

import math
import types

import numpy as np
import pytest

from tests.workloads.slopes import assert_gradients_are_slopes, slopes
from workloads.numpy import gpt, layers

SETTINGS = {"layers": 2, "heads": 2, "width": 8, "context": 5, "dropout": 0.0}
SHAPES = {
    "token.weight": (65, 8),
    "position.weight": (5, 8),
    **{
        f"blocks.{number}.{name}.weight": shape
        for number in range(2)
        for name, shape in {
            "norm1": (8,), "qkv": (24, 8), "out": (8, 8), "norm2": (8,), "up": (32, 8), "down": (8, 32),
        }.items()
    },
    "norm.weight": (8,),
}  # fmt: skip


@pytest.fixture
def generator():
    return np.random.default_rng(1)


@pytest.fixture
def job(generator):
    weights = {name: generator.normal(0.5, 0.5, shape).astype(np.float32) for name, shape in SHAPES.items()}
    return types.SimpleNamespace(weights=lambda: weights, settings=SETTINGS, seed=1)


def test_gradients_of_the_layers(generator):
    assert_gradients_are_slopes(gpt.Linear(generator.normal(size=(3, 4))), generator.normal(size=(6, 4)), generator)
    assert_gradients_are_slopes(gpt.LayerNorm(generator.normal(size=4)), generator.normal(size=(6, 4)), generator)
    assert_gradients_are_slopes(gpt.Gelu(), 2 * generator.normal(size=(6, 4)), generator)
    assert_gradients_are_slopes(gpt.Attention(5, 2, []), generator.normal(size=(10, 24)), generator)


def test_gradients_of_the_whole_model(job, generator):
    model, _ = gpt.build(job, np.dtype(float))
    ids, labels = generator.integers(0, 65, (3, 5)), generator.integers(0, 65, 15)

    def loss():
        return layers.softmax_cross_entropy(model.forward(ids), labels)[0]

    model.backward(layers.softmax_cross_entropy(model.forward(ids), labels)[1])
    gradients, weights = model.gradients(), model.parameters()
    assert list(gradients) == list(weights)
    assert set(weights) == set(SHAPES)
    for name, gradient in gradients.items():
        largest = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        np.testing.assert_allclose(gradient[largest], slopes(loss, weights[name], [largest])[0], rtol=1e-4)


def test_the_model_is_the_one_of_the_specification(job, generator):
    w = {name: array.astype(float) for name, array in job.weights().items()}
    ids = generator.integers(0, 65, 5)

    def norm(x, gain):
        return gain * (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)

    def gelu(x):
        return np.vectorize(lambda each: each * 0.5 * (1 + math.erf(each / math.sqrt(2))))(x)

    def head(q, k, v):
        y = np.zeros_like(v)
        for t in range(len(q)):  # a character sees itself and those before it
            p = np.exp([q[t] @ k[s] / math.sqrt(4) for s in range(t + 1)])
            y[t] = (p / p.sum()) @ v[: t + 1]
        return y

    x = w["token.weight"][ids] + w["position.weight"]
    for number in range(2):
        b = {name.split(".")[2]: array for name, array in w.items() if name.startswith(f"blocks.{number}.")}
        q, k, v = np.split(norm(x, b["norm1"]) @ b["qkv"].T, 3, axis=1)
        y = [head(q[:, part], k[:, part], v[:, part]) for part in (slice(0, 4), slice(4, 8))]
        x = x + np.concatenate(y, axis=1) @ b["out"].T
        x = x + gelu(norm(x, b["norm2"]) @ b["up"].T) @ b["down"].T
    expected = norm(x, w["norm.weight"]) @ w["token.weight"].T
    np.testing.assert_allclose(gpt.build(job, np.dtype(float))[0].forward(ids[None]), expected)


@pytest.mark.parametrize(("dtype", "error"), [(np.float64, 2e-14), (np.float32, 3e-7)])
def test_the_normal_distribution(dtype, error):
    x = np.linspace(-15, 15, 3001).astype(dtype)
    probability, density = gpt.normal_distribution(x)
    assert probability.dtype == density.dtype == dtype
    expected = [0.5 * math.erfc(-each / math.sqrt(2)) for each in x.astype(float)]
    np.testing.assert_allclose(probability, expected, rtol=0, atol=error)
    np.testing.assert_allclose(density, np.exp(-(x.astype(float) ** 2) / 2) / math.sqrt(2 * math.pi), atol=error)


def test_two_steps_of_adamw_by_hand():
    weights = {"matrix": np.ones((1, 2)), "gain": np.ones(2)}
    optimizer = gpt.AdamW(weights, beta1=0.9, beta2=0.99, epsilon=0.5, decay=0.25)
    optimizer.step({"matrix": np.array([[1.0, -2.0]]), "gain": np.array([1.0, -2.0])}, lr=0.1)
    # After one step m̂ = g and √v̂ = |g|. The matrix was multiplied by 1 - 0.1 · 0.25 before.
    moved = np.array([0.1 / 1.5, -0.2 / 2.5])
    np.testing.assert_allclose(weights["gain"], 1 - moved)
    np.testing.assert_allclose(weights["matrix"], [0.975 - moved])
    optimizer.step({"matrix": np.zeros((1, 2)), "gain": np.zeros(2)}, lr=0.2)
    # m = 0.9 · 0.1 g over 1 - 0.9² = 0.19; v = 0.99 · 0.01 g² over 1 - 0.99² = 0.0199.
    second = 0.2 * np.array([0.09, -0.18]) / 0.19 / (np.sqrt(np.array([0.0099, 0.0396]) / 0.0199) + 0.5)
    np.testing.assert_allclose(weights["gain"], 1 - moved - second)
    np.testing.assert_allclose(weights["matrix"], [0.95 * (0.975 - moved) - second])


def test_the_gradient_is_clipped_by_its_norm_over_all_weights():
    gradients = {"a": np.array([3.0, 0.0]), "b": np.array([[4.0]])}  # norm 5
    clipped = gpt.clipped(gradients, 2.5)
    assert (clipped["a"].tolist(), clipped["b"].tolist()) == ([1.5, 0], [[2]])
    assert gpt.clipped(gradients, 6.0)["a"].tolist() == [3, 0]


def test_the_learning_rate_rises_to_its_highest_and_falls_to_its_end():
    rates = [gpt.learning_rate(step, lr=1e-3, lr_end=0.1, warmup=100, decay_steps=2000) for step in range(2001)]
    assert rates[0] == pytest.approx(1e-3 / 101)
    assert rates[99] == pytest.approx(1e-3 * 100 / 101)
    assert rates[100] == max(rates) == pytest.approx(1e-3)
    assert rates[1999] == rates[2000] == pytest.approx(1e-4)
    assert rates[100:] == sorted(rates[100:], reverse=True)


def test_dropout_is_only_in_the_model_that_is_trained(job):
    job.settings = {**SETTINGS, "dropout": 0.2}
    trained, scored = gpt.build(job, np.dtype(float))
    ids = np.arange(5)[None]
    assert (trained.forward(ids) != trained.forward(ids)).any()
    np.testing.assert_array_equal(scored.forward(ids), scored.forward(ids))
    assert all(scored.parameters()[name] is weight for name, weight in trained.parameters().items())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_training_step_stays_in_its_precision(job, dtype):
    job.settings = {**SETTINGS, "dropout": 0.2}
    model, _ = gpt.build(job, np.dtype(dtype))
    loss, dlogits = layers.softmax_cross_entropy(model.forward(np.arange(10).reshape(2, 5)), np.arange(10))
    model.backward(dlogits)
    gpt.AdamW(model.parameters(), 0.9, 0.99, 1e-8, 0.1).step(gpt.clipped(model.gradients(), 1.0), 1e-3)
    assert {loss.dtype, *(g.dtype for g in model.gradients().values())} == {np.dtype(dtype)}
    assert {w.dtype for w in model.parameters().values()} == {np.dtype(dtype)}
