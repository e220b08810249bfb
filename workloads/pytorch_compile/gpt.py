"""Character-level GPT on Tiny Shakespeare in PyTorch, with torch.compile.

Model and loss are one compiled function, and so is their gradient. Attention stays one call, which chooses the fastest
kernel that the device has. The update is not compiled: a fused optimizer is one kernel already.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from workloads.common import bench
from workloads.pytorch import runtime
from workloads.pytorch_compile import inductor

CHARACTERS = 65


class Block(nn.Module):
    """A transformer block with LayerNorm first: attention, then a perceptron, each added to the stream."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, bias=False)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm2 = nn.LayerNorm(width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def attention(self, x):
        batch, context, width = x.shape
        q, k, v = self.qkv(x).view(batch, context, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        dropout = self.dropout.p if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, context, width))

    def forward(self, x):
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.down(F.gelu(self.up(self.norm2(x)))))


class Gpt(nn.Module):
    def __init__(self, layers, heads, width, context, dropout):
        super().__init__()
        self.token = nn.Embedding(CHARACTERS, width)
        self.position = nn.Embedding(context, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([Block(width, heads, dropout) for _ in range(layers)])
        self.norm = nn.LayerNorm(width, bias=False)

    def forward(self, ids):
        x = self.dropout(self.token(ids) + self.position.weight)
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.token.weight)  # tied: the token embedding, transposed


def build(job, device):
    model = Gpt(*(job.settings[name] for name in ("layers", "heads", "width", "context", "dropout")))
    model.load_state_dict({name: torch.from_numpy(array) for name, array in job.weights().items()})
    return model.to(device)


def weights_of(model):
    """The weights as they are now, under the names they came with."""
    return {name: weight.cpu().numpy() for name, weight in model.state_dict().items()}


def adamw(model, settings):
    """AdamW that lets matrices decay, but not the gains of LayerNorm."""
    weights = list(model.parameters())
    groups = [
        {"params": [weight for weight in weights if weight.dim() > 1], "weight_decay": settings["weight_decay"]},
        {"params": [weight for weight in weights if weight.dim() == 1], "weight_decay": 0.0},
    ]
    betas = (settings["beta1"], settings["beta2"])
    return torch.optim.AdamW(groups, lr=settings["lr"], betas=betas, eps=settings["epsilon"], fused=True)


def share_of_lr(step, lr_end, warmup, decay_steps):
    """By what the learning rate of step 0, 1, … is multiplied: up along a line, then down along half a cosine."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = min(1.0, (step - warmup) / max(1, decay_steps - 1 - warmup))
    return lr_end + (1 - lr_end) * 0.5 * (1 + math.cos(math.pi * done))


def run(job):
    device = runtime.start(job)
    x_train, y_train, x_test, y_test = job.windows(labels=np.int64)
    model = build(job, device)
    scaler = runtime.gradient_scaler(job, device)
    optimizer = adamw(model, job.settings)
    shape = {name: job.settings[name] for name in ("lr_end", "warmup", "decay_steps")}
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: share_of_lr(step, **shape))

    compiled = inductor.compiler(device)

    @compiled
    def loss_of(x, y):
        return F.cross_entropy(model(x).flatten(0, 1), y.flatten())

    logits = compiled(model)

    def train_step(x, y):
        optimizer.zero_grad()
        with runtime.autocast(job, device):
            loss = loss_of(runtime.to_device(x, device), runtime.to_device(y, device))
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)  # the limit is for the gradient itself
        nn.utils.clip_grad_norm_(model.parameters(), job.settings["clip"])
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    @torch.inference_mode()
    def predict(x):
        with runtime.autocast(job, device):
            return logits(runtime.to_device(x, device)).float().cpu().numpy()

    with job.compiling():
        batch = job.settings["batch"]
        x, y = x_train[:batch].copy(), y_train[:batch].copy()
        inductor.rehearse(device, train_step, predict, x, y, model=model, optimizer=optimizer, scaler=scaler)
    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(device), weights=lambda: weights_of(model)):
        model.train()
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
            schedule.step()
        model.eval()
        epoch.score_loss(predict, x_test, y_test, pad=True)


if __name__ == "__main__":
    bench.main(run)
