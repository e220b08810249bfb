"""Character-level GPT on Tiny Shakespeare in MXNet, as a symbol trained through the Module API.

Inside, arrays are (context, batch, width): the order that MXNet's operators for self-attention read.
"""

import mxnet as mx

from workloads.common import bench
from workloads.mxnet import runtime

CHARACTERS = 65


def network(batch, context, layers, heads, width, dropout):
    """Two outputs: probabilities (batch · context, characters), and for scoring logits (batch, context, characters)."""
    no_beta = mx.sym.zeros(shape=(width,))
    visible = mx.sym.reshape(mx.sym.arange(1, context + 1, dtype="int32"), shape=(1, context))  # itself, those before
    visible = mx.sym.broadcast_to(visible, shape=(batch * heads, context))

    def weight(name, **options):
        return mx.sym.Variable(name + ".weight", **options)

    def norm(x, name):
        return mx.sym.LayerNorm(x, gamma=weight(name), beta=no_beta, eps=1e-5)

    def linear(x, weight, outputs):
        return mx.sym.FullyConnected(x, weight=weight, num_hidden=outputs, no_bias=True, flatten=False)

    def drop(x):
        return mx.sym.Dropout(x, p=dropout) if dropout else x

    def attention(x, block):
        qkv = linear(x, weight(block + "qkv"), 3 * width)
        scores = mx.sym.contrib.interleaved_matmul_selfatt_qk(qkv, heads=heads)  # divided by √(width / heads)
        shares = drop(mx.sym.softmax(scores, length=visible, use_length=True))
        y = mx.sym.contrib.interleaved_matmul_selfatt_valatt(qkv, shares, heads=heads)
        return drop(linear(y, weight(block + "out"), width))

    def perceptron(x, block):
        x = mx.sym.LeakyReLU(linear(x, weight(block + "up"), 4 * width), act_type="gelu")
        return drop(linear(x, weight(block + "down"), width))

    token, position = weight("token"), weight("position", shape=(context, width))
    ids = mx.sym.transpose(mx.sym.Variable("data"))
    x = mx.sym.Embedding(ids, weight=token, input_dim=CHARACTERS, output_dim=width)
    x = drop(mx.sym.broadcast_add(x, mx.sym.expand_dims(position, axis=1)))
    for number in range(layers):
        block = "blocks.{}.".format(number)
        x = x + attention(norm(x, block + "norm1"), block)
        x = x + perceptron(norm(x, block + "norm2"), block)
    logits = mx.sym.transpose(linear(norm(x, "norm"), token, CHARACTERS), axes=(1, 0, 2))
    probabilities = mx.sym.SoftmaxOutput(
        mx.sym.reshape(logits, shape=(-1, CHARACTERS)),
        mx.sym.reshape(mx.sym.Variable("softmax_label"), shape=(-1,)),
        grad_scale=1 / context,
    )
    return mx.sym.Group([probabilities, mx.sym.BlockGrad(logits)])


def is_qkv(name):
    return name.endswith("qkv.weight")


def build(job, context):
    settings = job.settings
    sizes = {name: settings[name] for name in ("batch", "context", "layers", "heads", "width", "dropout")}
    windows = (sizes["batch"], sizes["context"])
    module = mx.mod.Module(network(**sizes), context=context)
    module.bind(data_shapes=[("data", windows)], label_shapes=[("softmax_label", windows)])
    weights = {
        name: mx.nd.array(runtime.interleaved(array, settings["heads"]) if is_qkv(name) else array)
        for name, array in job.weights().items()
    }
    module.set_params(weights, {})
    optimizer = runtime.AdamW(
        lr_scheduler=runtime.cosine_schedule(*(settings[name] for name in ("lr", "lr_end", "warmup", "decay_steps"))),
        beta1=settings["beta1"],
        beta2=settings["beta2"],
        epsilon=settings["epsilon"],
        wd=settings["weight_decay"],
        clip=settings["clip"],
        rescale_grad=1 / settings["batch"],  # SoftmaxOutput's gradient is the sum over the batch
    )
    optimizer.set_wd_mult({name: 0.0 for name, array in weights.items() if array.ndim == 1})  # gains do not decay
    module.init_optimizer(kvstore=None, optimizer=optimizer)
    return module


def weights_of(module, heads):
    """The weights as they are now, under the names and in the order they came with."""
    parameters, _ = module.get_params()
    weights = {name: array.asnumpy() for name, array in parameters.items()}
    return {name: runtime.stacked(array, heads) if is_qkv(name) else array for name, array in weights.items()}


def run(job):
    context = runtime.start(job)
    x_train, y_train, x_test, y_test = job.windows()
    module = build(job, context)

    def train_step(x, y):
        module.forward_backward(runtime.batch(x, y))
        module.update()
        return lambda: runtime.cross_entropy(module.get_outputs()[0], y.ravel())

    def predict(x):
        module.forward(runtime.batch(x), is_train=False)
        return module.get_outputs()[1].asnumpy()

    with job.compiling():  # operators choose their kernels when they first run; without update() no weight changes
        module.forward_backward(runtime.batch(x_train[: job.settings["batch"]], y_train[: job.settings["batch"]]))
        mx.nd.waitall()
        mx.random.seed(job.seed)  # so that dropout draws its masks as if nothing had been drawn
    job.ready()
    for epoch in job.epochs(sync=mx.nd.waitall, weights=lambda: weights_of(module, job.settings["heads"])):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        epoch.score_loss(predict, x_test, y_test, pad=True)


if __name__ == "__main__":
    bench.main(run)
