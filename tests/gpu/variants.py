"""Milliseconds a step of other ways to write PyTorch's rows: which change is worth making.

python -m tests.gpu.variants DEVICE DATASET SECONDS

The models and their data are the rows' own; what differs is said in each line. Captured: forward, backward and update
are one CUDA graph. Ring: batches are gathered into pinned memory, and copied from there while the next is gathered.
"""

import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812  (as everywhere in PyTorch)
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tests.gpu import one_job
from workloads.pytorch import cnn, resnet50, rnn, runtime

DEVICE, DATASET, SECONDS = sys.argv[1], sys.argv[2], float(sys.argv[3])
GPU = DEVICE == "gpu"
ON = torch.device("cuda" if GPU else "cpu")
WARM_UP, STEPS = (30, 200) if GPU else (1, 2)
BATCH = 64
BEGAN = time.monotonic()


def synchronize():
    if GPU:
        torch.cuda.synchronize()


def seconds_of(step, steps=STEPS, warm_up=WARM_UP):
    """Mean seconds of `step(number)`."""
    for number in range(warm_up):
        step(number)
    synchronize()
    began = time.perf_counter()
    for number in range(warm_up, warm_up + steps):
        step(number)
    synchronize()
    return (time.perf_counter() - began) / steps


def show(what, seconds, samples, more=""):
    print(
        f"{time.monotonic() - BEGAN:5.0f} s  {what:48} {1e3 * seconds:9.3f} ms {samples / seconds:12,.0f}/s  {more}",
        flush=True,
    )


def captured(step, before=lambda: None):
    """A CUDA graph of `step`, which has to work on tensors that stay where they are; and what `step` returned."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(4):
            before()
            step()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    before()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()
    return graph, result


class Ring:
    """Batches of several arrays on the device, always in the same tensors."""

    SLOTS = 3

    def __init__(self, *arrays):
        self.arrays = arrays
        like = [torch.from_numpy(array[:BATCH].copy()) for array in arrays]
        self.slots = [[torch.empty_like(each, pin_memory=True) for each in like] for _ in range(self.SLOTS)]
        self.copied = [torch.cuda.Event() for _ in range(self.SLOTS)]
        self.tensors = [each.to(ON) for each in like]

    def feed(self, number, chosen):
        place = number % self.SLOTS
        self.copied[place].synchronize()
        for array, slot, tensor in zip(self.arrays, self.slots[place], self.tensors, strict=True):
            np.take(array, chosen, axis=0, out=slot.numpy(), mode="clip")
            tensor.copy_(slot, non_blocking=True)
        self.copied[place].record()


def training(name, precision, layout="NCHW"):
    """What a row trains with: its data, the order, the optimizer, and functions for gradient and update."""
    job = one_job.of(name, precision, DEVICE, DATASET, epochs=1)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    if name == "cnn":
        x, y, _, _ = job.data(layout=layout, labels=np.int64)
        model = cnn.build(job, ON, layout)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    else:
        x, y, _, _ = job.data(labels=np.int64)
        model = rnn.build(job, ON)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True, capturable=GPU)
    scaler, loss_function = runtime.gradient_scaler(job, ON), nn.CrossEntropyLoss()
    model.train()

    def forward_backward(x, y):
        with runtime.autocast(job, ON):
            inputs = runtime.as_nchw(x, layout) if name == "cnn" else x.t().contiguous()
            loss = loss_function(model(inputs), y)
        scaler.scale(loss).backward()
        return loss.detach()

    def update():
        scaler.step(optimizer)
        scaler.update()

    order = np.random.default_rng(0).permutation(len(x))
    order = order[: len(order) // BATCH * BATCH].reshape(-1, BATCH)
    return x, y, order, optimizer, forward_backward, update


def as_it_is(name, precision, layout="NCHW"):
    x, y, order, optimizer, forward_backward, update = training(name, precision, layout)

    def step(number):
        chosen = order[number % len(order)]
        optimizer.zero_grad()
        forward_backward(runtime.to_device(x[chosen], ON), runtime.to_device(y[chosen], ON))
        update()

    show(f"{name} {precision} {layout}", seconds_of(step), BATCH)


def in_a_graph(name, precision, layout="NCHW"):
    x, y, order, optimizer, forward_backward, update = training(name, precision, layout)
    ring = Ring(x, y)
    ring.feed(0, order[0])

    def whole():
        loss = forward_backward(*ring.tensors)
        update()
        return loss

    graph, loss = captured(whole, before=lambda: optimizer.zero_grad(set_to_none=True))

    def step(number):
        ring.feed(number, order[number % len(order)])
        graph.replay()

    show(f"{name} {precision} {layout}, captured, ring", seconds_of(step), BATCH, f"loss {float(loss):.4f}")
    show(f"{name} {precision} {layout}, captured, no data", seconds_of(lambda number: graph.replay()), BATCH)


def folded(model):
    """The network with BatchNorm in its convolutions, and each convolution, its sum and its ReLU one kernel of cuDNN."""
    stem = fuse_conv_bn_eval(model.conv1, model.bn1)
    blocks = []
    for block in (block for stage in (model.layer1, model.layer2, model.layer3, model.layer4) for block in stage):
        shortcut = fuse_conv_bn_eval(block.shortcut.conv, block.shortcut.bn) if len(block.shortcut) else None
        main = [fuse_conv_bn_eval(getattr(block, f"conv{n}"), getattr(block, f"bn{n}")) for n in (1, 2, 3)]
        blocks.append((*main, shortcut))

    def relu(conv, x):
        if not GPU:
            return F.relu(conv(x))
        shape = (conv.stride, conv.padding, conv.dilation, conv.groups)
        return torch.cudnn_convolution_relu(x, conv.weight, conv.bias, *shape)

    def add_relu(conv, x, other):
        if not GPU:
            return F.relu(conv(x) + other)
        shape = (conv.stride, conv.padding, conv.dilation, conv.groups)
        return torch.cudnn_convolution_add_relu(x, conv.weight, other, 1.0, conv.bias, *shape)

    def forward(x):
        x = F.max_pool2d(relu(stem, x), 3, stride=2, padding=1)
        for first, second, third, shortcut in blocks:
            x = add_relu(third, relu(second, relu(first, x)), x if shortcut is None else shortcut(x))
        return x.mean(dim=(2, 3))

    return forward, [stem, *(conv for block in blocks for conv in block if conv is not None)]


@torch.inference_mode()
def extraction(precision, layout, fold=False, capture=False):
    """`precision` half: the folded network's weights are float16, which autocast would make of them at each call."""
    sizes = {"batches": 8, "batch": 32} if GPU else {"batches": 1, "batch": 4}
    job = one_job.of("resnet50", "amp" if precision == "half" else precision, DEVICE, DATASET, **sizes)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    images = runtime.pinned(job.images(layout=layout), ON)
    model = forward = resnet50.build(job, ON, layout)
    if fold:
        forward, layers = folded(model)
        for layer in layers:
            layer.to(ON, memory_format=runtime.MEMORY_FORMATS[layout])
            layer.to(torch.float16 if precision == "half" else torch.float32)
    given = torch.empty(images.shape[1:], device=ON)

    def network():
        x = runtime.as_nchw(given, layout)
        with torch.autocast(ON.type, enabled=precision == "amp"):
            return forward(x.half() if precision == "half" else x).float()

    graph, result = captured(network) if capture else (None, None)

    def features(batch):
        given.copy_(torch.from_numpy(batch), non_blocking=True)
        if graph is None:
            return network().cpu().numpy()
        graph.replay()
        return result.cpu().numpy()

    wanted = resnet50.build(job, ON, layout)(runtime.as_nchw(runtime.to_device(images[0], ON), layout)).cpu().numpy()
    off = np.linalg.norm(features(images[0]) - wanted) / np.linalg.norm(wanted)
    steps, warm_up = (24, 4) if GPU else (1, 0)
    taken = seconds_of(lambda number: features(images[number % len(images)]), steps, warm_up)
    what = f"resnet50 {precision} {layout}{', folded' if fold else ''}{', captured' if capture else ''}"
    show(what, taken, images.shape[1], f"features off by {off:.1e}")


