"""The NumPy workloads: every gradient is the slope of its layer, and every layer is what its definition says.

All in float64 on tiny shapes. A slope is a central difference of L = Σ coefficients · y at random coordinates.
"""

import json
import types

import numpy as np
import pytest

from tests.workloads.slopes import assert_gradients_are_slopes, assert_is_slope, slopes
from workloads.numpy import cnn, layers, resnet50, rnn, runtime


@pytest.fixture
def generator():
    return np.random.default_rng(1)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_convolution_gradients(size, generator):
    layer = layers.Convolution(generator.normal(size=(4, 3, size, size)), generator.normal(size=4))
    assert_gradients_are_slopes(layer, generator.normal(size=(3, 6, 5, 3)), generator)


@pytest.mark.parametrize(("size", "side", "images"), [(1, 64, 40), (3, 40, 10), (5, 32, 6)])
def test_a_batch_in_portions_has_the_values_and_gradients_of_its_images(size, side, images, generator):
    layer = layers.Convolution(generator.normal(size=(4, 8, size, size)), generator.normal(size=4))
    x, dy = (generator.normal(size=(images, side, side, channels)) for channels in (8, 4))
    assert len(layers.portions(x, dy, size)) > 2
    y, dx = layer.forward(x), layer.backward(dy)
    gradients = [np.zeros_like(gradient) for gradient in layer.gradients]
    whole = [gradient.copy() for gradient in layer.gradients]
    for number in range(len(x)):
        image = slice(number, number + 1)
        np.testing.assert_allclose(layer.forward(x[image]), y[image])
        np.testing.assert_allclose(layer.backward(dy[image]), dx[image])
        gradients = [total + gradient for total, gradient in zip(gradients, layer.gradients, strict=True)]
    for total, gradient in zip(gradients, whole, strict=True):
        np.testing.assert_allclose(gradient, total, rtol=1e-9, atol=1e-9)


def test_a_first_convolution_has_the_same_weight_gradients_and_passes_none_on(generator):
    weight, bias = generator.normal(size=(4, 3, 3, 3)), generator.normal(size=4)
    x = generator.normal(size=(2, 6, 4, 3))
    first, inner = layers.Convolution(weight, bias, input_gradient=False), layers.Convolution(weight, bias)
    dy = generator.normal(size=first.forward(x).shape)
    inner.forward(x)
    assert first.backward(dy) is None
    assert inner.backward(dy) is not None
    for ours, theirs in zip(first.gradients, inner.gradients, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "make",
    [
        lambda generator: layers.MaxPool(),
        lambda generator: layers.Relu(),
        lambda generator: layers.Flatten(),
    ],
    ids=["max pool", "relu", "flatten"],
)
def test_gradients_of_layers_without_parameters(make, generator):
    assert_gradients_are_slopes(make(generator), generator.normal(size=(2, 4, 6, 3)), generator)


def test_dense_gradients(generator):
    layer = layers.Dense(generator.normal(size=(5, 7)), generator.normal(size=5))
    assert_gradients_are_slopes(layer, generator.normal(size=(4, 7)), generator)


def test_gru_gradients(generator):
    inputs, units = 4, 3
    shapes = [(3 * units, inputs), (3 * units, units), (3 * units,), (3 * units,)]
    layer = rnn.Gru(*(generator.normal(size=shape) for shape in shapes))
    assert_gradients_are_slopes(layer, generator.normal(size=(5, 2, inputs)), generator)


def test_embedding_gradient_sums_over_every_occurrence_of_a_token(generator):
    tokens = np.array([[0, 3, 3], [0, 1, 3]], np.int32)  # 2 never occurs
    layer = rnn.Embedding(generator.normal(size=(4, 5)))
    dy = generator.normal(size=layer.forward(tokens).shape)
    assert layer.backward(dy) is None
    (gradient,) = layer.gradients
    np.testing.assert_allclose(gradient[0], dy[0, 0] + dy[1, 0])
    np.testing.assert_allclose(gradient[1], dy[1, 1])
    np.testing.assert_array_equal(gradient[2], 0)
    np.testing.assert_allclose(gradient[3], dy[0, 1] + dy[0, 2] + dy[1, 2])


