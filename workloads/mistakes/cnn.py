"""Mistakes in the CNN."""

from workloads.mistakes import module, shared


def momentum(update):
    """`update(optimizer, w, g, v)` in place of the optimiser's."""
    return lambda: [(module("numpy.cnn").MomentumSgd, "update", update)]


def unit_gain(self, w, g, v):
    v *= self.momentum
    v += (1 - self.momentum) * g
    w -= self.lr * v


def dampening(self, w, g, v):
    """PyTorch's: the velocity begins as the first gradient, whole."""
    if v.any():
        unit_gain(self, w, g, v)
    else:
        v += g
        w -= self.lr * v


def nesterov(self, w, g, v):
    v *= self.momentum
    v += g
    w -= self.lr * (g + self.momentum * v)


def no_momentum(self, w, g, v):  # noqa: ARG001  (that is the mistake)
    w -= self.lr * g


def flatten_order():
    """Memory that holds (h, w, c) is read as if it held (c, h, w)."""

    def forward(self, x):
        n, h, w, c = self.shape = x.shape
        return x.reshape(n, c, h, w).transpose(0, 2, 3, 1).reshape(n, -1)

    def backward(self, dy):
        n, h, w, c = self.shape
        return dy.reshape(n, h, w, c).transpose(0, 3, 1, 2).reshape(self.shape)

    flatten = module("numpy.layers").Flatten
    return [(flatten, "forward", forward), (flatten, "backward", backward)]


def dropout(change):
    """`change(Dropout)`, a function of the rate and the random generator, in place of the layer that the CNN takes."""

    def replacements():
        cnn = module("numpy.cnn")
        return [(cnn, "Dropout", change(cnn.Dropout))]

    return replacements


def never(layer):
    return type("Never", (layer,), {"forward": lambda _, x: x, "backward": lambda _, dy: dy})


def in_evaluation(layer):
    """The CNN leaves layers of its Dropout class out of its evaluation, and no layer is of this class."""
    return type("Undetected", (), {"__new__": lambda _, *arguments: layer(*arguments)})


def always():
    """The model is built with fixed rates, those of the study."""
    cnn = module("numpy.cnn")
    original = cnn.build

    def build(job, dtype):
        settings = job.settings
        job.settings = dict(settings, dropout_conv=0.25, dropout_dense=0.5)
        try:
            return original(job, dtype)
        finally:
            job.settings = settings

    return [(cnn, "build", build)]


PLANTS = dict(
    shared.IMAGES,
    **shared.TRAINING,
    **{
        "unit-gain": momentum(unit_gain),
        "dampening": momentum(dampening),
        "nesterov": momentum(nesterov),
        "no-momentum": momentum(no_momentum),
        "flatten-order": flatten_order,
        "pixels-255": shared.pixels_255,
        "dropout-always": always,
        "dropout-never": dropout(never),
        "dropout-in-evaluation": dropout(in_evaluation),
    },
)
