"""The workloads in PyTorch 2, compiled by torch.compile."""
