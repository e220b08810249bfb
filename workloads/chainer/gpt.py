"""Character-level GPT on Tiny Shakespeare in Chainer.

Between layers, activations are matrices with a row for each character of the batch, (batch · context, width), the form
that Chainer's linear layers and LayerNorm take. Only attention knows which characters share a window.
"""

import math

import chainer
import chainer.functions as F
import chainer.links as L
import numpy as np

from workloads.chainer import runtime
from workloads.chainer.embedding import EmbedID
from workloads.chainer.gelu import gelu
from workloads.chainer.layer_norm import LayerNorm
from workloads.common import bench

CHARACTERS = 65


class Block(chainer.Chain):
    """A transformer block with LayerNorm first: attention, then a perceptron, each added to the stream."""

    def __init__(self, width, heads, context, dropout):
        super().__init__()
        self.shape = (-1, context, 3, heads, width // heads)
        self.dropout = dropout
        with self.init_scope():
            self.norm1 = LayerNorm(width)
            self.qkv = L.Linear(width, 3 * width, nobias=True)
            self.out = L.Linear(width, width, nobias=True)
            self.norm2 = LayerNorm(width)
            self.up = L.Linear(width, 4 * width, nobias=True)
            self.down = L.Linear(4 * width, width, nobias=True)

    def attention(self, x, mask):
        """`mask`, (context, context), is added to the scores: -inf where a query does not see a key."""
        q, k, v = F.separate(F.transpose(F.reshape(self.qkv(x), self.shape), (2, 0, 3, 1, 4)))
        scores = F.matmul(q * (1 / math.sqrt(q.shape[-1])), k, transb=True) + mask
        y = F.matmul(self.dropout(F.softmax(scores, axis=3)), v)
        return self.out(F.reshape(F.transpose(y, (0, 2, 1, 3)), x.shape))

    def forward(self, x, mask):
        x = x + self.dropout(self.attention(self.norm1(x), mask))
        return x + self.dropout(self.down(gelu(self.up(self.norm2(x)))))


class Gpt(chainer.Chain):
    def __init__(self, layers, heads, width, context, dropout):
        super().__init__()
        self.dropout = dropout
        with self.init_scope():
            self.token = EmbedID(CHARACTERS, width)
            self.position = L.EmbedID(context, width)
            self.blocks = chainer.ChainList(*(Block(width, heads, context, dropout) for _ in range(layers)))
            self.norm = LayerNorm(width)

    def forward(self, ids):
        """Character ids (batch, context) -> logits (batch · context, characters)."""
        context, width = self.position.W.shape
        mask = self.xp.triu(self.xp.full((context, context), -np.inf, np.float32), k=1)
        x = F.reshape(self.dropout(self.token(ids) + self.position.W), (-1, width))
        for block in self.blocks:
            x = block(x, mask)
        return F.linear(self.norm(x), self.token.W)  # tied: the token embedding, transposed


class AdamW(runtime.Adam):
    """Adam with weight decay, of which gains are excepted, after the gradient was clipped.

    Chainer multiplies the decay by `eta`, its multiplier for schedules, but not by the learning rate `alpha`."""

    def __init__(self, alpha, weight_decay, clip, **options):
        super().__init__(alpha=alpha, weight_decay_rate=alpha * weight_decay, **options)
        self.clip = clip

    def setup(self, link):
        super().setup(link)
        self.add_hook(chainer.optimizer_hooks.GradientClipping(self.clip))
        for parameter in link.params():
            if parameter.ndim == 1:
                parameter.update_rule.hyperparam.weight_decay_rate = 0
        return self


def share_of_lr(step, lr_end, warmup, decay_steps):
    """By what the learning rate of step 0, 1, … is multiplied: up along a line, then down along half a cosine."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, decay_steps - 1 - warmup))
    return lr_end + (1 - lr_end) * 0.5 * (1 + math.cos(math.pi * done))


def build(job, device):
    rate, draw = job.settings["dropout"], runtime.Dropout(job.seed)
    sizes = [job.settings[name] for name in ("layers", "heads", "width", "context")]
    model = Gpt(*sizes, dropout=lambda x: draw(x, rate) if rate else x)
    runtime.set_weights(model, job.weights())
    model.to_device(device)
    return model


def run(job):
    notes = [] if job.device == "gpu" else ["without iDeep, which has no attention: NumPy arrays"]
    device = runtime.start(job, ideep=False, notes=notes)
    x_train, y_train, x_test, y_test = job.windows()
    model = build(job, device)
    optimizer = AdamW(
        alpha=job.settings["lr"],
        weight_decay=job.settings["weight_decay"],
        clip=job.settings["clip"],
        beta1=job.settings["beta1"],
        beta2=job.settings["beta2"],
        epsilon=job.settings["epsilon"],
    )
    optimizer.setup(model)
    schedule = {name: job.settings[name] for name in ("lr_end", "warmup", "decay_steps")}

    def forward_backward(x, y):
        loss = F.softmax_cross_entropy(model(device.send(x)), device.send(y.ravel()))
        model.cleargrads()
        loss.backward()
        return loss.array

    def train_step(x, y):
        loss = forward_backward(x, y)
        optimizer.eta = share_of_lr(optimizer.t, **schedule)
        optimizer.update()
        return loss

    def predict(x):
        with chainer.using_config("train", False), chainer.no_backprop_mode():
            return runtime.to_numpy(model(device.send(x))).reshape((*x.shape, CHARACTERS))

    with job.compiling():  # a GPU's kernels are compiled when they first run; no weight changes
        forward_backward(x_train[: job.settings["batch"]], y_train[: job.settings["batch"]])
        runtime.rehearse_update(optimizer, device)

    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(device), weights=lambda: runtime.weights_of(model)):
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        epoch.score_loss(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
