"""What the driver says, what each look at a sensor costs, and how often the energy counter moves."""

import platform
import statistics
import sys
import time

import pynvml

from orchestrator.host import machine, nvml
from workloads.common import cuda

LOOKS = 30


def main():
    print("Python", sys.version.split()[0], "kernel", platform.release())
    print("machine", machine.inspect())
    print("libcuda", cuda.visible_gpus(), "compute capability", cuda.capability())
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        print("NVML:", error)
        return
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    uuid = pynvml.nvmlDeviceGetUUID(handle)
    print("NVML", uuid, "programs", nvml.programs_on(uuid))
    for name, sensor in nvml._sensors(handle).items():  # noqa: SLF001  (the cost of each alone is asked for)
        try:
            took, value = timed(sensor)
        except pynvml.NVMLError as error:
            print(f"  {name:14} {error}")
            continue
        print(f"  {name:14} {value!s:>20}  median {statistics.median(took):8.1f} µs, most {max(took):8.1f} µs")
    print("the energy counter moved", moves(handle), "times in a second")


def timed(sensor):
    """Microseconds of each look, and what the last one saw."""
    took = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        value = sensor()
        took.append(1e6 * (time.perf_counter() - began))
    return took, value


def moves(handle):
    """How often the counter has another value, in a second; None where there is no counter."""
    values, until = set(), time.perf_counter() + 1.0
    try:
        while time.perf_counter() < until:
            values.add(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    except pynvml.NVMLError:
        return None
    return len(values)


if __name__ == "__main__":
    main()
