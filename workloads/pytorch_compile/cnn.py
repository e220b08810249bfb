"""CNN on CIFAR-10 in PyTorch, with torch.compile.

Model and loss are one compiled function, and so is their gradient. The update is not compiled: a fused optimizer is one
kernel already. The convolutions stay oneDNN's or cuDNN's. Images lie in memory in whatever order the device is the
faster with; PyTorch calls it NCHW either way.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from workloads.common import bench
from workloads.pytorch import runtime
from workloads.pytorch_compile import inductor


def max_pool(x):
    """Maximum over 2x2 windows. On a CPU, what Inductor makes of F.max_pool2d's gradient is slower than this."""
    x = torch.maximum(x[:, :, 0::2], x[:, :, 1::2])
    return torch.maximum(x[..., 0::2], x[..., 1::2])


class Cnn(nn.Module):
    def __init__(self, dropout_conv, dropout_dense):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 50, 3, padding=1)
        self.conv2 = nn.Conv2d(50, 50, 3, padding=1)
        self.conv3 = nn.Conv2d(50, 100, 3, padding=1)
        self.conv4 = nn.Conv2d(100, 100, 3, padding=1)
        self.fc1 = nn.Linear(100 * 8 * 8, 512)
        self.fc2 = nn.Linear(512, 10)
        self.dropout_conv = nn.Dropout(dropout_conv)
        self.dropout_dense = nn.Dropout(dropout_dense)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(max_pool(self.conv2(x)))
        x = self.dropout_conv(x)
        x = F.relu(self.conv3(x))
        x = F.relu(max_pool(self.conv4(x)))
        x = self.dropout_conv(x)
        x = F.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc2(self.dropout_dense(x))


def build(job, device, layout):
    model = Cnn(job.settings["dropout_conv"], job.settings["dropout_dense"])
    model.load_state_dict({name: torch.from_numpy(array) for name, array in job.weights().items()})
    return model.to(device, memory_format=runtime.MEMORY_FORMATS[layout])


def weights_of(model):
    """The weights as they are now, under the names they came with."""
    return {name: weight.cpu().numpy() for name, weight in model.state_dict().items()}


def run(job):
    device = runtime.start(job)
    layout = runtime.image_layout(job, device)
    x_train, y_train, x_test, y_test = job.data(layout=layout, labels=np.int64)
    model = build(job, device, layout)
    compiled = inductor.compiler(device)
    scaler = runtime.gradient_scaler(job, device)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=job.settings["lr"], momentum=job.settings["momentum"], fused=True
    )

    @compiled
    def loss_of(x, y):
        return F.cross_entropy(model(x), y)

    scores = compiled(model)

    def images(batch):
        return runtime.as_nchw(runtime.to_device(batch, device), layout)

    def train_step(x, y):
        optimizer.zero_grad()
        with runtime.autocast(job, device):
            loss = loss_of(images(x), runtime.to_device(y, device))
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    @torch.inference_mode()
    def predict(x):
        with runtime.autocast(job, device):
            return scores(images(x)).float().cpu().numpy()

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
