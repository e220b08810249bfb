"""A stand-in for NVIDIA's management library, with cards that play a script."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from orchestrator.host import nvml
from orchestrator.host.samples import GpuReading

Programs = Sequence[int]  # process ids
UUID = "GPU-fake"
NORMAL = {
    "utilisation": 90,
    "memory": 8 << 30,
    "power": 250_000,
    "temperature": 60,
    "sm": 1400,
    "mem": 1200,
    "reasons": 1,
}


class Card:
    """A GPU whose sensors follow a script.

    `script` gives each quantity as a value, an error to raise, or a function of how often it was asked before.
    `programs` are the ids of the processes that compute on the card, or a function that returns them.
    """

    def __init__(self, delay: float = 0.0, programs: Programs | Callable[[], Programs] = (), **script: Any) -> None:
        self.script: dict[str, Any] = {**NORMAL, "counter": lambda asked: 1_000_000 + 25_000 * asked, **script}
        self.delay = delay
        self.programs = programs
        self.asked = dict.fromkeys(self.script, 0)
        self.open = 0

    def tell(self, name: str) -> Any:
        if self.delay:
            time.sleep(self.delay)
        answer = self.script[name]
        if callable(answer) and not isinstance(answer, type):
            answer = answer(self.asked[name])
        self.asked[name] += 1
        if isinstance(answer, type | Exception):  # an error of the library
            raise answer
        return answer

    def running(self) -> list[SimpleNamespace]:
        answer = self.programs() if callable(self.programs) else self.programs
        return [SimpleNamespace(pid=pid) for pid in answer]


def replace(monkeypatch: pytest.MonkeyPatch, functions: Mapping[str, Callable[..., Any]]) -> None:
    """Replace functions of pynvml."""
    for name, function in functions.items():
        monkeypatch.setattr(pynvml, name, function)


def install(monkeypatch: pytest.MonkeyPatch, *cards: Card, uuids: Sequence[str] = (UUID,), broken: str = "") -> None:
    """Replace the functions of pynvml by those of a fake with these cards; its errors and constants stay.

    The function of the library that is called `broken` raises an error.
    """
    there = dict(zip(uuids, cards, strict=True))

    def count(change: int) -> None:
        for card in cards:
            card.open += change

    def handle(uuid: str) -> Card:
        if uuid not in there:
            raise pynvml.NVMLError_NotFound
        return there[uuid]

    def refuse(*_: Any) -> None:
        raise pynvml.NVMLError_DriverNotLoaded

    functions: dict[str, Callable[..., Any]] = {
        "nvmlInit": lambda: count(+1),
        "nvmlShutdown": lambda: count(-1),
        "nvmlSystemGetDriverVersion": lambda: "1",
        "nvmlSystemGetCudaDriverVersion_v2": lambda: 12040,
        "nvmlDeviceGetCount": lambda: 0,  # asked by host/machine.py
        "nvmlDeviceGetHandleByUUID": handle,
        "nvmlDeviceGetUtilizationRates": lambda card: SimpleNamespace(gpu=card.tell("utilisation")),
        "nvmlDeviceGetMemoryInfo": lambda card: SimpleNamespace(used=card.tell("memory")),
        "nvmlDeviceGetPowerUsage": lambda card: card.tell("power"),
        "nvmlDeviceGetTemperature": lambda card, sensor: card.tell("temperature"),
        "nvmlDeviceGetClockInfo": lambda card, kind: card.tell("sm" if kind == pynvml.NVML_CLOCK_SM else "mem"),
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda card: card.tell("reasons"),
        "nvmlDeviceGetTotalEnergyConsumption": lambda card: card.tell("counter"),
        "nvmlDeviceGetComputeRunningProcesses": lambda card: card.running(),
    }
    if broken:
        functions[broken] = refuse
    replace(monkeypatch, functions)


def readings(number: int) -> tuple[list[GpuReading], list[str]]:
    """`number` looks at the stand-in, and what was noted meanwhile."""
    notes: list[str] = []
    with nvml.opened([UUID], notes.append) as (card,):
        return [card.read() for _ in itertools.repeat(None, number)], notes
