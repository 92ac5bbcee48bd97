"""A kit to measure a device that is elsewhere: made here, run there, its result read here.

:mod:`cost_models.kit.making` writes it, ``measure.py`` is the program in it, which imports nothing of ours, and
:mod:`cost_models.kit.result` reads what that wrote.
"""
