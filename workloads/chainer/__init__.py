"""The three workloads in Chainer 7, on iDeep where there is no GPU."""

from workloads.chainer import libraries

libraries.let_mkl_use_this_cpu()
