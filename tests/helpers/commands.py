"""Commands that tests run in their own process."""

from collections.abc import Callable

Here = Callable[..., tuple[str, str]]
"""What the fixture ``here`` gives: arguments and the exit ``code`` that is due -> standard output and standard error."""
