"""The reference with one known mistake planted, run as a job.

    python -m orchestrator.verify.planted_reference MISTAKE WORKLOAD

The oracle's own files know nothing of this: functions and methods of theirs are replaced in this process, and the
workload then runs as it always does. culprits.py has the mistakes by name.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any
from unittest import mock

from orchestrator.verify import planted_gru

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

Replacement = tuple[Any, str, Any]  # in this module or class, what is called so, by this


def main() -> None:
    """Run the workload named on the command line with the mistake named there."""
    mistake, workload = sys.argv[1:]
    bench = _module("common.bench")  # first, before NumPy starts threads: see workloads/common/startup.py
    with planted(mistake):
        bench.main(_module(f"numpy.{workload}").run)


@contextlib.contextmanager
def planted(mistake: str) -> Iterator[None]:
    """While the block runs, the oracle makes this mistake."""
    with contextlib.ExitStack() as stack:
        for target, name, replacement in PLANTS[mistake]():
            stack.enter_context(mock.patch.object(target, name, replacement))
        yield


def _module(name: str) -> Any:
    return importlib.import_module(f"workloads.{name}")


def _momentum(update: Callable[[Any, Array, Array, Array], None]) -> Callable[[], Sequence[Replacement]]:
    """`update(optimizer, w, g, v)` in place of the optimiser's of the CNN."""
    return lambda: [(_module("numpy.cnn").MomentumSgd, "update", update)]


def _unit_gain(self: Any, w: Array, g: Array, v: Array) -> None:
    v *= self.momentum
    v += (1 - self.momentum) * g
    w -= self.lr * v


def _dampening(self: Any, w: Array, g: Array, v: Array) -> None:
    """PyTorch's: the velocity begins as the first gradient, whole."""
    if v.any():
        _unit_gain(self, w, g, v)
    else:
        v += g
        w -= self.lr * v


def _nesterov(self: Any, w: Array, g: Array, v: Array) -> None:
    v *= self.momentum
    v += g
    w -= self.lr * (g + self.momentum * v)


def _no_momentum(self: Any, w: Array, g: Array, v: Array) -> None:  # noqa: ARG001  (that is the mistake)
    w -= self.lr * g


def _flatten_order() -> Sequence[Replacement]:
    """Memory that holds (h, w, c) is read as if it held (c, h, w)."""

    def forward(self: Any, x: Array) -> Array:
        n, h, w, c = self.shape = x.shape
        flat: Array = x.reshape(n, c, h, w).transpose(0, 2, 3, 1).reshape(n, -1)
        return flat

    def backward(self: Any, dy: Array) -> Array:
        n, h, w, c = self.shape
        dx: Array = dy.reshape(n, h, w, c).transpose(0, 3, 1, 2).reshape(self.shape)
        return dx

    flatten = _module("numpy.layers").Flatten
    return [(flatten, "forward", forward), (flatten, "backward", backward)]


def _kernel_flipped() -> Sequence[Replacement]:
    channels_last = _module("numpy.layers").channels_last

    def flipped(weight: Array) -> Array:
        kernel: Array = channels_last(weight[:, :, ::-1, ::-1])
        return kernel

    return [(_module(f"numpy.{name}"), "channels_last", flipped) for name in ("layers", "resnet50")]


def _input(images: Callable[[Array], Array], labels: Callable[[Array], Array]) -> Sequence[Replacement]:
    """Change what a job hands to its workload. Images have their axes last: height, width, channels."""
    job = _module("common.bench").Job
    data, inference = job.data, job.images

    def changed(self: Any, *arguments: Any, **options: Any) -> list[Array]:
        x_train, y_train, x_test, y_test = data(self, *arguments, **options)
        return [images(x_train), labels(y_train), images(x_test), labels(y_test)]

    def changed_inference(self: Any, *arguments: Any, **options: Any) -> Array:
        return images(inference(self, *arguments, **options))

    return [(job, "data", changed), (job, "images", changed_inference)]


def _same(array: Array) -> Array:
    return array


def _height_width() -> Sequence[Replacement]:
    return _input(lambda x: x.swapaxes(-3, -2).copy(), _same)


def _pixels_255() -> Sequence[Replacement]:
    return _input(lambda x: x * x.dtype.type(255), _same)


def _pixels_centred() -> Sequence[Replacement]:
    return _input(lambda x: x * x.dtype.type(2) - x.dtype.type(1), _same)


def _label_shift() -> Sequence[Replacement]:
    return _input(_same, lambda y: (y + 1) % (y.max() + 1))


def _padding_before() -> Sequence[Replacement]:
    """The zeros at the end of a review come before its first word."""
    import numpy as np

    def moved(tokens: Array) -> Array:
        lengths = [np.flatnonzero(review).max(initial=-1) + 1 for review in tokens]
        return np.stack([np.roll(review, -length) for review, length in zip(tokens, lengths, strict=True)])

    return _input(moved, _same)


