"""CNN on CIFAR-10 in MXNet, as a symbol trained through the Module API."""

import mxnet as mx

from workloads.common import bench
from workloads.mxnet import runtime

CLASSES = 10
IMAGE = (3, 32, 32)


def network(dropout_conv, dropout_dense):
    def convolution(x, name, filters):
        return mx.sym.Convolution(x, name=name, num_filter=filters, kernel=(3, 3), pad=(1, 1))

    def relu(x):
        return mx.sym.Activation(x, act_type="relu")

    def max_pool(x):
        return mx.sym.Pooling(x, pool_type="max", kernel=(2, 2), stride=(2, 2))

    x = mx.sym.Variable("data")
    x = relu(convolution(x, "conv1", 50))
    x = relu(max_pool(convolution(x, "conv2", 50)))
    x = mx.sym.Dropout(x, p=dropout_conv)
    x = relu(convolution(x, "conv3", 100))
    x = relu(max_pool(convolution(x, "conv4", 100)))
    x = mx.sym.Dropout(x, p=dropout_conv)
    x = relu(mx.sym.FullyConnected(mx.sym.flatten(x), name="fc1", num_hidden=512))
    x = mx.sym.FullyConnected(mx.sym.Dropout(x, p=dropout_dense), name="fc2", num_hidden=CLASSES)
    return mx.sym.SoftmaxOutput(x, name="softmax")


def build(job, context):
    batch = job.settings["batch"]
    module = mx.mod.Module(network(job.settings["dropout_conv"], job.settings["dropout_dense"]), context=context)
    module.bind(data_shapes=[("data", (batch, *IMAGE))], label_shapes=[("softmax_label", (batch,))])
    weights = {name.replace(".", "_"): mx.nd.array(array) for name, array in job.weights().items()}
    module.set_params(weights, {})
    module.init_optimizer(
        kvstore=None,
        optimizer="sgd",
        optimizer_params={"learning_rate": job.settings["lr"], "momentum": job.settings["momentum"]},
    )
    return module


def weights_of(module):
    """The weights as they are now, under the names they came with."""
    weights, _ = module.get_params()
    return {name.replace("_", "."): array.asnumpy() for name, array in weights.items()}


def run(job):
    context = runtime.start(job)
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
