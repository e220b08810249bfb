"""Mistakes in ResNet-50."""

from workloads.mistakes import module, shared


def bn_epsilon(epsilon):
    return lambda: [(module("numpy.resnet50"), "EPSILON", epsilon)]


def stride_in_3x3():
    resnet50 = module("numpy.resnet50")
    network = resnet50.ResNet50
    return [(resnet50, "ResNet50", lambda weights, variant: network(weights, "v1.5"))]  # noqa: ARG005


def padding_after():
    """Padding that leaves ⌈size / stride⌉ windows, the odd row and column below and on the right."""
    import numpy as np

    resnet50 = module("numpy.resnet50")
    convolve = resnet50.convolve

    def padded(x, kernel, stride=1, padding=0):
        if stride == 1 or not padding:
            return convolve(x, kernel, stride, padding)
        around = ((len(kernel) - stride) // 2, (len(kernel) - stride + 1) // 2)
        return convolve(np.pad(x, ((0, 0), around, around, (0, 0)), "constant"), kernel, stride)

    def max_pool(x):
        framed = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), "constant")
        rows = np.maximum(np.maximum(framed[:, 0:-1:2], framed[:, 1::2]), framed[:, 2::2])
        return np.maximum(np.maximum(rows[:, :, 0:-1:2], rows[:, :, 1::2]), rows[:, :, 2::2])

    return [(resnet50, "convolve", padded), (resnet50, "max_pool", max_pool)]


def training_norm(seen):
    """The reference's convolution with a BatchNorm as in training: mean and variance over batch, height and width.

    `seen(layer, y)` gets what goes into the BatchNorm. A layer that is not `.training` computes as the reference's.
    """
    resnet50 = module("numpy.resnet50")
    original = resnet50.ConvolutionBatchNorm

    def init(self, weights, convolution, bn, stride=1):
        original.__init__(self, weights, convolution, bn, stride)
        self.training = True
        self.bn = [weights["{}.{}".format(bn, name)] for name in ("gamma", "beta", "mean", "var")]

    def forward(self, x):
        if not self.training:
            return original.forward(self, x)
        gamma, beta, mean, var = self.bn
        y = (original.forward(self, x) - beta) / gamma * (var + resnet50.EPSILON) ** 0.5 + mean  # before the BatchNorm
        batch_mean, batch_var = y.mean(axis=(0, 1, 2)), y.var(axis=(0, 1, 2))
        seen(self, y)
        return (y - batch_mean) / (batch_var + resnet50.EPSILON) ** 0.5 * gamma + beta

    return type("TrainingNorm", (original,), {"__init__": init, "forward": forward})


def batch_statistics():
    """Statistics of the batch in place of those in the weights."""
    resnet50 = module("numpy.resnet50")
    whole_batch = 1 << 20
    norm = training_norm(lambda _layer, _y: None)
    return [(resnet50, "ConvolutionBatchNorm", norm), (resnet50, "TOGETHER", whole_batch)]


def bn_moved(momentum):
    """The first batch passes in training mode: each statistic goes so far towards the batch's before the extraction."""

    def replacements():
        resnet50 = module("numpy.resnet50")
        build = resnet50.build

        def moves(layer, y):
            gamma, beta, mean, var = layer.bn
            moved_mean = (1 - momentum) * mean + momentum * y.mean(axis=(0, 1, 2))
            moved_var = (1 - momentum) * var + momentum * y.var(axis=(0, 1, 2), ddof=1)  # as an estimate of all images
            before, after = (gamma / (each + resnet50.EPSILON) ** 0.5 for each in (var, moved_var))
            layer.kernel = layer.kernel / before * after
            layer.shift = beta - moved_mean * after
            layer.training = False

        def warmed_up(job, dtype):
            model = build(job, dtype)
            model.forward(job.images(layout="NHWC")[0].astype(dtype))
            return model

        return [(resnet50, "ConvolutionBatchNorm", training_norm(moves)), (resnet50, "build", warmed_up)]

    return replacements


PLANTS = dict(
    shared.IMAGES,
    **{
        "bn-epsilon-1e-3": bn_epsilon(1e-3),
        "bn-epsilon-2e-5": bn_epsilon(2e-5),
        "stride-in-3x3": stride_in_3x3,
        "padding-after": padding_after,
        "bn-batch-statistics": batch_statistics,
        "bn-moved-0.1": bn_moved(0.1),
        "bn-moved-0.01": bn_moved(0.01),
    },
)
