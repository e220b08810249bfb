"""The workloads in Gluon, MXNet 1's imperative interface, hybridized into graphs."""

import workloads.mxnet  # noqa: F401  (makes `import mxnet` work)
