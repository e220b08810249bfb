"""The workloads in Keras 3 on TensorFlow."""
