"""The three workloads in TensorFlow 2."""
