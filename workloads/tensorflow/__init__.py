"""The workloads in TensorFlow 2."""
