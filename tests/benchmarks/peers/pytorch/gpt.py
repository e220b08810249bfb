"""A small GPT as in nanoGPT, which PyTorch's tutorials use, too: one call for attention, and the fused AdamW.

https://github.com/karpathy/nanoGPT (model.py, train.py)
https://docs.pytorch.org/tutorials/intermediate/scaled_dot_product_attention_tutorial.html
In the folder pytorch-compile the model is compiled, as nanoGPT does by default.
"""

import time

import peer
import torch
from torch import nn
from torch.nn import functional as F

S = peer.SETTINGS
BATCH, CONTEXT, WIDTH = S["batch"], S["context"], S["width"]


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)
        self.dropout = nn.Dropout(S["dropout"])

    def forward(self, x):
        parts = self.qkv(self.norm1(x)).split(WIDTH, dim=2)
        q, k, v = (part.unflatten(2, (S["heads"], -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=S["dropout"], is_causal=True)
        x = x + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm2(x)))))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.position = nn.Embedding(65, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(nn.Dropout(S["dropout"]), *(Block() for _ in range(S["layers"])))
        self.norm, self.head = nn.LayerNorm(WIDTH, bias=False), nn.Linear(WIDTH, 65, bias=False)
        self.head.weight = self.token.weight

    def forward(self, ids, targets):
        x = self.blocks(self.token(ids) + self.position(torch.arange(CONTEXT)))
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())


def train(net, optimizer, text, steps):
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = S["lr"] * peer.share_of_lr(step)
        starts = torch.randint(len(text) - CONTEXT, (BATCH,)).tolist()
        ids = torch.stack([text[start : start + CONTEXT] for start in starts])
        targets = torch.stack([text[start + 1 : start + 1 + CONTEXT] for start in starts])
        net(ids, targets).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), S["clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


text = torch.from_numpy(peer.text()).long()
net = Net().train()
for weight in net.parameters():
    if weight.dim() > 1:
        nn.init.normal_(weight, std=0.02)
groups = [
    {"params": [weight for weight in net.parameters() if weight.dim() > 1], "weight_decay": S["weight_decay"]},
    {"params": [weight for weight in net.parameters() if weight.dim() == 1], "weight_decay": 0.0},
]
optimizer = torch.optim.AdamW(groups, S["lr"], (S["beta1"], S["beta2"]), S["epsilon"], fused=True)
if "pytorch-compile" in __file__:
    net = torch.compile(net)

train(net, optimizer, text, 3)
began = time.perf_counter()
train(net, optimizer, text, S["steps"])
peer.report(S["steps"] * BATCH * CONTEXT, time.perf_counter() - began)
