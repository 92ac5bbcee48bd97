"""Code of a user's own, named in a document by a dotted path: found, imported, and named where it fails."""

from __future__ import annotations

import importlib
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from supernet.errors import InputError, short, unknown

IDENTIFIER = r"[^\W\d]\w*"
DOTTED_CLASS = re.compile(rf"(?P<module>{IDENTIFIER}(\.{IDENTIFIER})*)[:.](?P<name>{IDENTIFIER})")
"""``package.module:Class``, or with a dot in place of the colon."""
LONGEST_SAID = 200
"""Characters that are shown of what someone else's code says."""


def is_dotted(path: str) -> bool:
    return DOTTED_CLASS.fullmatch(path) is not None


def import_class(path: str, folder: Path, where: str) -> type:
    """The class at ``module:Class``, whose module Python knows or is in ``folder``; importing it runs its code.

    Raises InputError, which begins with ``where``, for what is not found there, and for a module of ``folder`` that
    another one of the same name hides.
    """
    parts = DOTTED_CLASS.fullmatch(path)
    if parts is None:
        raise InputError(f"{where}: a class of yours is given as module:Class, got {short(path)}")
    module, name, inside = parts["module"], parts["name"], str(folder.resolve())
    if inside not in sys.path:
        sys.path.append(
            inside
        )  # last, so that it hides nothing, and for good: the class may import more of it later
        importlib.invalidate_caches()
    with blamed(f"{where}: importing {module}"):
        try:
            imported = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            raise InputError(
                f"{where}: there is no module {error.name!r}, neither in {inside} nor where Python looks for modules; "
                "put its file beside the YAML, install it, or set PYTHONPATH"
            ) from error
    check_not_hidden(module, getattr(imported, "__file__", None), folder, where)
    found = getattr(imported, name, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(imported).items() if isinstance(value, type)]
        raise InputError(f"{where}: {unknown(f'class in {imported.__file__}:', name, classes)}")
    return found


def check_not_hidden(module: str, loaded: str | None, folder: Path, where: str) -> None:
    """Raises InputError where ``folder`` has a module of that name, and another one was loaded."""
    stem = folder.resolve().joinpath(*module.split("."))
    here = next((file for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.is_file()), None)
    if here is not None and (loaded is None or Path(loaded).resolve() != here.resolve()):
        raise InputError(
            f"{where}: {here} is hidden by {loaded}, which has the same name; rename one of the two"
        )


@contextmanager
def blamed(what: str) -> Iterator[None]:
    """Whatever a user's own code raises, be it an exit, is an InputError that begins with ``what``."""
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"{what} fails with {told_error(error, __file__)}") from error


def told_error(error: BaseException, ours: str) -> str:
    """An exception of someone else's code, where that raised it or called what did, and how to see more.

    Frames in ``ours``, a file, and in this package are not theirs.
    """
    theirs = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not is_ours(frame.filename, ours)
    ]
    place = f" in {theirs[-1].filename}, line {theirs[-1].lineno}" if theirs else ""
    said = " ".join(str(error).split())
    said = f": {said if len(said) <= LONGEST_SAID else f'{said[:LONGEST_SAID]}...'}" if said else ""
    return f"{type(error).__name__}{said}{place} (--debug shows the traceback)"


def is_ours(file: str, ours: str) -> bool:
    return file == ours or file.startswith("<") or Path(file).is_relative_to(Path(__file__).parent)
