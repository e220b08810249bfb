"""Character-level GPT on Tiny Shakespeare in PyTorch.

Attention is one call, which chooses the fastest kernel that the device has. The optimiser is one as well: "fused".
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from workloads.common import bench
from workloads.pytorch import runtime

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
    parallel = runtime.parallel(job, model)
    scaler = runtime.gradient_scaler(job, device)
    optimizer = adamw(model, job.settings)
    shape = {name: job.settings[name] for name in ("lr_end", "warmup", "decay_steps")}
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: share_of_lr(step, **shape))

    def train_step(x, y):
        optimizer.zero_grad()
        with runtime.autocast(job, device):
            logits = parallel(runtime.to_device(x, device))
            loss = F.cross_entropy(logits.flatten(0, 1), runtime.to_device(y, device).flatten())
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)  # the limit is for the gradient itself
        nn.utils.clip_grad_norm_(model.parameters(), job.settings["clip"])
        scaler.step(optimizer)
        scaler.update()
        return runtime.mean_over_ranks(job, loss.detach())

    @torch.inference_mode()
    def predict(x):
        with runtime.autocast(job, device):
            return model(runtime.to_device(x, device)).float().cpu().numpy()

    with job.compiling():
        x, y = x_train[: job.batch].copy(), y_train[: job.batch].copy()
        runtime.rehearse(device, train_step, predict, x, y, model=model, optimizer=optimizer, scaler=scaler)
    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(device), weights=lambda: weights_of(model)):
        model.train()
        for x, y in epoch.batches(x_train, y_train):
            epoch.step(train_step(x, y))
            schedule.step()
        model.eval()
        epoch.score_loss(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run, processes=True)
