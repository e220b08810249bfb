"""A GPT as in GluonNLP's scripts, with the attention of its BERT, hybridized as MXNet's performance guide says.

https://github.com/dmlc/gluon-nlp/blob/v0.10.x/scripts/text_generation/model/gpt.py
https://github.com/dmlc/gluon-nlp/blob/v0.10.x/src/gluonnlp/model/bert.py
https://mxnet.apache.org/versions/1.9.1/api/python/docs/tutorials/packages/gluon/blocks/hybridize.html
"""

import time

import mxnet as mx
import peer
from mxnet import autograd, gluon
from mxnet.gluon import nn

S, np = peer.SETTINGS, peer.np
BATCH, CONTEXT, WIDTH, HEADS = S["batch"], S["context"], S["width"], S["heads"]


def linear(outputs, **options):
    return nn.Dense(outputs, use_bias=False, flatten=False, **options)


def norm():
    return nn.LayerNorm(epsilon=1e-5, center=False)


class Block(gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.norm1, self.norm2, self.dropout = norm(), norm(), nn.Dropout(S["dropout"])
            self.qkv, self.out = linear(3 * WIDTH), linear(WIDTH)
            self.up, self.gelu, self.down = linear(4 * WIDTH), nn.GELU(), linear(WIDTH)

    def hybrid_forward(self, F, x, future):
        qkv = self.qkv(self.norm1(x))
        scores = F.contrib.interleaved_matmul_selfatt_qk(qkv, heads=HEADS)
        shares = self.dropout(F.softmax(F.broadcast_add(scores, future)))
        y = F.contrib.interleaved_matmul_selfatt_valatt(qkv, shares, heads=HEADS)
        x = x + self.dropout(self.out(y))
        return x + self.dropout(self.down(self.gelu(self.up(self.norm2(x)))))


class GPT(gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        future = np.triu(np.full((1, CONTEXT, CONTEXT), -1e9, np.float32), k=1)
        with self.name_scope():
            self.token, self.dropout = nn.Embedding(65, WIDTH), nn.Dropout(S["dropout"])
            self.position = self.params.get("position", shape=(CONTEXT, 1, WIDTH))
            self.future = self.params.get_constant("future", future)
            self.blocks = nn.HybridSequential()
            self.blocks.add(*(Block() for _ in range(S["layers"])))
            self.norm, self.head = norm(), linear(65, in_units=WIDTH, params=self.token.params)

    def hybrid_forward(self, F, ids, position, future):
        x = self.dropout(F.broadcast_add(self.token(F.transpose(ids)), position))  # attention wants time first
        for block in self.blocks:
            x = block(x, future)
        return self.head(self.norm(x))


def train(steps):
    for _ in range(steps):
        places = peer.RANDOM.randint(len(text) - CONTEXT, size=(BATCH, 1)) + np.arange(CONTEXT)
        ids, targets = mx.nd.array(text[places]), mx.nd.array(text[places + 1].T)
        with autograd.record():
            loss = criterion(net(ids), targets).mean()
        loss.backward()
        trainer.allreduce_grads()
        gluon.utils.clip_global_norm([weight.grad() for weight in weights], S["clip"], check_isfinite=False)
        trainer.update(1)
    mx.nd.waitall()


text = peer.text()
net = GPT()
net.initialize(mx.init.Normal(0.02))
net.hybridize(static_alloc=True, static_shape=True)
criterion = gluon.loss.SoftmaxCrossEntropyLoss()
criterion.hybridize(static_alloc=True, static_shape=True)
weights = [weight for weight in net.collect_params().values() if weight.grad_req != "null"]
last = max(S["warmup"] + 1, S["decay_steps"])
rate = mx.lr_scheduler.CosineScheduler(last, S["lr"], S["lr"] * S["lr_end"], S["warmup"])
options = {name: S[name] for name in ("beta1", "beta2", "epsilon")}
options = dict(options, lr_scheduler=rate, wd=S["weight_decay"])
trainer = gluon.Trainer(net.collect_params(), "adam", options, kvstore=None)

train(3)
began = time.perf_counter()
train(S["steps"])
peer.report(S["steps"] * BATCH * CONTEXT, time.perf_counter() - began)