def test_softmax_cross_entropy_gradient(generator):
    scores, labels = generator.normal(size=(6, 4)) * 3, generator.integers(0, 4, 6)
    loss, gradient = layers.softmax_cross_entropy(scores, labels)
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert loss == pytest.approx(-np.log(probabilities[range(6), labels]).mean())
    assert_is_slope(gradient, lambda: layers.softmax_cross_entropy(scores, labels)[0], scores, generator)


def test_softmax_cross_entropy_of_huge_scores_is_finite():
    loss, gradient = layers.softmax_cross_entropy(np.array([[1e4, -1e4], [-1e4, 1e4]]), np.array([0, 0]))
    assert loss == pytest.approx(1e4)
    np.testing.assert_allclose(gradient, [[0, 0], [-0.5, 0.5]])


class TestDropout:
    def test_drops_at_its_rate_and_keeps_the_mean(self):
        layer = layers.Dropout(0.25, np.random.default_rng(1))
        y = layer.forward(np.full((400, 100), 3.0))
        assert set(np.unique(y)) == {0.0, 4.0}
        assert (y == 0).mean() == pytest.approx(0.25, abs=0.01)

    def test_the_gradient_passes_where_the_numbers_did(self, generator):
        layer = layers.Dropout(0.5, np.random.default_rng(1))
        y = layer.forward(np.ones((20, 20)))
        dy = generator.normal(size=y.shape)
        np.testing.assert_array_equal(layer.backward(dy), dy * y)

    def test_one_seed_is_one_sequence_of_masks(self):
        one, same, other = (layers.Dropout(0.5, np.random.default_rng(seed)) for seed in (1, 1, 2))
        x = np.ones((20, 20))
        first = one.forward(x)
        np.testing.assert_array_equal(same.forward(x), first)
        assert (other.forward(x) != first).any()
        assert (one.forward(x) != first).any()


def test_max_pool_gradient_goes_to_the_first_maximum_row_by_row():
    windows = {  # the window, and the place that gets the gradient
        (5, 5, 5, 5): 0,
        (1, 5, 5, 5): 1,
        (1, 5, 5, 1): 1,
        (1, 1, 5, 5): 2,
        (5, 1, 1, 5): 0,
        (1, 1, 1, 5): 3,
    }
    x = np.array(list(windows), float).reshape(-1, 2, 2, 1)
    layer = layers.MaxPool()
    np.testing.assert_array_equal(layer.forward(x), np.full((len(windows), 1, 1, 1), 5.0))
    dx = layer.backward(np.full((len(windows), 1, 1, 1), 7.0))
    np.testing.assert_array_equal(dx.reshape(-1, 4), 7.0 * np.eye(4)[list(windows.values())])


