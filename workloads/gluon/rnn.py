"""GRU on IMDB reviews in Gluon."""

import mxnet as mx
from mxnet import autograd, gluon
from mxnet.gluon import nn

from workloads.common import bench
from workloads.gluon import runtime

VOCABULARY, EMBEDDING, UNITS, CLASSES = 30000, 125, 100, 2
PARAMETERS = {  # Gluon's names of our weights
    "embedding.weight": "embedding_weight",
    "gru.weight_ih": "gru_l0_i2h_weight",
    "gru.weight_hh": "gru_l0_h2h_weight",
    "gru.bias_ih": "gru_l0_i2h_bias",
    "gru.bias_hh": "gru_l0_h2h_bias",
    "fc.weight": "fc_weight",
    "fc.bias": "fc_bias",
}


class Rnn(gluon.HybridBlock):
    def __init__(self, batch):
        super().__init__(prefix="")
        self.batch = batch
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING, prefix="embedding_")
        self.gru = gluon.rnn.GRU(UNITS, input_size=EMBEDDING, prefix="gru_")
        self.fc = nn.Dense(CLASSES, in_units=UNITS, prefix="fc_")

    def hybrid_forward(self, F, tokens):
        # Not SequenceLast of the outputs: its gradient reads uninitialised memory (MXNet 1.9.1).
        zeros = F.zeros(shape=(1, self.batch, UNITS))
        _, (last,) = self.gru(self.embedding(F.transpose(tokens)), zeros)
        return self.fc(F.reshape(last, shape=(self.batch, UNITS)))


def build(job, context):
    net = Rnn(job.settings["batch"])
    runtime.set_weights(net, {PARAMETERS[name]: array for name, array in job.weights().items()}, context)
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def weights_of(net):
    """The weights as they are now, under the names they came with."""
    parameters = net.collect_params()
    return {ours: parameters[theirs].data().asnumpy() for ours, theirs in PARAMETERS.items()}


def run(job):
    context = runtime.start(job, fused=True)
    x_train, y_train, x_test, y_test = job.data()
    net = build(job, context)
    loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
    loss_function.hybridize(static_alloc=True, static_shape=True)
    optimizer = runtime.Adam(
        learning_rate=job.settings["lr"],
        beta1=job.settings["beta1"],
        beta2=job.settings["beta2"],
        epsilon=job.settings["epsilon"],
    )
    trainer = gluon.Trainer(net.collect_params(), optimizer, kvstore=None)

    def forward_backward(x, y):
        with autograd.record():
            losses = loss_function(net(mx.nd.array(x, ctx=context)), mx.nd.array(y, ctx=context))
        losses.backward()
        return losses

    def train_step(x, y):
        losses = forward_backward(x, y)
        trainer.step(len(x))
        return lambda: losses.mean().asscalar()

    def predict(x):
        return net(mx.nd.array(x, ctx=context)).asnumpy()

    with job.compiling():  # the graphs are built when they first run; without trainer.step() no weight changes
        forward_backward(x_train[: job.settings["batch"]], y_train[: job.settings["batch"]])
        mx.nd.waitall()
    job.ready()
    for epoch in job.epochs(sync=mx.nd.waitall, weights=lambda: weights_of(net)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        epoch.score(predict, x_test, y_test, pad=True)


if __name__ == "__main__":
    bench.main(run)
