"""A GPT trained as in tinygrad's port of llm.c's train_gpt2: TinyJit around forward, backward and AdamW.

https://github.com/tinygrad/tinygrad/blob/master/examples/llm.c/train_gpt2.py
https://docs.tinygrad.org/nn/#tinygrad.nn.optim.AdamW
"""

import math
import time

import peer
from tinygrad import Context, Device, Tensor, TinyJit, nn

S = peer.SETTINGS
BATCH, CONTEXT, WIDTH, HEADS, DROPOUT = (S[name] for name in ("batch", "context", "width", "heads", "dropout"))
STEPS = S["epochs"] * S["steps"]


class Norm:
    def __init__(self):
        self.weight = Tensor.ones(WIDTH)

    def __call__(self, x):
        return x.layernorm() * self.weight


class Block:
    def __init__(self):
        self.ln_1, self.ln_2 = Norm(), Norm()
        self.c_attn = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.attn_proj = nn.Linear(WIDTH, WIDTH, bias=False)
        self.c_fc = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.mlp_proj = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def attention(self, x):
        qkv = self.c_attn(x).split(WIDTH, dim=-1)
        q, k, v = (each.reshape(BATCH, CONTEXT, HEADS, WIDTH // HEADS).transpose(1, 2) for each in qkv)
        y = q.scaled_dot_product_attention(k, v, dropout_p=DROPOUT, is_causal=True)
        return self.attn_proj(y.transpose(1, 2).reshape(BATCH, CONTEXT, WIDTH)).dropout(DROPOUT)

    def __call__(self, x):
        x = x + self.attention(self.ln_1(x))
        return x + self.mlp_proj(self.c_fc(self.ln_2(x)).gelu("none")).dropout(DROPOUT)


class GPT:
    def __init__(self):
        self.wte, self.wpe = nn.Embedding(65, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.h = [Block() for _ in range(S["layers"])]
        self.ln_f = Norm()
        for weight in nn.state.get_parameters(self):
            if weight.ndim == 2:
                weight.replace(Tensor.normal(*weight.shape, std=0.02))

    def __call__(self, idx, targets):
        x = (self.wte(idx) + self.wpe(Tensor.arange(CONTEXT))).dropout(DROPOUT).sequential(self.h)
        return (self.ln_f(x) @ self.wte.weight.T).sparse_categorical_crossentropy(targets)


model = GPT()
parameters = nn.state.get_parameters(model)
options = {"b1": S["beta1"], "b2": S["beta2"], "eps": S["epsilon"]}
optimizer = nn.optim.OptimizerGroup(
    nn.optim.AdamW([p for p in parameters if p.ndim == 2], S["lr"], weight_decay=S["weight_decay"], **options),
    nn.optim.AdamW([p for p in parameters if p.ndim == 1], S["lr"], weight_decay=0.0, **options),
)


@TinyJit
@Context(TRAINING=1)
def step(x, y, lr):
    optimizer.zero_grad()
    loss = model(x, y).backward()
    norm = Tensor.stack(*(p.grad.square().sum() for p in parameters)).sum().sqrt()
    for p in parameters:
        p.grad = p.grad * (S["clip"] / (norm + 1e-6)).clamp(max_=1.0)
    for each in optimizer.optimizers:
        each.lr.assign(lr)
    return loss.realize(*optimizer.schedule_step())


def train(steps):
    for number in range(steps):
        starts = peer.RANDOM.randint(len(text) - CONTEXT, size=BATCH)
        x, y = (Tensor(peer.np.stack([text[i + shift : i + shift + CONTEXT] for i in starts])) for shift in (0, 1))
        lr = S["lr"] * min((number + 1) / (S["warmup"] + 1), 0.55 + 0.45 * math.cos(math.pi * number / steps))
        step(x.realize(), y.realize(), Tensor([lr]).realize())
    Device[Device.DEFAULT].synchronize()


text = peer.text()
train(3)  # runs, records, replays
began = time.perf_counter()
train(STEPS)
peer.report(STEPS * BATCH * CONTEXT, time.perf_counter() - began)
