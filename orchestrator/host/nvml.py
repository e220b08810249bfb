"""What NVIDIA's management library says about GPUs, moment by moment: the sensors behind telemetry."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from orchestrator.host.samples import GpuReading


class GpuLostError(Exception):
    """A GPU fell off the bus or its driver is gone: nothing more will be read."""


class GpuSensors:
    """One GPU."""

    def __init__(self, uuid: str, sensors: dict[str, Callable[[], float]], notify: Callable[[str], None]) -> None:
        self.uuid = uuid
        self._sensors = sensors
        self._notify = notify

    def read(self) -> GpuReading:
        """Ask every sensor. One that the card lacks is asked once and then left out. Raises GpuLostError."""
        import pynvml

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
                self._notify(f"GPU {self.uuid}: {name} could not be read at times ({error})")
        return GpuReading(**found)


@contextlib.contextmanager
def opened(uuids: Sequence[str], notify: Callable[[str], None]) -> Iterator[tuple[GpuSensors, ...]]:
    """The GPUs with these UUIDs, ready to be read; none, and a note, where the driver does not answer."""
    if not uuids:
        yield ()
        return
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        notify(f"the GPU's sensors cannot be read: {error}")
        yield ()
        return
    try:
        yield _cards(uuids, notify)
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _cards(uuids: Sequence[str], notify: Callable[[str], None]) -> tuple[GpuSensors, ...]:
    import pynvml

    try:
        handles = [pynvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids]
    except pynvml.NVMLError as error:
        notify(f"the GPU's sensors cannot be read: {error}")
        return ()
    return tuple(GpuSensors(uuid, _sensors(handle), notify) for uuid, handle in zip(uuids, handles, strict=True))


def _sensors(handle: Any) -> dict[str, Callable[[], float]]:
    """How to ask for each field of GpuReading, in its unit."""
    import pynvml

    return {
        "utilisation": lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu,
        "memory": lambda: pynvml.nvmlDeviceGetMemoryInfo(handle).used,
        "power": lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,  # told in mW
        "temperature": lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
        "sm_clock": lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
        "memory_clock": lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM),
        # Newer drivers call it …ClocksEventReasons and keep this name; older ones know no other.
        "reasons": lambda: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
        "counter": lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle),
    }
