"""Families of networks; each has a function that parses its YAML and a line in ``supernet.families.catalog.FAMILIES``."""
