"""The layers that Lasagne 0.1 has not, or has only as Theano was in 2015."""

import lasagne
import theano
from theano import tensor as T
from theano.tensor.nnet import conv2d, sigmoid


class Conv2DLayer(lasagne.layers.Conv2DLayer):
    """Cross-correlation, padded within the operation; Lasagne's own flips its kernel and crops a full convolution."""

    def get_output_for(self, input, **kwargs):
        convolved = conv2d(
            input,
            self.W,
            input_shape=self.input_shape,
            filter_shape=self.get_W_shape(),
            border_mode=self.pad,
            subsample=self.stride,
            filter_flip=False,
        )
        return self.nonlinearity(convolved + self.b.dimshuffle("x", 0, "x", "x"))


class GRULayer(lasagne.layers.Layer):
    """A gated recurrent unit in the form of cuDNN: (time, batch, inputs) -> the last h, (batch, units).

    Lasagne's own has one bias less and lets 1 - z keep the past. W_ih (inputs, 3 units), W_hh (units, 3 units) and the
    biases (3 units,) hold the gates r, z, n side by side."""

    def __init__(self, incoming, units, W_ih, W_hh, b_ih, b_hh, **kwargs):
        super(GRULayer, self).__init__(incoming, **kwargs)
        self.units = units
        self.W_ih = self.add_param(W_ih, (self.input_shape[2], 3 * units), name="W_ih")
        self.W_hh = self.add_param(W_hh, (units, 3 * units), name="W_hh")
        self.b_ih = self.add_param(b_ih, (3 * units,), name="b_ih", regularizable=False)
        self.b_hh = self.add_param(b_hh, (3 * units,), name="b_hh", regularizable=False)

    def get_output_shape_for(self, input_shape):
        return input_shape[1], self.units

    def get_output_for(self, input, **kwargs):
        def gate(stacked, number):
            return stacked[:, number * self.units : (number + 1) * self.units]

        def step(inputs, h, W_hh, b_hh):
            past = T.dot(h, W_hh) + b_hh
            r = sigmoid(gate(inputs, 0) + gate(past, 0))
            z = sigmoid(gate(inputs, 1) + gate(past, 1))
            n = T.tanh(gate(inputs, 2) + r * gate(past, 2))
            return (1 - z) * n + z * h

        time, batch, _ = self.input_shape
        inputs = T.dot(input, self.W_ih) + self.b_ih  # of all time steps at once
        # Where Theano knows all lengths it does not compile dozens of functions that only compute them.
        inputs = inputs.reshape((time, batch, 3 * self.units))
        h, _ = theano.scan(
            step, inputs, T.zeros((batch, self.units)), [self.W_hh, self.b_hh], n_steps=time, strict=True
        )
        return h[-1]
