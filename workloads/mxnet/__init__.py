"""The three workloads in MXNet 1: symbols, trained and run through the Module API."""
