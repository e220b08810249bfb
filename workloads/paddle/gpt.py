"""Character-level GPT on Tiny Shakespeare in PaddlePaddle.

The model becomes a static graph, which runs its many small operations with less work between them. PaddlePaddle finds
the graph by following Python's bytecode; the one made of the source, with full_graph=True, takes a quarter longer here.
Attention is written out: on a CPU, scaled_dot_product_attention does the same, but transposes more often.
"""

import math

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional as F

from workloads.common import bench
from workloads.paddle import runtime

CHARACTERS = 65


class Block(nn.Layer):
    """A transformer block with LayerNorm first: attention, then a perceptron, each added to the stream."""

    def __init__(self, width, heads, context, dropout):
        super().__init__()
        self.heads = heads
        # What is added to the scores of attention: a character does not see those after it.
        hidden = paddle.triu(paddle.full([context, context], -math.inf), diagonal=1)
        self.register_buffer("hidden", hidden, persistable=False)
        self.norm1 = nn.LayerNorm(width, bias_attr=False)
        self.qkv = nn.Linear(width, 3 * width, bias_attr=False)
        self.out = nn.Linear(width, width, bias_attr=False)
        self.norm2 = nn.LayerNorm(width, bias_attr=False)
        self.up = nn.Linear(width, 4 * width, bias_attr=False)
        self.down = nn.Linear(4 * width, width, bias_attr=False)
        self.dropout = nn.Dropout(dropout)

    def attention(self, x):
        batch, context, width = x.shape
        size = width // self.heads
        q, k, v = self.qkv(x).reshape([batch, context, 3, self.heads, size]).transpose([2, 0, 3, 1, 4]).unbind(0)
        scores = paddle.matmul(q, k, transpose_y=True) / math.sqrt(size) + self.hidden
        y = paddle.matmul(self.dropout(F.softmax(scores)), v)
        return self.out(y.transpose([0, 2, 1, 3]).reshape([batch, context, width]))

    def forward(self, x):
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm2(x)))))


class Gpt(nn.Layer):
    def __init__(self, layers, heads, width, context, dropout):
        super().__init__()
        self.token = nn.Embedding(CHARACTERS, width)
        self.position = nn.Embedding(context, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.LayerList([Block(width, heads, context, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, bias_attr=False)

    def forward(self, ids):
        x = self.dropout(self.token(ids) + self.position.weight)
        for block in self.blocks:
            x = block(x)
        return paddle.matmul(self.norm(x), self.token.weight, transpose_y=True)  # tied: the token embedding, transposed


def build(job):
    model = Gpt(*(job.settings[name] for name in ("layers", "heads", "width", "context", "dropout")))
    runtime.load(model, job.weights())
    return paddle.jit.to_static(model)


def adamw(model, schedule, settings):
    """AdamW that lets matrices decay, but not the gains of LayerNorm."""
    matrices = {weight.name for weight in model.parameters() if weight.ndim > 1}
    return paddle.optimizer.AdamW(
        schedule,
        beta1=settings["beta1"],
        beta2=settings["beta2"],
        epsilon=settings["epsilon"],
        weight_decay=settings["weight_decay"],
        apply_decay_param_fun=lambda name: name in matrices,
        grad_clip=nn.ClipGradByGlobalNorm(settings["clip"]),
        parameters=model.parameters(),
    )


def share_of_lr(step, lr_end, warmup, decay_steps):
    """By what the learning rate of step 0, 1, … is multiplied: up along a line, then down along half a cosine."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, decay_steps - 1 - warmup))
    return lr_end + (1 - lr_end) * 0.5 * (1 + math.cos(math.pi * done))


def run(job):
    runtime.start(job)
    x_train, y_train, x_test, y_test = job.windows(labels=np.int64)
    model = build(job)
    shape = {name: job.settings[name] for name in ("lr_end", "warmup", "decay_steps")}
    schedule = paddle.optimizer.lr.LambdaDecay(job.settings["lr"], lambda step: share_of_lr(step, **shape))
    optimizer = adamw(model, schedule, job.settings)

    def forward_backward(x, y):
        optimizer.clear_grad()
        logits = model(paddle.to_tensor(x))
        loss = F.cross_entropy(logits.flatten(0, 1), paddle.to_tensor(y).flatten())
        loss.backward()
        return loss

    def train_step(x, y):
        loss = forward_backward(x, y)
        optimizer.step()
        schedule.step()
        return loss

    @paddle.no_grad()
    def predict(x):
        return model(paddle.to_tensor(x)).numpy()

    with job.compiling():
        batch = job.settings["batch"]
        runtime.rehearse(forward_backward, predict, x_train[:batch], y_train[:batch])
    job.ready()
    for epoch in job.epochs(sync=runtime.synchronize, weights=lambda: runtime.weights_of(model)):
        model.train()
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
        model.eval()
        epoch.score_loss(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run)
