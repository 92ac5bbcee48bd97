"""Subnets in 8 bits: how they are quantised, what is tried, and what of a model file is in 8 bits."""
