"""The layers that the workloads share, each with its forward and its backward pass.

Images are channels last, (n, height, width, channels), so that a patch of an image is a few contiguous runs of memory
and a convolution one matrix product. A layer keeps in `forward` what its `backward` needs; `backward` takes dL/dy of
the loss L, stores dL/dw of each parameter in `gradients`, and returns dL/dx. Below, dy, dw and dx mean just that.

All arithmetic stays in the type of the weights: float32, or float64 where the job's precision is fp64.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

# Patches are worked off in portions of about this many bytes, so that the matrix product finds them in the cache.
PORTION = 2**22


class Layer:
    parameters = gradients = ()


class Convolution(Layer):
    """size×size cross-correlation of stride 1, padded with zeros so that height and width stay: (n,h,w,c) -> (n,h,w,o).

    `weight` is (o, c, size, size), size odd. The first layer of a network needs no `input_gradient`."""

    def __init__(self, weight, bias, input_gradient=True):
        self.parameters = [channels_last(weight), bias]
        self.input_gradient = input_gradient

    def forward(self, x):
        self.x = x
        kernel, bias = self.parameters
        y = convolve(x, kernel, padding=len(kernel) // 2)
        y += bias
        return y

    def backward(self, dy):
        kernel, _ = self.parameters
        padding = len(kernel) // 2
        # y = patches(x) · w, hence dw = patches(x)ᵀ · dy ...
        dw = np.zeros((kernel[..., 0].size, kernel.shape[-1]), kernel.dtype)
        for part in portions(self.x, dy, len(kernel)):
            dw += patches(self.x[part], len(kernel), padding=padding).T @ dy[part].reshape(-1, dy.shape[-1])
        self.gradients = [dw.reshape(kernel.shape), dy.sum(axis=(0, 1, 2))]
        if not self.input_gradient:
            return None
        # ... and x[i] enters y[i - k] times w[k]: dx is dy convolved with the mirrored kernel, in and out swapped.
        return convolve(dy, kernel[::-1, ::-1].swapaxes(2, 3), padding=padding)


def channels_last(weight):
    """A convolution's weight (o, c, size, size) as the kernel (size, size, c, o)."""
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0))


def convolve(x, kernel, stride=1, padding=0):
    """Cross-correlate x (n, h, w, c) with kernel (size, size, c, o): one matrix product over all patches of x."""
    size, _, _, channels = kernel.shape
    height, width = ((side + 2 * padding - size) // stride + 1 for side in x.shape[1:3])
    y = np.empty((len(x), height, width, channels), x.dtype)
    matrix = kernel.reshape(-1, channels)
    for part in portions(x, y, size):
        np.matmul(patches(x[part], size, stride, padding), matrix, out=y[part].reshape(-1, channels))
    return y


def patches(x, size, stride=1, padding=0):
    """Every size×size window of x (n, h, w, c), "im2col": (n · h' · w', size · size · c)."""
    n, height, width, channels = x.shape
    if padding:
        framed = np.zeros((n, height + 2 * padding, width + 2 * padding, channels), x.dtype)
        framed[:, padding:-padding, padding:-padding] = x
        x = framed
    # In contiguous memory a row of a window is size · c numbers side by side: as_strided names it, reshape copies it.
    x = np.ascontiguousarray(x)
    image, row, pixel, number = x.strides
    height, width = ((side - size) // stride + 1 for side in x.shape[1:3])
    windows = as_strided(
        x,
        shape=(n, height, width, size, size * channels),
        strides=(image, row * stride, pixel * stride, row, number),
    )
    return windows.reshape(n * height * width, size * size * channels)


def portions(x, y, size):
    """Slices of the batch, each of as many images as have PORTION bytes of patches, at least one."""
    bytes_per_image = y.shape[1] * y.shape[2] * size * size * x.shape[3] * x.itemsize
    step = max(1, PORTION // bytes_per_image)
    return [slice(first, first + step) for first in range(0, len(x), step)]


class MaxPool(Layer):
    """Maximum over 2×2 windows: (n, h, w, c) -> (n, h/2, w/2, c).

    A tournament of two rounds: left against right, then top against bottom. Where numbers are equal the first wins,
    so the gradient goes to the first maximum of the window, row by row, as in PyTorch."""

    def forward(self, x):
        self.x = x
        self.rows = np.maximum(x[:, :, 0::2], x[:, :, 1::2])
        return np.maximum(self.rows[:, 0::2], self.rows[:, 1::2])

    def backward(self, dy):
        drows = np.empty_like(self.rows)
        to_winner(dy, self.rows[:, 0::2], self.rows[:, 1::2], drows[:, 0::2], drows[:, 1::2])
        dx = np.empty_like(self.x)
        to_winner(drows, self.x[:, :, 0::2], self.x[:, :, 1::2], dx[:, :, 0::2], dx[:, :, 1::2])
        return dx


def to_winner(dy, first, second, dfirst, dsecond):
    """The gradient of maximum(first, second), written into `dfirst` and `dsecond`."""
    np.multiply(dy, second > first, out=dsecond)
    np.subtract(dy, dsecond, out=dfirst)


class Relu(Layer):
    """max(x, 0), in place like its gradient: a layer next to it keeps what it was given, not what it gave."""

    def forward(self, x):
        self.y = np.maximum(x, 0, out=x)
        return self.y

    def backward(self, dy):
        return np.multiply(dy, self.y > 0, out=dy)


class Dropout(Layer):
    """Set numbers to zero with probability `rate` and divide the rest by 1 - rate, so that the mean stays."""

    def __init__(self, rate, generator):
        self.rate = rate
        self.generator = generator

    def forward(self, x):
        kept = self.generator.random(x.shape, dtype=x.dtype) >= self.rate
        self.mask = np.multiply(kept, 1 / (1 - self.rate), dtype=x.dtype)
        return x * self.mask

    def backward(self, dy):
        return dy * self.mask


class Flatten(Layer):
    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy):
        return dy.reshape(self.shape)


class Dense(Layer):
    """x · Wᵀ + b: (n, in) -> (n, out), W of shape (out, in)."""

    def __init__(self, weight, bias):
        self.parameters = [weight, bias]

    def forward(self, x):
        self.x = x
        weight, bias = self.parameters
        return x @ weight.T + bias

    def backward(self, dy):
        weight, _ = self.parameters
        self.gradients = [dy.T @ self.x, dy.sum(axis=0)]
        return dy @ weight


def softmax_cross_entropy(scores, labels):
    """Mean over the batch of -log softmax(scores)[label], and its gradient, (softmax(scores) - one hot) / n."""
    rows = np.arange(len(labels))
    shifted = scores - scores.max(axis=1, keepdims=True)  # exp cannot overflow
    log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    dscores = np.exp(log_softmax)
    dscores[rows, labels] -= 1
    return -log_softmax[rows, labels].mean(), dscores / len(labels)


def forward(layers, x):
    for layer in layers:
        x = layer.forward(x)
    return x


def backward(layers, dy):
    for layer in reversed(layers):
        dy = layer.backward(dy)
    return dy
