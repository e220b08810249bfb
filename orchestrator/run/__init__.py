"""Jobs to results."""
