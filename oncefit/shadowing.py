"""oncefit's packages have common names; another module of the same name would be imported in their place."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

OUR_PACKAGES = ("configs", "supernet", "cost_models", "search")


def check_not_shadowed(root: Path = Path(__file__).parents[1]) -> None:
    """Raises ImportError that names the file which hides one of oncefit's own packages."""
    for name in OUR_PACKAGES:
        found = place_of(name)
        if found is not None and found != (root / name).resolve():
            raise ImportError(
                f"oncefit's package {name!r} is hidden by {found}, which Python finds first. Rename that file or folder, "
                "or start Python where it is not on sys.path"
            )


def place_of(name: str) -> Path | None:
    """Folder of a package or file of a module, as an import would find it; None where there is none."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        places, file = getattr(loaded, "__path__", None), getattr(loaded, "__file__", None)
    else:
        spec = find_spec(name)
        places, file = (spec.submodule_search_locations, spec.origin) if spec is not None else (None, None)
    found = next(iter(places or []), file)
    return Path(found).resolve() if found is not None else None
