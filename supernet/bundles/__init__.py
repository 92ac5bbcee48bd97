"""Subnets that leave: bundles, their cards, and the programs in them."""
