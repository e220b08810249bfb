"""The workloads in CNTK 2.7."""

from workloads.cntk import libraries

libraries.load()
