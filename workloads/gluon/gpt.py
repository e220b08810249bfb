"""Character-level GPT on Tiny Shakespeare in Gluon, hybridized into a graph.

Inside, arrays are (context, batch, width): the order that MXNet's operators for self-attention read.
"""

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.gluon import nn

from workloads.common import bench
from workloads.gluon import runtime

CHARACTERS = 65


def norm(width, prefix):
    return nn.LayerNorm(epsilon=1e-5, center=False, in_channels=width, prefix=prefix)


def linear(inputs, outputs, **options):
    return nn.Dense(outputs, use_bias=False, flatten=False, in_units=inputs, **options)


class Block(gluon.HybridBlock):
    """A transformer block with LayerNorm first: attention, then a perceptron, each added to the stream."""

    def __init__(self, heads, width, dropout, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads
        with self.name_scope():
            self.norm1 = norm(width, "norm1_")
            self.qkv = linear(width, 3 * width, prefix="qkv_")
            self.out = linear(width, width, prefix="out_")
            self.norm2 = norm(width, "norm2_")
            self.up = linear(width, 4 * width, prefix="up_")
            self.gelu = nn.GELU()
            self.down = linear(4 * width, width, prefix="down_")
            self.dropout = nn.Dropout(dropout)

    def hybrid_forward(self, F, x, visible):
        x = x + self.dropout(self.attention(F, self.norm1(x), visible))
        return x + self.dropout(self.down(self.gelu(self.up(self.norm2(x)))))

    def attention(self, F, x, visible):
        qkv = self.qkv(x)
        scores = F.contrib.interleaved_matmul_selfatt_qk(qkv, heads=self.heads)  # divided by √(width / heads)
        shares = self.dropout(F.softmax(scores, visible, use_length=True))
        return self.out(F.contrib.interleaved_matmul_selfatt_valatt(qkv, shares, heads=self.heads))


class Gpt(gluon.HybridBlock):
    def __init__(self, batch, context, layers, heads, width, dropout):
        super().__init__(prefix="")
        self.context, self.sequences = context, batch * heads
        self.token = nn.Embedding(CHARACTERS, width, prefix="token_")
        self.position = self.params.get("position_weight", shape=(context, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.HybridSequential(prefix="")
        for number in range(layers):
            self.blocks.add(Block(heads, width, dropout, prefix="blocks_{}_".format(number)))
        self.norm = norm(width, "norm_")
        self.head = linear(width, CHARACTERS, params=self.token.params)  # tied: the token embedding, transposed

    def hybrid_forward(self, F, ids, position):
        """Character ids (batch, context) -> logits (batch, context, characters)."""
        visible = F.reshape(F.arange(1, self.context + 1, dtype="int32"), shape=(1, -1))  # itself and those before it
        visible = F.broadcast_to(visible, shape=(self.sequences, self.context))
        x = self.dropout(F.broadcast_add(self.token(F.transpose(ids)), F.expand_dims(position, axis=1)))
        for block in self.blocks:
            x = block(x, visible)
        return F.transpose(self.head(self.norm(x)), axes=(1, 0, 2))


def build(job, context):
    settings = job.settings
    net = Gpt(*(settings[name] for name in ("batch", "context", "layers", "heads", "width", "dropout")))
    weights = {name: np.zeros(settings["width"]) for name in net.collect_params(".*_beta")}  # they stay zero
    for name, array in job.weights().items():
        layer, _ = name.replace(".", "_").rsplit("_", 1)
        parameter = layer + ("_gamma" if "norm" in layer else "_weight")
        weights[parameter] = runtime.interleaved(array, settings["heads"]) if layer.endswith("qkv") else array
    runtime.set_weights(net, weights, context)
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def weights_of(net, heads):
    """The weights as they are now, under the names and in the order they came with."""
    weights = {}
    for name, parameter in net.collect_params(".*_weight|.*_gamma").items():
        array = parameter.data().asnumpy()
        layer, _ = name.replace("_", ".").rsplit(".", 1)
        weights[layer + ".weight"] = runtime.stacked(array, heads) if layer.endswith("qkv") else array
    return weights


def adamw(net, settings):
    net.collect_params(".*_gamma").setattr("wd_mult", 0.0)  # gains do not decay
    optimizer = runtime.AdamW(
        lr_scheduler=runtime.cosine_schedule(*(settings[name] for name in ("lr", "lr_end", "warmup", "decay_steps"))),
        beta1=settings["beta1"],
        beta2=settings["beta2"],
        epsilon=settings["epsilon"],
        wd=settings["weight_decay"],
        clip=settings["clip"],
    )
    return gluon.Trainer(net.collect_params(), optimizer, kvstore=None)


def run(job):
    context = runtime.start(job)
    x_train, y_train, x_test, y_test = job.windows()
    net = build(job, context)
    loss_function = gluon.loss.SoftmaxCrossEntropyLoss()
    loss_function.hybridize(static_alloc=True, static_shape=True)
    trainer = adamw(net, job.settings)

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
        mx.random.seed(job.seed)  # so that dropout draws its masks as if nothing had been drawn
    job.ready()
    for epoch in job.epochs(sync=mx.nd.waitall, weights=lambda: weights_of(net, job.settings["heads"])):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        epoch.score_loss(predict, x_test, y_test, pad=True)


if __name__ == "__main__":
    bench.main(run)
