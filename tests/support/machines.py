"""Made-up machines, nodes and images: for tests of what runs where."""

import dataclasses
from pathlib import Path

from orchestrator.engines.hosts import Node
from orchestrator.host import cuda
from orchestrator.host.machine import Gpu, Host
from orchestrator.plan.catalog import COMMAND, Cuda, Framework, Image

CARDS = {
    "K80": ("Tesla K80", "3.7"),
    "P100": ("Tesla P100-PCIE-16GB", "6.0"),
    "V100": ("Tesla V100-SXM2-16GB", "7.0"),
    "T4": ("Tesla T4", "7.5"),
    "A100": ("NVIDIA A100-SXM4-80GB", "8.0"),
    "A10": ("NVIDIA A10", "8.6"),
    "H100": ("NVIDIA H100 80GB HBM3", "9.0"),
    "H200": ("NVIDIA H200", "9.0"),
    "B200": ("NVIDIA B200", "10.0"),
    "RTX 5090": ("NVIDIA GeForce RTX 5090", "12.0"),
}


def gpu(name: str, capability: str, number: int = 0) -> Gpu:
    return Gpu(index=number, name=name, uuid=f"GPU-{number}", memory=16 << 30, capability=capability)


def machine(*cards: str, driver: str = "580.95.05") -> Host:
    """A machine with these of CARDS; without any, one without a driver."""
    return Host(
        cpu="CPU X", cpus=(0, 1), memory=8 << 30, system="Linux", kernel="6.1", machine="x86_64",
        driver=driver if cards else None, gpus=tuple(gpu(*CARDS[card], number) for number, card in enumerate(cards)),
    )  # fmt: skip


def node(name: str, *cards: str, problem: str | None = None, cpus: int = 2, **labels: str) -> Node:
    there = dataclasses.replace(machine(*cards), cpus=tuple(range(cpus)))
    return Node(
        id=f"id-{name}", name=name, host=there, engine="docker", engine_facts={}, gpu_problem=problem, labels=labels
    )


def image(
    version: str | None = None, capabilities: str = "", ptx: str | None = None, python: str | None = "3.11"
) -> Image:
    """An image with this build for GPUs; without a version, with none."""
    build = (
        Cuda(
            version=cuda.version(version),
            capabilities=tuple(map(cuda.version, capabilities.split())),
            ptx=cuda.version(ptx) if ptx else None,
        )
        if version
        else None
    )
    row = Framework(id="demo", title="Demo", version="1", module="demo", workloads=("cnn",), env={})
    return Image(
        name="demo", folder=Path(), base="b", python=python, command=COMMAND, labels={}, locks={}, frameworks=(row,),
        cuda=build,
    )  # fmt: skip
