"""The docker engine: one container per job."""
