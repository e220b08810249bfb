"""Judgements on results: statistics, comparisons, parity. Pure."""
