"""A GPT in Chainer with the attention of ESPnet's Transformer for Chainer, and AdamW in a training loop of one's own.

GELU is by tanh, as in GPT-2: without SciPy, which the image does not have, Chainer's erf is a loop in Python.
https://github.com/espnet/espnet/blob/1dd2aaa/espnet/nets/chainer_backend/transformer/attention.py
https://docs.chainer.org/en/stable/examples/train_loop.html
https://docs.chainer.org/en/stable/reference/generated/chainer.optimizers.AdamW.html
"""

import math
import time

import chainer
import chainer.functions as F
import chainer.links as L
import peer

S, np = peer.SETTINGS, peer.np
BATCH, CONTEXT, WIDTH, HEADS = S["batch"], S["context"], S["width"], S["heads"]
FUTURE = np.triu(np.full((CONTEXT, CONTEXT), -1e9, np.float32), k=1)
NORMAL = chainer.initializers.Normal(0.02)


def linear(inputs, outputs):
    return L.Linear(inputs, outputs, nobias=True, initialW=NORMAL)


def dropout(x):
    return F.dropout(x, S["dropout"]) if S["dropout"] else x  # at 0, Chainer would draw a mask and multiply by it


def gelu(x):
    return 0.5 * x * (1 + F.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


class Block(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.norm1, self.norm2 = L.LayerNormalization(WIDTH), L.LayerNormalization(WIDTH)
            self.qkv, self.out = linear(WIDTH, 3 * WIDTH), linear(WIDTH, WIDTH)
            self.up, self.down = linear(WIDTH, 4 * WIDTH), linear(4 * WIDTH, WIDTH)

    def attention(self, x):
        parts = F.split_axis(self.qkv(x), 3, axis=1)
        q, k, v = (F.swapaxes(F.reshape(part, (BATCH, CONTEXT, HEADS, -1)), 1, 2) for part in parts)
        scores = F.matmul(q, k, transb=True) * math.sqrt(HEADS / WIDTH)
        y = F.matmul(dropout(F.softmax(scores + FUTURE, axis=-1)), v)
        return self.out(F.reshape(F.swapaxes(y, 1, 2), (-1, WIDTH)))

    def forward(self, x):
        x = x + dropout(self.attention(self.norm1(x)))
        return x + dropout(self.down(gelu(self.up(self.norm2(x)))))


class GPT(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.token = L.EmbedID(65, WIDTH, initialW=NORMAL)
            self.position = L.EmbedID(CONTEXT, WIDTH, initialW=NORMAL)
            self.blocks = chainer.Sequential(*(Block() for _ in range(S["layers"])))
            self.norm = L.LayerNormalization(WIDTH)

    def forward(self, ids, targets):
        x = self.token(ids) + F.broadcast_to(self.position.W, (BATCH, CONTEXT, WIDTH))
        x = self.norm(self.blocks(F.reshape(dropout(x), (-1, WIDTH))))
        return F.softmax_cross_entropy(F.linear(x, self.token.W), targets.ravel())


def train(steps):
    for step in range(steps):
        places = peer.RANDOM.randint(len(text) - CONTEXT, size=(BATCH, 1)) + np.arange(CONTEXT)
        optimizer.eta = peer.share_of_lr(step)
        optimizer.update(model, text[places], text[places + 1])


text = peer.text()
model = GPT()
optimizer = chainer.optimizers.AdamW(
    S["lr"], S["beta1"], S["beta2"], S["epsilon"], weight_decay_rate=S["lr"] * S["weight_decay"]
)
optimizer.setup(model)
optimizer.add_hook(chainer.optimizer_hooks.GradientClipping(S["clip"]))

train(3)
began = time.perf_counter()
train(S["steps"])
peer.report(S["steps"] * BATCH * CONTEXT, time.perf_counter() - began)