def ceilings():
    """What the device can do at most: products of matrices, copies, and launches from Python."""
    x = torch.randn(256 << 20 if GPU else 1 << 20, device=ON)
    y = torch.empty_like(x)
    taken = seconds_of(lambda number: y.copy_(x), 10, 3)
    print(f"         copy on the device: {2 * x.nbytes / taken / 1e12:.3f} TB/s")
    size = 8192 if GPU else 256
    for name, dtype, tf32 in (
        ("fp32", torch.float32, False),
        ("tf32", torch.float32, True),
        ("fp16", torch.float16, False),
    ):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a, b = (torch.randn(size, size, device=ON).to(dtype) for _ in "ab")
        taken = seconds_of(lambda number, a=a, b=b: a @ b, 8, 3)
        print(f"         {name} matrix product: {2 * size**3 / taken / 1e12:.2f} TFLOP/s")
    one = torch.zeros(1, device=ON)
    print(f"         a launch from Python: {1e6 * seconds_of(lambda number: one.add_(1), 2000, 50):.2f} µs")
    batch = torch.rand(BATCH, 3, 32, 32)
    for name, source in (("pageable", batch), ("pinned", batch.pin_memory() if GPU else batch)):
        target = torch.empty_like(source, device=ON)
        taken = seconds_of(lambda number, t=target, s=source: t.copy_(s, non_blocking=True), 300, 20)
        print(f"         {source.nbytes:,} bytes from {name} memory: {1e6 * taken:.1f} µs", flush=True)


def cases():
    yield ceilings, ()
    for precision, layout in (("fp32", "NCHW"), ("fp32", "NHWC"), ("tf32", "NCHW"), ("tf32", "NHWC"), ("amp", "NHWC")):
        yield as_it_is, ("cnn", precision, layout)
        yield in_a_graph, ("cnn", precision, layout)
    for precision in ("fp32", "tf32", "amp"):
        yield as_it_is, ("rnn", precision)
        yield in_a_graph, ("rnn", precision)
    yield extraction, ("fp32", "NCHW")
    yield extraction, ("fp32", "NCHW", True)
    yield extraction, ("fp32", "NCHW", True, True)
    yield extraction, ("fp32", "NHWC")
    yield extraction, ("fp32", "NHWC", True, True)
    yield extraction, ("tf32", "NCHW")
    yield extraction, ("tf32", "NHWC")
    yield extraction, ("tf32", "NHWC", True, True)
    yield extraction, ("amp", "NHWC")
    yield extraction, ("half", "NHWC", True, True)


def main():
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    for measure, arguments in cases():
        what = " ".join(map(str, (measure.__name__, *arguments)))
        if not GPU and (measure is in_a_graph or "tf32" in arguments or arguments[3:]):
            print(f"         {what}: needs a GPU", flush=True)
        elif time.monotonic() - BEGAN > SECONDS:
            print(f"         {what}: left out, there is no time for it", flush=True)
        else:
            try:
                measure(*arguments)
            except Exception as error:  # noqa: BLE001  (the other variants are worth having)
                print(f"         {what}: {type(error).__name__}: {str(error)[:300]}", flush=True)


if __name__ == "__main__":
    main()
