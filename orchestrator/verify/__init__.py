"""The reference and what frameworks are held to."""
