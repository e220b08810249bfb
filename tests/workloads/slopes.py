"""Checks of gradients: slopes of L = Σ coefficients · y, by central differences at random coordinates, in float64."""

import numpy as np

STEP = 1e-6
COORDINATES = 12  # per array


def slopes(loss, array, coordinates):
    """dL/d(array) at the coordinates, by central differences. The array is put back as it was."""
    result = []
    for place in coordinates:
        kept = array[place]
        array[place] = kept + STEP
        above = loss()
        array[place] = kept - STEP
        below = loss()
        array[place] = kept
        result.append((above - below) / (2 * STEP))
    return result


def random_coordinates(array, generator):
    return [tuple(generator.integers(0, array.shape)) for _ in range(COORDINATES)]


def assert_is_slope(gradient, loss, array, generator):
    assert gradient.shape == array.shape
    coordinates = random_coordinates(array, generator)
    expected = slopes(loss, array, coordinates)
    assert np.abs(expected).max() > 0, "nothing was tested: the loss does not depend on these coordinates"
    np.testing.assert_allclose([gradient[place] for place in coordinates], expected, rtol=1e-5, atol=1e-8)


def assert_gradients_are_slopes(layer, x, generator):
    """Check dL/dx (where x is differentiable) and dL/dw of all the layer's parameters."""
    coefficients = generator.normal(size=layer.forward(x.copy()).shape)

    def loss():
        return (coefficients * layer.forward(x.copy())).sum()

    loss()  # leaves the layer with what backward needs
    dx = layer.backward(coefficients.copy())
    gradients = list(layer.gradients)
    assert len(gradients) == len(layer.parameters)
    if dx is not None:
        assert_is_slope(dx, loss, x, generator)
    for gradient, parameter in zip(gradients, layer.parameters, strict=True):
        assert_is_slope(gradient, loss, parameter, generator)
