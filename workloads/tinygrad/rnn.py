"""GRU on IMDB reviews in tinygrad.

A step of time is a program of its own, compiled once and run for every step: unrolled, its 150 copies and their
gradients would be thousands of kernels to compile. Which step it is goes in as a variable.
"""
