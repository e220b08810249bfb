"""The bytes that a job reads: datasets, weights, batch order."""