def convolved(x, weight, stride, padding):
    """The definition, in the layout of the weights file: x (n, c, h, w), weight (o, c, size, size)."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    size = weight.shape[2]
    height, width = ((side - size) // stride + 1 for side in x.shape[2:])
    y = np.zeros((len(x), len(weight), height, width))
    for i in range(height):
        for j in range(width):
            window = x[:, :, i * stride : i * stride + size, j * stride : j * stride + size]
            y[:, :, i, j] = np.einsum("ncij,ocij->no", window, weight)
    return y


SHAPES = [(1, 1, 0), (1, 2, 0), (3, 1, 1), (3, 2, 1), (7, 2, 3), (3, 1, 0)]


@pytest.mark.parametrize(("size", "stride", "padding"), SHAPES)
def test_convolve_is_cross_correlation(size, stride, padding, generator):
    x, weight = generator.normal(size=(3, 4, 9, 8)), generator.normal(size=(5, 4, size, size))
    y = layers.convolve(x.transpose(0, 2, 3, 1), layers.channels_last(weight), stride, padding)
    np.testing.assert_allclose(y.transpose(0, 3, 1, 2), convolved(x, weight, stride, padding))


@pytest.mark.parametrize(("size", "stride", "padding"), SHAPES)
def test_a_batch_in_portions_is_convolved_as_its_images_are(size, stride, padding, generator):
    x = generator.normal(size=(100 if size == 1 else 12, 64, 64, 8))
    weight = layers.channels_last(generator.normal(size=(5, 8, size, size)))
    y = layers.convolve(x, weight, stride, padding)
    assert len(layers.portions(x, y, size)) > 1
    for number in range(len(x)):
        image = slice(number, number + 1)
        np.testing.assert_allclose(layers.convolve(x[image], weight, stride, padding), y[image])


def test_gru_is_the_form_of_cudnn(generator):
    w, u, b, c = (generator.normal(size=shape) for shape in [(6, 3), (6, 2), (6,), (6,)])
    x = generator.normal(size=(4, 5, 3))
    h = np.zeros((5, 2))
    for inputs in x:
        r, z = (
            1 / (1 + np.exp(-(inputs @ w[gate].T + b[gate] + h @ u[gate].T + c[gate])))
            for gate in (slice(0, 2), slice(2, 4))
        )
        n = np.tanh(inputs @ w[4:].T + b[4:] + r * (h @ u[4:].T + c[4:]))
        h = (1 - z) * n + z * h
    np.testing.assert_allclose(rnn.Gru(w, u, b, c).forward(x), h)


def some_layers(*shapes):
    """Layers with nothing but weights, all 1, and room for gradients."""
    return [types.SimpleNamespace(parameters=[np.ones(shape)], gradients=[np.empty(shape)]) for shape in shapes]


def test_two_steps_of_momentum_by_hand():
    (layer,) = some_layers((3,))
    optimizer = cnn.MomentumSgd([layer], lr=0.1, momentum=0.9)
    layer.gradients = [np.array([0.5, -1.0, 0.0])]
    optimizer.step()
    np.testing.assert_allclose(layer.parameters[0], [0.95, 1.1, 1.0])
    layer.gradients = [np.array([0.25, 0.0, 2.0])]  # v = 0.9 · (0.5, -1, 0) + g = (0.7, -0.9, 2)
    optimizer.step()
    np.testing.assert_allclose(layer.parameters[0], [0.88, 1.19, 0.8])


@pytest.mark.parametrize("columns", [2, rnn.AT_A_TIME // 2, rnn.AT_A_TIME], ids=["at once", "in parts", "row by row"])
def test_two_steps_of_adam_by_hand(columns):
    matrix, vector = some_layers((3, columns), (3,))
    optimizer = rnn.Adam([matrix, vector], lr=0.1, beta1=0.9, beta2=0.99, epsilon=0.5)

    gradient = np.array([1.0, -2.0, 0.0])
    vector.gradients, matrix.gradients = [gradient], [np.stack([gradient] * columns, axis=1)]
    optimizer.step()  # after one step m̂ = g and √v̂ = |g|: 1 - 0.1 · g / (|g| + 0.5)
    np.testing.assert_allclose(vector.parameters[0], [1 - 0.1 / 1.5, 1 + 0.2 / 2.5, 1])

    gradient = np.array([0.0, 0.0, 3.0])
    vector.gradients, matrix.gradients = [gradient], [np.stack([gradient] * columns, axis=1)]
    optimizer.step()
    # m = 0.9 · 0.1 g₁ + 0.1 g₂ = (0.09, -0.18, 0.3), over 1 - 0.9² = 0.19;
    # v = 0.99 · 0.01 g₁² + 0.01 g₂² = (0.0099, 0.0396, 0.09), over 1 - 0.99² = 0.0199.
    # A weight whose gradient is now zero moves on, as its moments are not.
    expected = [
        1 - 0.1 / 1.5 - 0.1 * (0.09 / 0.19) / ((0.0099 / 0.0199) ** 0.5 + 0.5),
        1 + 0.2 / 2.5 + 0.1 * (0.18 / 0.19) / ((0.0396 / 0.0199) ** 0.5 + 0.5),
        1 - 0.1 * (0.3 / 0.19) / ((0.09 / 0.0199) ** 0.5 + 0.5),
    ]
    np.testing.assert_allclose(vector.parameters[0], expected)
    np.testing.assert_allclose(matrix.parameters[0], np.stack([expected] * columns, axis=1))


CNN_SHAPES = {
    "conv1": (50, 3, 3, 3),
    "conv2": (50, 50, 3, 3),
    "conv3": (100, 50, 3, 3),
    "conv4": (100, 100, 3, 3),
    "fc1": (512, 6400),
    "fc2": (10, 512),
}
RNN_SHAPES = {
    "embedding.weight": (30, 5),
    "gru.weight_ih": (12, 5),
    "gru.weight_hh": (12, 4),
    "gru.bias_ih": (12,),
    "gru.bias_hh": (12,),
    "fc.weight": (2, 4),
    "fc.bias": (2,),
}


def job_with(shapes, **settings):
    """A job whose weights are random, small enough for activations of about 1."""
    generator = np.random.default_rng(2)
    weights = {
        name: (generator.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in shapes.items()
    }
    return types.SimpleNamespace(weights=lambda: weights, settings=settings, seed=1)


def cnn_job(dropout=0.0):
    shapes = {f"{name}.weight": shape for name, shape in CNN_SHAPES.items()}
    shapes.update({f"{name}.bias": shape[:1] for name, shape in CNN_SHAPES.items()})
    return job_with(shapes, dropout_conv=dropout, dropout_dense=dropout)


def test_the_whole_cnn_is_the_network_of_the_specification(generator):
    job = cnn_job()
    weights = {name: array.astype(float) for name, array in job.weights().items()}
    images = generator.random((2, 3, 32, 32))

    def convolution(x, name):
        return convolved(x, weights[name + ".weight"], 1, 1) + weights[name + ".bias"].reshape(-1, 1, 1)

    def pool(x):
        return x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2).max(axis=(3, 5))

    def relu(x):
        return np.maximum(x, 0)

    x = relu(pool(convolution(relu(convolution(images, "conv1")), "conv2")))
    x = relu(pool(convolution(relu(convolution(x, "conv3")), "conv4")))
    x = relu(x.reshape(2, 6400) @ weights["fc1.weight"].T + weights["fc1.bias"])
    expected = x @ weights["fc2.weight"].T + weights["fc2.bias"]

    scores = layers.forward(cnn.build(job, np.dtype(float)), images.transpose(0, 2, 3, 1))
    np.testing.assert_allclose(scores, expected)


def assert_network_gradients_are_slopes(model, x, labels, generator):
    def loss():
        return layers.softmax_cross_entropy(layers.forward(model, x), labels)[0]

    layers.backward(model, layers.softmax_cross_entropy(layers.forward(model, x), labels)[1])
    for layer in model:
        for gradient, parameter in zip(list(layer.gradients), layer.parameters, strict=True):
            largest = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
            np.testing.assert_allclose(gradient[largest], slopes(loss, parameter, [largest])[0], rtol=1e-4)


def test_gradients_of_the_whole_cnn(generator):
    model = cnn.build(cnn_job(), np.dtype(float))
    assert_network_gradients_are_slopes(model, generator.random((2, 32, 32, 3)), np.array([3, 7]), generator)


def test_gradients_of_the_whole_rnn(generator):
    model = rnn.build(job_with(RNN_SHAPES), np.dtype(float))
    assert_network_gradients_are_slopes(model, generator.integers(0, 30, (7, 3)), np.array([0, 1, 1]), generator)


def test_dropout_is_absent_at_rate_zero():
    def dropouts(rate):
        return [layer for layer in cnn.build(cnn_job(rate), np.dtype(float)) if isinstance(layer, layers.Dropout)]

    assert len(dropouts(0.25)) == 3
    assert not dropouts(0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_training_step_stays_in_its_precision(dtype, generator):
    rnn_model = rnn.build(job_with(RNN_SHAPES), np.dtype(dtype))
    cnn_model = cnn.build(cnn_job(dropout=0.5), np.dtype(dtype))
    cases = [
        (rnn_model, generator.integers(0, 30, (7, 3)), rnn.Adam(rnn_model, 0.001, 0.9, 0.999, 1e-8)),
        (cnn_model, generator.random((3, 32, 32, 3)).astype(dtype), cnn.MomentumSgd(cnn_model, 0.01, 0.9)),
    ]
    for model, x, optimizer in cases:
        loss, dscores = layers.softmax_cross_entropy(layers.forward(model, x), np.array([0, 1, 1]))
        layers.backward(model, dscores)
        optimizer.step()
        assert loss.dtype == dtype
        assert {g.dtype for layer in model for g in layer.gradients} == {np.dtype(dtype)}
        assert {w.dtype for layer in model for w in layer.parameters} == {np.dtype(dtype)}


def batch_norm(weights, name, y):
    gamma, beta, mean, var = (weights[f"{name}.{kind}"] for kind in ("gamma", "beta", "mean", "var"))
    return gamma * (y - mean) / np.sqrt(var + 1e-5) + beta


def bottleneck_weights(generator, channels=8, width=4):
    weights = {}
    shapes = {"1": (width, channels, 1), "2": (width, width, 3), "3": (4 * width, width, 1)}
    names = {f"b.conv{number}": (f"b.bn{number}", shape) for number, shape in shapes.items()}
    names["b.shortcut.conv"] = ("b.shortcut.bn", (4 * width, channels, 1))
    for convolution, (bn, (out, into, size)) in names.items():
        weights[convolution + ".weight"] = generator.normal(size=(out, into, size, size))
        weights.update({f"{bn}.{kind}": generator.random(out) + 0.5 for kind in ("gamma", "beta", "mean", "var")})
    return weights


def test_batch_norm_folded_into_its_convolution_is_batch_norm_after_it(generator):
    weights = bottleneck_weights(generator)
    x = generator.normal(size=(2, 6, 6, 4))
    y = convolved(x.transpose(0, 3, 1, 2), weights["b.conv2.weight"], 2, 1).transpose(0, 2, 3, 1)
    folded = resnet50.ConvolutionBatchNorm(weights, "b.conv2", "b.bn2", stride=2)
    np.testing.assert_allclose(folded.forward(x), batch_norm(weights, "b.bn2", y))


@pytest.mark.parametrize(("variant", "sees_every_pixel"), [("v1", False), ("v1.5", True)])
def test_the_variants_differ_in_where_the_stride_is(variant, sees_every_pixel, generator):
    block = resnet50.Bottleneck(bottleneck_weights(generator), "b", 8, 4, 2, variant)
    x = generator.normal(size=(1, 6, 6, 8))
    before = block.forward(x)
    assert before.shape == (1, 3, 3, 16)
    x[:, 1::2, 1::2] += 1  # pixels that a 1x1 convolution of stride 2 jumps over
    assert (block.forward(x) != before).any() == sees_every_pixel


def test_resnet_max_pool_is_padded_3x3_of_stride_2(generator):
    x = generator.random((2, 8, 6, 3))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    expected = np.array([[padded[:, i : i + 3, j : j + 3].max(axis=(1, 2)) for j in (0, 2, 4)] for i in (0, 2, 4, 6)])
    np.testing.assert_array_equal(resnet50.max_pool(x), expected.transpose(2, 0, 1, 3))


def test_a_precision_numpy_does_not_have_is_refused():
    with pytest.raises(NotImplementedError, match="fp32 or fp64, not in tf32"):
        runtime.start(types.SimpleNamespace(precision="tf32"))
    assert json.dumps(runtime.blas())  # goes into the start event
