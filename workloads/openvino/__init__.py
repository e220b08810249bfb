"""The workload in OpenVINO."""
