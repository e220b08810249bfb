"""Run a workload of the reference with one mistake planted: python -m workloads.mistakes MISTAKE WORKLOAD."""

import sys

from workloads.common import bench  # first, before NumPy starts threads: see workloads/common/startup.py
from workloads.mistakes import module, planted


def main():
    mistake, workload = sys.argv[1:]
    with planted(mistake, workload):
        bench.main(module("numpy." + workload).run)


if __name__ == "__main__":
    main()
