"""Where jobs run: one folder for each engine, and what engines share.

The contract is in base.py. Each folder registers its engine in its `__init__.py`; registry.py finds them.
"""
