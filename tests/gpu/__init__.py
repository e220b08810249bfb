"""What to run on a machine with a GPU that is there for minutes only, and has no network: see README.md."""