def _test_truncated() -> Sequence[Replacement]:
    """Test samples that fill no batch are not scored."""
    epoch = _module("common.bench").Epoch
    original = epoch.score

    def score(self: Any, predict: Any, x: Array, y: Array, *others: Any, **options: Any) -> None:
        batch = self._job.settings["batch"]
        whole = len(x) // batch * batch
        original(self, predict, x[:whole], y[:whole], *others, **options)

    return [(epoch, "score", score)]


def _loss(change: Callable[[Any, Array, Array], tuple[Any, Array]]) -> Callable[[], Sequence[Replacement]]:
    """`change(loss function, scores, labels)` in place of the loss function of both trainings."""

    def replacements() -> Sequence[Replacement]:
        original = _module("numpy.layers").softmax_cross_entropy

        def loss(scores: Array, labels: Array) -> tuple[Any, Array]:
            return change(original, scores, labels)

        return [(_module(f"numpy.{name}"), "softmax_cross_entropy", loss) for name in ("cnn", "rnn")]

    return replacements


def _loss_summed(original: Any, scores: Array, labels: Array) -> tuple[Any, Array]:
    mean, gradient = original(scores, labels)
    return mean * len(labels), gradient * len(labels)


def _gradient_summed(original: Any, scores: Array, labels: Array) -> tuple[Any, Array]:
    mean, gradient = original(scores, labels)
    return mean, gradient * len(labels)


def _softmax_twice(original: Any, scores: Array, labels: Array) -> tuple[Any, Array]:
    import numpy as np

    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = exponentials / exponentials.sum(axis=1, keepdims=True)
    mean, dp = original(p, labels)
    return mean, p * (dp - (dp * p).sum(axis=1, keepdims=True))


def _no_bias() -> Sequence[Replacement]:
    """All biases begin at zero, so that one that never moves might as well not be there."""

    def without_vectors(update: Any) -> Any:
        return lambda self, w, *others: update(self, w, *others) if w.ndim > 1 else None

    optimisers = (_module("numpy.cnn").MomentumSgd, _module("numpy.rnn").Adam)
    return [(each, "update", without_vectors(each.update)) for each in optimisers]


def _adam(
    pace: Callable[[Any, Array, Array], Array], *, epsilon: float | None = None
) -> Callable[[], Sequence[Replacement]]:
    """`pace(optimizer, m, v)`, by which a weight moves per unit of learning rate, in place of the oracle's."""

    def update(self: Any, w: Array, g: Array, m: Array, v: Array) -> None:
        if epsilon is not None:
            self.epsilon = epsilon
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        w -= self.lr * pace(self, m, v)

    return lambda: [(_module("numpy.rnn").Adam, "update", update)]


def _corrected(self: Any, m: Array, v: Array) -> Array:
    root: Array = (v / (1 - self.beta2**self.t)) ** 0.5
    pace: Array = m / (1 - self.beta1**self.t) / (root + self.epsilon)
    return pace


def _epsilon_inside(self: Any, m: Array, v: Array) -> Array:
    correction = (1 - self.beta2**self.t) ** 0.5 / (1 - self.beta1**self.t)
    pace: Array = correction * m / (v**0.5 + self.epsilon)
    return pace


def _corrected_roughly(self: Any, m: Array, v: Array) -> Array:
    """No mistake: some frameworks keep the decay rates in float32, which has 1 - 0.999 to five digits."""
    beta1, beta2 = v.dtype.type(self.beta1), v.dtype.type(self.beta2)
    root: Array = (v / (1 - beta2**self.t)) ** 0.5
    pace: Array = m / (1 - beta1**self.t) / (root + self.epsilon)
    return pace


def _uncorrected(self: Any, m: Array, v: Array) -> Array:
    pace: Array = m / (v**0.5 + self.epsilon)
    return pace


def _adam_sparse() -> Sequence[Replacement]:
    """Rows of a matrix without a gradient keep their weights and their moments."""
    adam = _module("numpy.rnn").Adam
    original = adam.update

    def update(self: Any, w: Array, g: Array, m: Array, v: Array) -> None:
        if w.ndim == 1:
            original(self, w, g, m, v)
            return
        rows = g.any(axis=1)
        moved = [array[rows] for array in (w, g, m, v)]
        original(self, *moved)
        for array, rest in zip((w, m, v), (moved[0], moved[2], moved[3]), strict=True):
            array[rows] = rest

    return [(adam, "update", update)]


def _gru(*, hard: bool = False, before: bool = False) -> Callable[[], Sequence[Replacement]]:
    def replacements() -> Sequence[Replacement]:
        rnn = _module("numpy.rnn")
        return [(rnn, "Gru", planted_gru.variant(rnn.Gru, hard=hard, before=before))]

    return replacements


