"""The layers of a transformer, which Lasagne 0.1 has not.

Between layers, activations are matrices with a row for each character of the batch, (batch · context, width), the form
that Lasagne's dense layers take. Only attention knows which characters share a window.
"""

import math

import lasagne
import numpy as np
from theano import tensor as T

EPSILON = 1e-5  # of LayerNorm


class PositionLayer(lasagne.layers.Layer):
    """Adds a row of W, (context, width), to each character of a window: (batch, context, width) -> as the input."""

    def __init__(self, incoming, W, **kwargs):
        super(PositionLayer, self).__init__(incoming, **kwargs)
        self.W = self.add_param(W, self.input_shape[1:], name="W")

    def get_output_for(self, input, **kwargs):
        return input + self.W


class LayerNormLayer(lasagne.layers.Layer):
    """Brings every row to mean 0 and variance 1, then multiplies each column by its gain: (n, width) -> as the input.

    The gain counts as not regularizable, as biases do."""

    def __init__(self, incoming, W, **kwargs):
        super(LayerNormLayer, self).__init__(incoming, **kwargs)
        self.W = self.add_param(W, self.input_shape[1:], name="W", regularizable=False)

    def get_output_for(self, input, **kwargs):
        centred = input - input.mean(axis=1, keepdims=True)
        variance = T.sqr(centred).mean(axis=1, keepdims=True)
        return centred / T.sqrt(variance + np.float32(EPSILON)) * self.W


class AttentionLayer(lasagne.layers.Layer):
    """Causal attention of several heads: queries, keys and values (batch · context, 3 · width) -> (…, width).

    A row holds the query, then the key, then the value of a character, each with equal parts for all heads."""

    def __init__(self, incoming, context, heads, dropout, **kwargs):
        super(AttentionLayer, self).__init__(incoming, **kwargs)
        rows, self.width = self.input_shape[0], self.input_shape[1] // 3
        self.context, self.heads, self.batch = context, heads, rows // context
        self.dropout = lasagne.layers.DropoutLayer((self.batch * heads, context, context), dropout)

    def get_output_shape_for(self, input_shape):
        return input_shape[0], self.width

    def get_output_for(self, input, **kwargs):
        q, k, v = (self.split(each) for each in T.split(input, [self.width] * 3, 3, axis=1))
        scale = np.float32(1 / math.sqrt(self.width // self.heads))
        hidden = np.triu(np.full((self.context, self.context), -np.inf, np.float32), k=1)
        scores = T.batched_dot(q * scale, k.dimshuffle(0, 2, 1)) + hidden
        rows = scores.reshape((self.batch * self.heads * self.context, self.context))
        weights = T.nnet.softmax(rows).reshape((self.batch * self.heads, self.context, self.context))
        return self.join(T.batched_dot(self.dropout.get_output_for(weights, **kwargs), v))

    def split(self, rows):
        """(batch · context, width) -> (batch · heads, context, width / heads)."""
        parts = rows.reshape((self.batch, self.context, self.heads, self.width // self.heads))
        return parts.dimshuffle(0, 2, 1, 3).reshape((self.batch * self.heads, self.context, self.width // self.heads))

    def join(self, parts):
        """(batch · heads, context, width / heads) -> (batch · context, width)."""
        parts = parts.reshape((self.batch, self.heads, self.context, self.width // self.heads))
        return parts.dimshuffle(0, 2, 1, 3).reshape((self.batch * self.context, self.width))


class TiedLayer(lasagne.layers.Layer):
    """The scores of all characters, by their embeddings W of another layer: (n, width) -> (n, characters)."""

    def __init__(self, incoming, W, **kwargs):
        super(TiedLayer, self).__init__(incoming, **kwargs)
        self.W = W

    def get_output_shape_for(self, input_shape):
        return input_shape[0], self.W.get_value(borrow=True).shape[0]

    def get_output_for(self, input, **kwargs):
        return T.dot(input, self.W.T)


def gelu(x):
    """The exact GELU, a nonlinearity: x · Φ(x)."""
    return np.float32(0.5) * x * (1 + T.erf(x * np.float32(math.sqrt(0.5))))
