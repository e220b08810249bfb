"""The workloads in Keras 3. KERAS_BACKEND names what it runs on: TensorFlow, JAX or PyTorch."""
