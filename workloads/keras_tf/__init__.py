"""The three workloads in Keras 3 on TensorFlow."""
