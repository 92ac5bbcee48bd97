"""Archs, the space they are in, and the layers that costs are summed over."""
