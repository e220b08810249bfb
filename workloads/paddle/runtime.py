"""Where a PaddlePaddle job runs: on CPUs, and how a model gets its weights."""

import paddle


def start(job, fused=None, notes=()):
    """Set PaddlePaddle up for this job and announce it.

    OMP_NUM_THREADS, which bench.py sets before the import, is where it takes its number of threads from. Raises
    NotImplementedError for a GPU, which needs another wheel, and for a precision other than fp32."""
    if job.device != "cpu":
        raise NotImplementedError("this build of PaddlePaddle computes on CPUs only")
    if job.precision != "fp32":
        raise NotImplementedError("these workloads compute in fp32, not in {}".format(job.precision))
    paddle.set_device("cpu")
    paddle.seed(job.seed)
    job.start(version=paddle.__version__, fused=fused, notes=notes)


def synchronize():
    """Nothing to wait for: on a CPU every call returns when its work is done."""


def linears(model):
    """The names of the matrices of `model` that PaddlePaddle keeps as (in, out)."""
    layers = model.named_sublayers()
    return {name + ".weight" for name, layer in layers if isinstance(layer, paddle.nn.Linear)}


def load(model, weights):
    """Give `model` these weights, which are named like its own. Raises ValueError for one too many or too few."""
    transposed = linears(model)
    arrays = {name: array.T if name in transposed else array for name, array in weights.items()}
    missing, unexpected = model.set_state_dict(arrays)
    if missing or unexpected:
        raise ValueError("weights do not fit: without {}, but with {}".format(missing, unexpected))


def weights_of(model):
    """The weights as they are now, in the shapes they came with."""
    transposed = linears(model)
    arrays = {name: weight.numpy() for name, weight in model.state_dict().items()}
    return {name: array.T if name in transposed else array for name, array in arrays.items()}


def rehearse(forward_backward, predict, x, y):
    """Do once what will be timed: graphs are built, and operators choose their kernels, when they first run.

    No trace is left: no weight changes, and dropout draws its masks as if nothing had been drawn."""
    state = paddle.get_rng_state()
    forward_backward(x, y)
    predict(x)
    paddle.set_rng_state(state)
