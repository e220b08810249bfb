"""NVML, NVIDIA's management library: the only module that imports pynvml.

It answers three questions: which GPUs there are and what they are, which programs use one, and what their sensors read.

https://docs.nvidia.com/deploy/nvml-api/
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import pynvml

from orchestrator.host.samples import GpuReading

NvmlValue = TypeVar("NvmlValue")


class DriverError(Exception):
    """A driver is installed, but it does not work."""


class GpuLostError(Exception):
    """A GPU fell off the bus or its driver is gone. It cannot be read any more."""


class Card:
    """One GPU. Answers that a GPU or a driver may lack are None; the others raise the library's own errors."""

    def __init__(self, index: int, handle: Any) -> None:
        self.index = index
        self._handle = handle

    def name(self) -> str:
        """The product's name, "NVIDIA H100"."""
        return _text(pynvml.nvmlDeviceGetName(self._handle))

    def uuid(self) -> str:
        """The GPU's UUID, "GPU-…"."""
        return _text(pynvml.nvmlDeviceGetUUID(self._handle))

    def capability(self) -> str:
        """The compute capability, "9.0"."""
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(self._handle)
        return f"{major}.{minor}"

    def memory(self) -> int | None:
        """All of its memory, in bytes."""
        return _optional(lambda: int(pynvml.nvmlDeviceGetMemoryInfo(self._handle).total))

    def power_limit(self) -> float | None:
        """The power limit that is enforced now, in W."""
        return _optional(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(self._handle) / 1000)  # NVML answers in mW

    def ecc(self) -> bool | None:
        """Whether error-correcting memory is on now."""
        return _optional(lambda: bool(pynvml.nvmlDeviceGetEccMode(self._handle)[0]))  # [now, after the next restart]

    def persistence(self) -> bool | None:
        """Whether persistence mode is on."""
        return _optional(lambda: bool(pynvml.nvmlDeviceGetPersistenceMode(self._handle)))

    def mig(self) -> bool | None:
        """Whether the GPU is divided into instances (MIG) now."""
        return _optional(lambda: bool(pynvml.nvmlDeviceGetMigMode(self._handle)[0]))  # [now, after the next reset]


class Driver:
    """The driver of this machine."""

    def version(self) -> str:
        """The driver's version, "550.54.15"."""
        return _text(pynvml.nvmlSystemGetDriverVersion())

    def cuda(self) -> str | None:
        """The newest CUDA version that the driver supports, "12.4"."""
        number = _optional(lambda: int(pynvml.nvmlSystemGetCudaDriverVersion_v2()))  # 12040
        return None if number is None else f"{number // 1000}.{number % 1000 // 10}"

    def cards(self) -> tuple[Card, ...]:
        """All GPUs, in NVML's order."""
        numbers = range(pynvml.nvmlDeviceGetCount())
        return tuple(Card(index, pynvml.nvmlDeviceGetHandleByIndex(index)) for index in numbers)


@contextlib.contextmanager
def opened_driver() -> Iterator[Driver | None]:
    """The driver for the duration of the block; None where none is installed or loaded.

    Raises DriverError with NVML's words when the driver does not work, also for questions asked inside the block.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if isinstance(error, pynvml.NVMLError_LibraryNotFound | pynvml.NVMLError_DriverNotLoaded):
            yield None
            return
        raise DriverError(str(error)) from error
    try:
        yield Driver()
    except pynvml.NVMLError as error:
        raise DriverError(str(error)) from error
    finally:
        pynvml.nvmlShutdown()


def programs_on(uuid: str) -> tuple[int, ...]:
    """The ids of the processes that compute on a GPU now; none where the driver does not answer."""
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        try:
            handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
            return tuple(process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
        finally:
            pynvml.nvmlShutdown()
    return ()


class GpuSensors:
    """The sensors of one GPU. `note` gets a text about each sensor that cannot be read."""

    def __init__(self, uuid: str, sensors: dict[str, Callable[[], float]], note: Callable[[str], None]) -> None:
        self.uuid = uuid
        self._sensors = sensors
        self._note = note

    def read(self) -> GpuReading:
        """Read every sensor. A sensor that the card lacks is tried once and then left out. Raises GpuLostError."""
        never = (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_NoPermission)
        found: dict[str, Any] = {}
        for name, sensor in list(self._sensors.items()):
            try:
                found[name] = sensor()
            except never:
                del self._sensors[name]
            except (pynvml.NVMLError_GpuIsLost, pynvml.NVMLError_Uninitialized) as error:
                raise GpuLostError(f"GPU {self.uuid} was lost ({error})") from error
            except pynvml.NVMLError as error:
                self._note(f"GPU {self.uuid}: {name} could not be read at times ({error})")
        return GpuReading(**found)


@contextlib.contextmanager
def opened(uuids: Sequence[str], note: Callable[[str], None]) -> Iterator[tuple[GpuSensors, ...]]:
    """The sensors of the GPUs with these UUIDs. Where the driver does not answer: none, and a note."""
    if not uuids:
        yield ()
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        note(f"the GPU's sensors cannot be read: {error}")
        yield ()
        return
    try:
        yield _all_sensors(uuids, note)
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _all_sensors(uuids: Sequence[str], note: Callable[[str], None]) -> tuple[GpuSensors, ...]:
    try:
        handles = [pynvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids]
    except pynvml.NVMLError as error:
        note(f"the GPU's sensors cannot be read: {error}")
        return ()
    return tuple(GpuSensors(uuid, _sensors(handle), note) for uuid, handle in zip(uuids, handles, strict=True))


def _sensors(handle: Any) -> dict[str, Callable[[], float]]:
    """How to read each field of GpuReading, in its unit."""
    return {
        "utilisation": lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu,
        "memory": lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).used,
        "power": lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,  # NVML answers in mW
        "temperature": lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
        "sm_clock": lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
        "memory_clock": lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM),
        # Newer drivers call it …ClocksEventReasons and keep this name; older drivers know only this one.
        "reasons": lambda: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
        "counter": lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle),
    }


def _optional(ask: Callable[[], NvmlValue]) -> NvmlValue | None:
    """NVML's answer; None where it raises an error, as it does for what a GPU lacks or a driver does not know."""
    try:
        return ask()
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    """Text, whether the installed version of pynvml answers in text or in bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
