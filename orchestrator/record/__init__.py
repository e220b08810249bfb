"""What is written down during a run and read again by reports."""
