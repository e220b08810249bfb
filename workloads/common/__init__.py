"""What every workload shares: see bench.py for the functions and PROTOCOL.md for the event stream."""
