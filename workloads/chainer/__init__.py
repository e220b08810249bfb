"""The three workloads in Chainer 7, on iDeep where there is no GPU."""

from workloads.common import mkl

mkl.use_this_cpu()
