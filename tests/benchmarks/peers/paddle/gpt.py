"""A GPT of PaddlePaddle's layers and its scaled_dot_product_attention, made a static graph as its guide says for speed.

https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/nn/functional/scaled_dot_product_attention_en.html
https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/optimizer/AdamW_en.html
https://www.paddlepaddle.org.cn/documentation/docs/en/guides/jit/index_en.html
"""

import math
import time

import paddle
import peer
from paddle import nn
from paddle.nn import functional as F

S = peer.SETTINGS
BATCH, CONTEXT, WIDTH, HEADS, DROPOUT = (S[name] for name in ("batch", "context", "width", "heads", "dropout"))
STEPS = S["epochs"] * S["steps"]
NORMAL = paddle.ParamAttr(initializer=nn.initializer.Normal(std=0.02))


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, weight_attr=NORMAL, bias_attr=False)


class Block(nn.Layer):
    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(WIDTH, bias_attr=False), nn.LayerNorm(WIDTH, bias_attr=False)
        self.qkv, self.proj = linear(WIDTH, 3 * WIDTH), linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(linear(WIDTH, 4 * WIDTH), nn.GELU(), linear(4 * WIDTH, WIDTH), nn.Dropout(DROPOUT))
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x):
        q, k, v = self.qkv(self.ln1(x)).reshape([BATCH, CONTEXT, 3, HEADS, WIDTH // HEADS]).unbind(2)
        y = F.scaled_dot_product_attention(q, k, v, None, DROPOUT, is_causal=True, training=self.training)
        x = x + self.dropout(self.proj(y.reshape([BATCH, CONTEXT, WIDTH])))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Layer):
    def __init__(self):
        super().__init__()
        self.token = nn.Embedding(65, WIDTH, weight_attr=NORMAL)
        self.position = nn.Embedding(CONTEXT, WIDTH, weight_attr=NORMAL)
        self.blocks = nn.Sequential(nn.Dropout(DROPOUT), *(Block() for _ in range(S["layers"])))
        self.norm = nn.LayerNorm(WIDTH, bias_attr=False)

    def forward(self, ids, targets):
        x = self.norm(self.blocks(self.token(ids) + self.position(paddle.arange(CONTEXT))))
        logits = paddle.matmul(x, self.token.weight, transpose_y=True)
        return F.cross_entropy(logits.reshape([-1, 65]), targets.reshape([-1]))


def train(steps):
    for _ in range(steps):
        starts = peer.RANDOM.randint(len(text) - CONTEXT, size=BATCH)
        x, y = (peer.np.stack([text[i + shift : i + shift + CONTEXT] for i in starts]) for shift in (0, 1))
        loss = model(paddle.to_tensor(x), paddle.to_tensor(y, "int64"))
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        schedule.step()
    loss.item()


text = peer.text()
net = GPT()
model = paddle.jit.to_static(net)
matrices = {weight.name for weight in net.parameters() if weight.ndim > 1}
schedule = paddle.optimizer.lr.LambdaDecay(
    S["lr"], lambda step: min((step + 1) / (S["warmup"] + 1), 0.55 + 0.45 * math.cos(math.pi * min(step / STEPS, 1)))
)
optimizer = paddle.optimizer.AdamW(
    schedule, S["beta1"], S["beta2"], S["epsilon"], net.parameters(), S["weight_decay"],
    apply_decay_param_fun=matrices.__contains__, grad_clip=nn.ClipGradByGlobalNorm(S["clip"]),
)  # fmt: skip

train(3)
began = time.perf_counter()
train(STEPS)
peer.report(STEPS * BATCH * CONTEXT, time.perf_counter() - began)
