"""The three workloads in PyTorch 2."""
