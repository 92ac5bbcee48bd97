"""What runs a subnet, one file each. A new one is a file with a ``RUNTIME`` and a line in ``registry.py``."""
