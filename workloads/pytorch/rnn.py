"""GRU on IMDB reviews in PyTorch.

Sequences are time first, the layout torch.nn.GRU works in; on a GPU it is cuDNN's fused kernel.
"""

import numpy as np
import torch
from torch import nn

from workloads.common import bench
from workloads.pytorch import runtime

VOCABULARY, EMBEDDING, UNITS, CLASSES = 30000, 125, 100, 2
GRU = ("gru.weight_ih", "gru.weight_hh", "gru.bias_ih", "gru.bias_hh")  # of PyTorch's first and only layer, "l0"


class Rnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.gru = nn.GRU(EMBEDDING, UNITS)
        self.fc = nn.Linear(UNITS, CLASSES)

    def forward(self, tokens):
        _, last = self.gru(self.embedding(tokens))
        return self.fc(last[0])


def build(job, device):
    model = Rnn()
    weights = {name: torch.from_numpy(array) for name, array in job.weights().items()}
    model.load_state_dict({name + "_l0" if name in GRU else name: weight for name, weight in weights.items()})
    return model.to(device)


def weights_of(model):
    """The weights as they are now, under the names they came with."""
    weights = {name: weight.cpu().numpy() for name, weight in model.state_dict().items()}
    return {name.replace("_l0", ""): weight for name, weight in weights.items()}


def run(job):
    device = runtime.start(job, fused=job.device == "gpu")
    x_train, y_train, x_test, y_test = job.data(labels=np.int64)
    model = build(job, device)
    parallel = runtime.parallel(job, model)
    loss_function = nn.CrossEntropyLoss()
    scaler = runtime.gradient_scaler(job, device)
    optimizer = torch.optim.Adam(
        model.parameters(),
        lr=job.settings["lr"],
        betas=(job.settings["beta1"], job.settings["beta2"]),
        eps=job.settings["epsilon"],
        fused=True,
    )

    def tokens(batch):
        return runtime.to_device(batch, device).t().contiguous()

    def train_step(x, y):
        optimizer.zero_grad()
        with runtime.autocast(job, device):
            loss = loss_function(parallel(tokens(x)), runtime.to_device(y, device))
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return runtime.mean_over_ranks(job, loss.detach())

    @torch.inference_mode()
    def predict(x):
        with runtime.autocast(job, device):
            return model(tokens(x)).float().cpu().numpy()

    with job.compiling():
        x, y = x_train[: job.batch], y_train[: job.batch]
        runtime.rehearse(device, train_step, predict, x, y, model=model, optimizer=optimizer, scaler=scaler)
    slots = runtime.ring(x_train, y_train, job.batch, device)
    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(device), weights=lambda: weights_of(model)):
        model.train()
        for x, y in epoch.batches(x_train, y_train, slots):
            epoch.step(train_step(x, y))
        model.eval()
        epoch.score(predict, x_test, y_test)


if __name__ == "__main__":
    bench.main(run, processes=True)