def _gates(change: Callable[[Array, int], Array]) -> Callable[[], Sequence[Replacement]]:
    """`change(array, units)` for every weight of the GRU before the training; gates lie in the order r, z, n."""

    def replacements() -> Sequence[Replacement]:
        rnn = _module("numpy.rnn")
        original = rnn.Gru

        def gru(*weights: Array) -> Any:
            return original(*(change(array, len(array) // 3) for array in weights))

        return [(rnn, "Gru", gru)]

    return replacements


def _swap_gates(array: Array, units: int) -> Array:
    import numpy as np

    return np.concatenate([array[units : 2 * units], array[:units], array[2 * units :]])


def _invert_update(array: Array, units: int) -> Array:
    """σ(−x) = 1 − σ(x): with its weights negated the gate keeps what it would have replaced."""
    inverted: Array = array.copy()
    inverted[units : 2 * units] *= -1
    return inverted


def _bn_epsilon(epsilon: float) -> Callable[[], Sequence[Replacement]]:
    return lambda: [(_module("numpy.resnet50"), "EPSILON", epsilon)]


def _stride_in_3x3() -> Sequence[Replacement]:
    resnet50 = _module("numpy.resnet50")
    network = resnet50.ResNet50
    return [(resnet50, "ResNet50", lambda weights, variant: network(weights, "v1.5"))]  # noqa: ARG005


def _padding_after() -> Sequence[Replacement]:
    """Padding that leaves ⌈size / stride⌉ windows, the odd row and column below and on the right."""
    import numpy as np

    resnet50 = _module("numpy.resnet50")
    convolve = resnet50.convolve

    def padded(x: Array, kernel: Array, stride: int = 1, padding: int = 0) -> Any:
        if stride == 1 or not padding:
            return convolve(x, kernel, stride, padding)
        around = ((len(kernel) - stride) // 2, (len(kernel) - stride + 1) // 2)
        return convolve(np.pad(x, ((0, 0), around, around, (0, 0))), kernel, stride)

    def max_pool(x: Array) -> Array:
        framed = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        rows = np.maximum(np.maximum(framed[:, 0:-1:2], framed[:, 1::2]), framed[:, 2::2])
        pooled: Array = np.maximum(np.maximum(rows[:, :, 0:-1:2], rows[:, :, 1::2]), rows[:, :, 2::2])
        return pooled

    return [(resnet50, "convolve", padded), (resnet50, "max_pool", max_pool)]


def _dropout(
    change: Callable[[Any], Callable[[float, Any], Any]],
) -> Callable[[], Sequence[Replacement]]:
    """`change(Dropout)`, a function of the rate and the random generator, in place of the layer that the CNN takes."""

    def replacements() -> Sequence[Replacement]:
        cnn = _module("numpy.cnn")
        return [(cnn, "Dropout", change(cnn.Dropout))]

    return replacements


def _never(dropout: Any) -> Any:
    return type("Never", (dropout,), {"forward": lambda _, x: x, "backward": lambda _, dy: dy})


def _in_evaluation(dropout: Any) -> Any:
    """The CNN leaves out of its evaluation what is of this class, and nothing is."""
    return type("Undetected", (), {"__new__": lambda _, *arguments: dropout(*arguments)})


def _always() -> Sequence[Replacement]:
    """The model is built with fixed rates, those of the study."""
    cnn = _module("numpy.cnn")
    original = cnn.build

    def build(job: Any, dtype: Any) -> Any:
        with mock.patch.dict(job.settings, dropout_conv=0.25, dropout_dense=0.5):
            return original(job, dtype)

    return [(cnn, "build", build)]


def _training_norm(heard: Callable[[Any, Array], None]) -> Any:
    """The oracle's convolution with a BatchNorm as in training: mean and variance over batch, height and width.

    `heard(layer, y)` is told what went into the BatchNorm. A layer that is not `.training` computes as the oracle's.
    """
    resnet50 = _module("numpy.resnet50")
    original = resnet50.ConvolutionBatchNorm

    def init(self: Any, weights: Any, convolution: str, bn: str, stride: int = 1) -> None:
        original.__init__(self, weights, convolution, bn, stride)
        self.training = True
        self.bn = [weights[f"{bn}.{name}"] for name in ("gamma", "beta", "mean", "var")]

    def forward(self: Any, x: Array) -> Array:
        if not self.training:
            found: Array = original.forward(self, x)
            return found
        gamma, beta, mean, var = self.bn
        y = (original.forward(self, x) - beta) / gamma * (var + resnet50.EPSILON) ** 0.5 + mean  # before the BatchNorm
        batch_mean, batch_var = y.mean(axis=(0, 1, 2)), y.var(axis=(0, 1, 2))
        heard(self, y)
        normalised: Array = (y - batch_mean) / (batch_var + resnet50.EPSILON) ** 0.5 * gamma + beta
        return normalised

    return type("TrainingNorm", (original,), {"__init__": init, "forward": forward})


def _batch_statistics() -> Sequence[Replacement]:
    """Statistics of the batch in place of those in the weights."""
    resnet50 = _module("numpy.resnet50")
    whole_batch = 1 << 20
    norm = _training_norm(lambda _layer, _y: None)
    return [(resnet50, "ConvolutionBatchNorm", norm), (resnet50, "TOGETHER", whole_batch)]


def _bn_moved(momentum: float) -> Callable[[], Sequence[Replacement]]:
    """The first batch passes in training mode: each statistic goes so far towards the batch's before the extraction."""

    def replacements() -> Sequence[Replacement]:
        resnet50 = _module("numpy.resnet50")
        build = resnet50.build

        def moves(layer: Any, y: Array) -> None:
            gamma, beta, mean, var = layer.bn
            moved_mean = (1 - momentum) * mean + momentum * y.mean(axis=(0, 1, 2))
            moved_var = (1 - momentum) * var + momentum * y.var(axis=(0, 1, 2), ddof=1)  # as an estimate of all images
            before, after = (gamma / (each + resnet50.EPSILON) ** 0.5 for each in (var, moved_var))
            layer.kernel = layer.kernel / before * after
            layer.shift = beta - moved_mean * after
            layer.training = False

        def warmed_up(job: Any, dtype: Any) -> Any:
            model = build(job, dtype)
            model.forward(job.images(layout="NHWC")[0].astype(dtype))
            return model

        return [(resnet50, "ConvolutionBatchNorm", _training_norm(moves)), (resnet50, "build", warmed_up)]

    return replacements


def _nudged(draw: int) -> Callable[[], Sequence[Replacement]]:
    """No mistake: every initial weight moves to one of the two float32 numbers beside it, and Adam rounds its rates."""

    def replacements() -> Sequence[Replacement]:
        import numpy as np

        job = _module("common.bench").Job
        original = job.weights

        def nudge(array: Array, random: np.random.Generator) -> Array:
            aside = np.nextafter(array, np.where(random.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype))
            return np.where(array == 0, array, aside)  # beside 0 are denormal numbers

        def weights(self: Any) -> dict[str, Array]:
            random = np.random.default_rng(draw)
            return {name: nudge(array, random) for name, array in original(self).items()}

        return [(job, "weights", weights), *_adam(_corrected_roughly)()]

    return replacements


NUDGES = tuple(f"nudged-{draw}" for draw in range(1, 5))
PLANTS: dict[str, Callable[[], Sequence[Replacement]]] = {
    "unit-gain": _momentum(_unit_gain),
    "dampening": _momentum(_dampening),
    "nesterov": _momentum(_nesterov),
    "no-momentum": _momentum(_no_momentum),
    "flatten-order": _flatten_order,
    "kernel-flipped": _kernel_flipped,
    "height-width": _height_width,
    "pixels-255": _pixels_255,
    "pixels-centred": _pixels_centred,
    "label-shift": _label_shift,
    "loss-summed": _loss(_loss_summed),
    "gradient-summed": _loss(_gradient_summed),
    "softmax-twice": _loss(_softmax_twice),
    "no-bias": _no_bias,
    "padding-before": _padding_before,
    "test-truncated": _test_truncated,
    "adam-epsilon-inside": _adam(_epsilon_inside),
    "adam-epsilon-1e-7": _adam(_corrected, epsilon=1e-7),
    "adam-uncorrected": _adam(_uncorrected),
    "adam-sparse": _adam_sparse,
    "hard-sigmoid": _gru(hard=True),
    "reset-before": _gru(before=True),
    "hard-sigmoid-reset-before": _gru(hard=True, before=True),
    "gates-swapped": _gates(_swap_gates),
    "update-inverted": _gates(_invert_update),
    "bn-epsilon-1e-3": _bn_epsilon(1e-3),
    "bn-epsilon-2e-5": _bn_epsilon(2e-5),
    "stride-in-3x3": _stride_in_3x3,
    "padding-after": _padding_after,
    "bn-batch-statistics": _batch_statistics,
    "bn-moved-0.1": _bn_moved(0.1),
    "bn-moved-0.01": _bn_moved(0.01),
    "dropout-always": _always,
    "dropout-never": _dropout(_never),
    "dropout-in-evaluation": _dropout(_in_evaluation),
    **{name: _nudged(draw) for draw, name in enumerate(NUDGES, start=1)},
}

if __name__ == "__main__":
    main()
