"""Weights on disk: checked, kept, and read from the files of others."""
