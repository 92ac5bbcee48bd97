"""What every byte of a model file is for; nothing in a file is run, and no framework is imported.

A reader of a format maps the bytes of a file: each belongs to one part, so that the parts add up to the file.
"""
