"""Mistakes that several workloads have in common."""

from workloads.mistakes import module


def inputs(images, labels):
    """Change what a job hands to its workload. Images have their axes last: height, width, channels."""
    job = module("common.bench").Job
    data, inference = job.data, job.images

    def changed(self, *arguments, **options):
        x_train, y_train, x_test, y_test = data(self, *arguments, **options)
        return [images(x_train), labels(y_train), images(x_test), labels(y_test)]

    def changed_inference(self, *arguments, **options):
        return images(inference(self, *arguments, **options))

    return [(job, "data", changed), (job, "images", changed_inference)]


def same(array):
    return array


def height_width():
    return inputs(lambda x: x.swapaxes(-3, -2).copy(), same)


def pixels_255():
    return inputs(lambda x: x * x.dtype.type(255), same)


def pixels_centred():
    return inputs(lambda x: x * x.dtype.type(2) - x.dtype.type(1), same)


def kernel_flipped():
    channels_last = module("numpy.layers").channels_last

    def flipped(weight):
        return channels_last(weight[:, :, ::-1, ::-1])

    return [(module("numpy." + name), "channels_last", flipped) for name in ("layers", "resnet50")]


def label_shift():
    return inputs(same, lambda y: (y + 1) % (y.max() + 1))


def test_truncated():
    """Test samples that fill no batch are not scored."""
    epoch = module("common.bench").Epoch

    def truncated(original):
        def score(self, predict, x, y, *others, **options):
            batch = self._job.settings["batch"]
            whole = len(x) // batch * batch
            original(self, predict, x[:whole], y[:whole], *others, **options)

        return score

    return [(epoch, name, truncated(getattr(epoch, name))) for name in ("score", "score_loss")]


def loss(change):
    """`change(loss function, scores, labels)` in place of the loss function of both trainings."""

    def replacements():
        original = module("numpy.layers").softmax_cross_entropy

        def changed(scores, labels):
            return change(original, scores, labels)

        return [(module("numpy." + name), "softmax_cross_entropy", changed) for name in ("cnn", "rnn")]

    return replacements


def loss_summed(original, scores, labels):
    mean, gradient = original(scores, labels)
    return mean * len(labels), gradient * len(labels)


def gradient_summed(original, scores, labels):
    mean, gradient = original(scores, labels)
    return mean, gradient * len(labels)


def softmax_twice(original, scores, labels):
    import numpy as np

    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = exponentials / exponentials.sum(axis=1, keepdims=True)
    mean, dp = original(p, labels)
    return mean, p * (dp - (dp * p).sum(axis=1, keepdims=True))


def no_bias():
    """All biases begin at zero, so that one that never moves might as well not be there."""

    def without_vectors(update):
        return lambda self, w, *others: update(self, w, *others) if w.ndim > 1 else None

    optimisers = (module("numpy.cnn").MomentumSgd, module("numpy.rnn").Adam)
    return [(each, "update", without_vectors(each.update)) for each in optimisers]


IMAGES = {
    "kernel-flipped": kernel_flipped,
    "height-width": height_width,
    "pixels-centred": pixels_centred,
}
TRAINING = {
    "label-shift": label_shift,
    "loss-summed": loss(loss_summed),
    "gradient-summed": loss(gradient_summed),
    "softmax-twice": loss(softmax_twice),
    "no-bias": no_bias,
    "test-truncated": test_truncated,
}
