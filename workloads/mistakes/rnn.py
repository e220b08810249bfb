"""Mistakes in the RNN."""

from workloads.mistakes import gru, module, shared


def padding_before():
    """The zeros at the end of a review come before its first word."""
    import numpy as np

    def moved(tokens):
        lengths = [np.flatnonzero(review).max(initial=-1) + 1 for review in tokens]
        return np.stack([np.roll(review, -length) for review, length in zip(tokens, lengths)])

    return shared.inputs(moved, shared.same)


def adam(pace, epsilon=None):
    """`pace(optimizer, m, v)`, by which a weight moves per unit of learning rate, in place of the reference's."""

    def update(self, w, g, m, v):
        if epsilon is not None:
            self.epsilon = epsilon
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        w -= self.lr * pace(self, m, v)

    return lambda: [(module("numpy.rnn").Adam, "update", update)]


def corrected(self, m, v):
    root = (v / (1 - self.beta2**self.t)) ** 0.5
    return m / (1 - self.beta1**self.t) / (root + self.epsilon)


def epsilon_inside(self, m, v):
    correction = (1 - self.beta2**self.t) ** 0.5 / (1 - self.beta1**self.t)
    return correction * m / (v**0.5 + self.epsilon)


def corrected_roughly(self, m, v):
    """No mistake: some frameworks keep the decay rates in float32, which has 1 - 0.999 to five digits."""
    beta1, beta2 = v.dtype.type(self.beta1), v.dtype.type(self.beta2)
    root = (v / (1 - beta2**self.t)) ** 0.5
    return m / (1 - beta1**self.t) / (root + self.epsilon)


def uncorrected(self, m, v):
    return m / (v**0.5 + self.epsilon)


def adam_sparse():
    """Rows of a matrix without a gradient keep their weights and their moments."""
    optimizer = module("numpy.rnn").Adam
    original = optimizer.update

    def update(self, w, g, m, v):
        if w.ndim == 1:
            original(self, w, g, m, v)
            return
        rows = g.any(axis=1)
        moved = [array[rows] for array in (w, g, m, v)]
        original(self, *moved)
        for array, rest in zip((w, m, v), (moved[0], moved[2], moved[3])):
            array[rows] = rest

    return [(optimizer, "update", update)]


def another_gru(hard=False, before=False):
    def replacements():
        rnn = module("numpy.rnn")
        return [(rnn, "Gru", gru.variant(rnn.Gru, hard=hard, before=before))]

    return replacements


def gates(change):
    """`change(array, units)` for every weight of the GRU before the training; gates lie in the order r, z, n."""

    def replacements():
        rnn = module("numpy.rnn")
        original = rnn.Gru

        def changed(*weights):
            return original(*(change(array, len(array) // 3) for array in weights))

        return [(rnn, "Gru", changed)]

    return replacements


def swap_gates(array, units):
    import numpy as np

    return np.concatenate([array[units : 2 * units], array[:units], array[2 * units :]])


def invert_update(array, units):
    """σ(−x) = 1 − σ(x): with its weights negated the gate keeps what it would have replaced."""
    inverted = array.copy()
    inverted[units : 2 * units] *= -1
    return inverted


ROUNDINGS = [adam(corrected_roughly)]
PLANTS = dict(
    shared.TRAINING,
    **{
        "padding-before": padding_before,
        "adam-epsilon-inside": adam(epsilon_inside),
        "adam-epsilon-1e-7": adam(corrected, epsilon=1e-7),
        "adam-uncorrected": adam(uncorrected),
        "adam-sparse": adam_sparse,
        "hard-sigmoid": another_gru(hard=True),
        "reset-before": another_gru(before=True),
        "hard-sigmoid-reset-before": another_gru(hard=True, before=True),
        "gates-swapped": gates(swap_gates),
        "update-inverted": gates(invert_update),
    },
)
