"""What the Gluon workloads share. Where a job runs is a matter of MXNet, the engine below: see mxnet/runtime.py."""

import mxnet as mx

from workloads.mxnet.runtime import Adam, AdamW, cosine_schedule, interleaved, stacked, start

__all__ = ["Adam", "AdamW", "cosine_schedule", "interleaved", "set_weights", "stacked", "start"]


def set_weights(net, weights, context):
    """Put {parameter name: NumPy array} into the block `net` on `context`: these parameters and no others."""
    parameters = net.collect_params()
    if set(parameters) != set(weights):
        raise ValueError("weights do not fit: {}".format(sorted(set(parameters) ^ set(weights))))
    parameters.initialize(ctx=context)
    for name, array in weights.items():
        parameters[name].set_data(mx.nd.array(array))
