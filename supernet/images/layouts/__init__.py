"""How labelled images lie on disk: a module for each form, and a line each in ``registry``."""
