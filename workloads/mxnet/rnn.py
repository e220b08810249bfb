"""GRU on IMDB reviews in MXNet, as a symbol trained through the Module API."""

import mxnet as mx
import numpy as np

from workloads.common import bench
from workloads.mxnet import runtime

VOCABULARY, EMBEDDING, UNITS, CLASSES = 30000, 125, 100, 2
LENGTH = 150
GRU = (  # what the RNN operator's one vector of parameters, gru_parameters, is made of
    ("gru.weight_ih", (3 * UNITS, EMBEDDING)),
    ("gru.weight_hh", (3 * UNITS, UNITS)),
    ("gru.bias_ih", (3 * UNITS,)),
    ("gru.bias_hh", (3 * UNITS,)),
)


def network(batch):
    x = mx.sym.transpose(mx.sym.Variable("data"))
    x = mx.sym.Embedding(x, name="embedding", input_dim=VOCABULARY, output_dim=EMBEDDING)
    zeros = mx.sym.zeros(shape=(1, batch, UNITS))
    _, last = mx.sym.RNN(x, state=zeros, name="gru", mode="gru", state_size=UNITS, num_layers=1, state_outputs=True)
    x = mx.sym.FullyConnected(mx.sym.reshape(last, shape=(batch, UNITS)), name="fc", num_hidden=CLASSES)
    return mx.sym.SoftmaxOutput(x, name="softmax")


def build(job, context):
    batch = job.settings["batch"]
    module = mx.mod.Module(network(batch), context=context)
    module.bind(data_shapes=[("data", (batch, LENGTH))], label_shapes=[("softmax_label", (batch,))])
    w = job.weights()
    gru = [w.pop(name).ravel() for name, _ in GRU]
    weights = {name.replace(".", "_"): mx.nd.array(array) for name, array in w.items()}
    weights["gru_parameters"] = mx.nd.array(np.concatenate(gru))
    module.set_params(weights, {})
    optimizer = runtime.Adam(
        learning_rate=job.settings["lr"],
        beta1=job.settings["beta1"],
        beta2=job.settings["beta2"],
        epsilon=job.settings["epsilon"],
        rescale_grad=1 / batch,  # SoftmaxOutput's gradient is the sum over the batch
    )
    module.init_optimizer(kvstore=None, optimizer=optimizer)
    return module


def weights_of(module):
    """The weights as they are now, under the names and in the shapes they came with."""
    parameters, _ = module.get_params()
    arrays = {name: array.asnumpy() for name, array in parameters.items()}
    gru = arrays.pop("gru_parameters")
    weights = {name.replace("_", "."): array for name, array in arrays.items()}
    for name, shape in GRU:
        size = np.prod(shape)
        weights[name], gru = gru[:size].reshape(shape), gru[size:]
    return weights


def run(job):
    context = runtime.start(job, fused=True)
    x_train, y_train, x_test, y_test = job.data()
    module = build(job, context)

    def train_step(x, y):
        module.forward_backward(runtime.batch(x, y))
        module.update()
        return lambda: runtime.cross_entropy(module.get_outputs()[0], y)

    def predict(x):
        module.forward(runtime.batch(x), is_train=False)
        return module.get_outputs()[0].asnumpy()

    with job.compiling():  # operators choose their kernels when they first run; without update() no weight changes
        module.forward_backward(runtime.batch(x_train[: job.settings["batch"]], y_train[: job.settings["batch"]]))
        mx.nd.waitall()
    job.ready()
    for epoch in job.epochs(sync=mx.nd.waitall, weights=lambda: weights_of(module)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        epoch.score(predict, x_test, y_test, pad=True)


if __name__ == "__main__":
    bench.main(run)
