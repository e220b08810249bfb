"""The workload in ONNX Runtime."""
