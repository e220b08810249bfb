"""The host side: YAML specs in, containers run, trustworthy tables out."""

__version__ = "0.1.0"
