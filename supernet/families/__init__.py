"""Families of networks; each offers ``parse`` and has a line in ``supernet.catalog.FAMILIES``."""
