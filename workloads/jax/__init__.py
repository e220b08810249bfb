"""The workloads in JAX: pure functions, compiled by XLA, and Optax's optimisers."""
