"""The workloads in tinygrad."""
