"""The workloads in MXNet 1: symbols, trained and run through the Module API."""

from workloads.mxnet import libraries

libraries.load()
