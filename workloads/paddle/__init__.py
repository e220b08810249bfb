"""The workloads in PaddlePaddle 3."""
