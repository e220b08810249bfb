"""The workloads in NumPy: the reference row, and in float64 the oracle for all the others."""
