"""What a person wants, from YAML to the jobs of a run."""
