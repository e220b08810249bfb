"""The workloads in PyTorch 2."""
