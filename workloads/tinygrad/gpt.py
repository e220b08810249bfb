"""Character-level GPT on Tiny Shakespeare in tinygrad."""

import math

import numpy as np
from tinygrad import Context, Tensor, TinyJit, nn

from workloads.common import bench
from workloads.tinygrad import runtime

CHARACTERS = 65


class Norm:
    """LayerNorm with a gain and no bias."""

    def __init__(self, width):
        self.weight = Tensor.ones(width)

    def __call__(self, x):
        return x.layernorm(eps=1e-5) * self.weight


class Block:
    """A transformer block with LayerNorm first: attention, then a perceptron, each added to the stream."""

    def __init__(self, width, heads, dropout):
        self.heads, self.dropout = heads, dropout
        self.norm1 = Norm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm2 = Norm(width)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def attention(self, x):
        batch, context, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, context, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        y = q.scaled_dot_product_attention(k, v, dropout_p=self.dropout, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, context, width))

    def __call__(self, x):
        x = x + self.attention(self.norm1(x)).dropout(self.dropout)
        return x + self.down(self.up(self.norm2(x)).gelu("none")).dropout(self.dropout)


class Gpt:
    def __init__(self, layers, heads, width, context, dropout):
        self.token = nn.Embedding(CHARACTERS, width)
        self.position = nn.Embedding(context, width)
        self.dropout = dropout
        self.blocks = [Block(width, heads, dropout) for _ in range(layers)]
        self.norm = Norm(width)

    def __call__(self, ids):
        x = (self.token(ids) + self.position.weight).dropout(self.dropout).sequential(self.blocks)
        return self.norm(x).linear(self.token.weight.T)  # tied: the token embedding, transposed


def adamw(model, settings):
    """AdamW that lets matrices decay, but not the gains of LayerNorm."""
    options = {"b1": settings["beta1"], "b2": settings["beta2"], "eps": settings["epsilon"]}
    weights = nn.state.get_parameters(model)
    return nn.optim.OptimizerGroup(
        nn.optim.AdamW([w for w in weights if w.ndim > 1], weight_decay=settings["weight_decay"], **options),
        nn.optim.AdamW([w for w in weights if w.ndim == 1], weight_decay=0.0, **options),
    )


def clip_gradients(weights, largest):
    """Make all gradients smaller by one factor where their norm, over all weights together, is too large."""
    norm = sum(weight.grad.square().sum() for weight in weights).sqrt()
    factor = (largest / norm).minimum(1.0)
    for weight in weights:
        weight.grad = weight.grad * factor


def learning_rate(step, lr, lr_end, warmup, decay_steps):
    """Of step 0, 1, …: up along a line for `warmup` steps, then down along half a cosine to lr · lr_end."""
    if step < warmup:
        return lr * (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, decay_steps - 1 - warmup))
    return lr * (lr_end + (1 - lr_end) * 0.5 * (1 + math.cos(math.pi * done)))


def build(job, devices):
    model = Gpt(*(job.settings[name] for name in ("layers", "heads", "width", "context", "dropout")))
    return runtime.loaded(model, job.weights(), devices)


def run(job):
    devices = runtime.start(job)
    x_train, y_train, x_test, y_test = job.windows()
    model = build(job, devices)
    optimizer = adamw(model, job.settings)
    shape = {name: job.settings[name] for name in ("lr", "lr_end", "warmup", "decay_steps")}

    @TinyJit
    @Context(TRAINING=1)
    def train_step(x, y, lr):
        optimizer.zero_grad()
        loss = model(x).sparse_categorical_crossentropy(y).backward()
        clip_gradients(optimizer.params, job.settings["clip"])
        for group in optimizer.optimizers:
            group.lr = lr
        return loss.realize(*optimizer.schedule_step())

    @TinyJit
    def logits(x):
        return model(x).realize()

    def train(x, y, step):
        lr = np.array([learning_rate(step, **shape)], np.float32)
        return train_step(runtime.split(x, devices), runtime.split(y, devices), runtime.copied(lr, devices))

    def predict(x):
        return logits(runtime.split(x, devices)).numpy()

    with job.compiling():
        x, y = x_train[: job.settings["batch"]], y_train[: job.settings["batch"]]
        runtime.rehearse(model, optimizer, lambda: (train(x, y, 0), predict(x)))
    job.ready()
    step = 0
    for epoch in job.epochs(sync=lambda: runtime.synchronize(devices), weights=lambda: runtime.weights_of(model)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train(x, y, step).item)
            step += 1
        epoch.score_loss(predict, x_test, y_test, pad=True)


if __name__ == "__main__":
    bench.main(run)
