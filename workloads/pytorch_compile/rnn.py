"""GRU on IMDB reviews in PyTorch, with torch.compile.

torch.compile does not compile torch.nn.GRU. So on a CPU the cell is written out, and some time steps together are one
compiled function. On a GPU one kernel of cuDNN's computes all time steps, and nothing is compiled. Sequences are time
first, the layout of torch.nn.GRU.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from workloads.common import bench
from workloads.pytorch import runtime
from workloads.pytorch_compile import inductor

VOCABULARY, EMBEDDING, UNITS, CLASSES = 30000, 125, 100, 2
STEPS = 15  # time steps in one compiled function; all 150 would take ten times as long to compile
GRU = ("gru.weight_ih", "gru.weight_hh", "gru.bias_ih", "gru.bias_hh")  # of PyTorch's first and only layer, "l0"


def gru_steps(inputs, state, weight, bias):
    """The state, (batch, units), after some time steps.

    `inputs`, (steps, batch, 3 * units), is what the embedded tokens add to the gates r, z, n."""
    for step in inputs.unbind():
        input_r, input_z, input_n = step.chunk(3, dim=1)
        state_r, state_z, state_n = F.linear(state, weight, bias).chunk(3, dim=1)
        r = torch.sigmoid(input_r + state_r)
        z = torch.sigmoid(input_z + state_z)
        n = torch.tanh(input_n + r * state_n)
        state = n + z * (state - n)
    return state


class Rnn(nn.Module):
    def __init__(self, device):
        super().__init__()
        self.steps = inductor.compiler(device)(gru_steps)
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING)
        self.gru = nn.GRU(EMBEDDING, UNITS)
        self.fc = nn.Linear(UNITS, CLASSES)

    def forward(self, tokens):
        embedded = self.embedding(tokens)
        last = self.cudnn(embedded) if embedded.is_cuda else self.compiled(embedded)
        return self.fc(last)

    def cudnn(self, embedded):
        _, last = self.gru(embedded)
        return last[0]

    def compiled(self, embedded):
        inputs = F.linear(embedded, self.gru.weight_ih_l0, self.gru.bias_ih_l0)
        state = inputs.new_zeros(inputs.shape[1], UNITS)
        for some in inputs.split(STEPS):
            state = self.steps(some, state, self.gru.weight_hh_l0, self.gru.bias_hh_l0)
        return state


def build(job, device):
    model = Rnn(device)
    weights = {name: torch.from_numpy(array) for name, array in job.weights().items()}
    model.load_state_dict({name + "_l0" if name in GRU else name: weight for name, weight in weights.items()})
    return model.to(device)


def weights_of(model):
    """The weights as they are now, under the names they came with."""
    weights = {name: weight.cpu().numpy() for name, weight in model.state_dict().items()}
    return {name.replace("_l0", ""): weight for name, weight in weights.items()}


def run(job):
    cudnn = job.device == "gpu"
    device = runtime.start(job, fused=cudnn, notes=["nothing is compiled: the GRU is cuDNN's"] if cudnn else [])
    x_train, y_train, x_test, y_test = job.data(labels=np.int64)
    model = build(job, device)
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
            loss = loss_function(model(tokens(x)), runtime.to_device(y, device))
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    @torch.inference_mode()
    def predict(x):
        with runtime.autocast(job, device):
            return model(tokens(x)).float().cpu().numpy()

    with job.compiling():
        x, y = x_train[: job.batch], y_train[: job.batch]
        inductor.rehearse(device, train_step, predict, x, y, model=model, optimizer=optimizer, scaler=scaler)
    slots = runtime.ring(x_train, y_train, job.batch, device)
    job.ready()
    for epoch in job.epochs(sync=lambda: runtime.synchronize(device), weights=lambda: weights_of(model)):
        model.train()
        for x, y in epoch.batches(x_train, y_train, slots):
            epoch.step(train_step(x, y))
        model.eval()
        epoch.score(predict, x_test, y_test, pad=True)


if __name__ == "__main__":
    bench.main(run)
