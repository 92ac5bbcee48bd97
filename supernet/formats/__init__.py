"""What a bundle can be converted to, one file each. A new format is a file with a ``FORMAT`` and a line in ``registry.py``."""
