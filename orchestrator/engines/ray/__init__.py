"""The ray engine: the nodes of a Ray cluster."""
