"""Workloads that misbehave on purpose."""
