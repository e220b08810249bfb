"""From the YAML spec to the jobs of a run."""
