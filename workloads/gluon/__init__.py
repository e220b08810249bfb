"""The three workloads in Gluon, MXNet 1's imperative interface, hybridized into graphs."""
