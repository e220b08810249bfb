"""What the shared initial weights cost PyTorch's CNN in accuracy: `python -m tests.benchmarks.initialisation DATA`.

DATA is a folder of x_train.npy, y_train.npy, x_test.npy and y_test.npy, as `data import cifar10` takes it. Trains the
CNN from the weights that every framework gets and from those that PyTorch draws itself, several seeds each, with the
same batches in the same order. Prints the test accuracy after every epoch; the figures of docs/parity.md are its
output. Needs PyTorch beside the orchestrator, takes an hour or more, judges nothing.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from orchestrator.inputs import orders, weights
from orchestrator.plan.workloads.cnn import Cnn as Settings
from workloads.pytorch.cnn import Cnn

SETTINGS = Settings()


def model_of(initial, seed):
    torch.manual_seed(seed)  # also for dropout
    model = Cnn(SETTINGS.dropout_conv, SETTINGS.dropout_dense)
    if initial == "shared":
        drawn = weights.initial_weights("cnn", seed)
        model.load_state_dict({name: torch.from_numpy(array) for name, array in drawn.items()})
    return model.to(memory_format=torch.channels_last)


def images(data, name):
    pixels = torch.from_numpy(np.load(data / f"{name}.npy")).float() / 255
    return pixels.contiguous(memory_format=torch.channels_last)


def labels(data, name):
    return torch.from_numpy(np.load(data / f"{name}.npy").astype(np.int64))


def accuracies(model, seed, data, epochs, precision):
    """Train `model`; yield the test accuracy after each epoch."""
    x, y = images(data, "x_train"), labels(data, "y_train")
    x_test, y_test = images(data, "x_test"), labels(data, "y_test")
    optimizer = torch.optim.SGD(model.parameters(), lr=SETTINGS.lr, momentum=SETTINGS.momentum, fused=True)
    half = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    for order in orders.by_epoch(seed, epochs, len(x)):
        model.train()
        for batch in torch.from_numpy(order[0].astype(np.int64)).split(SETTINGS.batch):
            optimizer.zero_grad()
            with half:
                loss = cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode(), half:
            right = sum(
                (model(part).argmax(1) == truth).sum().item()
                for part, truth in zip(x_test.split(1000), y_test.split(1000), strict=True)
            )
        yield right / len(x_test)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=SETTINGS.epochs)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    given = parser.parse_args()
    for seed in range(1, given.seeds + 1):
        for initial in ("shared", "own"):
            began = time.perf_counter()
            trained = accuracies(model_of(initial, seed), seed, given.data, given.epochs, given.precision)
            for epoch, accuracy in enumerate(trained, start=1):
                passed = time.perf_counter() - began
                sys.stdout.write(f"seed {seed}, {initial} weights, epoch {epoch}: {accuracy:.2%}, {passed:.0f} s\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
