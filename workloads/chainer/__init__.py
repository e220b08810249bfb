"""The workloads in Chainer 7: on CuPy with a GPU, on iDeep without."""

from workloads.chainer import libraries

libraries.load()
