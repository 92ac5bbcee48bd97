"""One pretrained once-for-all supernet, fitted to every device: the whole of it from Python.

    import oncefit

    supernet = oncefit.open_supernet("fmnist_mbv3")
    run = oncefit.search(supernet, budgets={"macs": 2e6}, trials=40)
    run.front                    # a pandas DataFrame
    subnet = run.extract()       # a torch.nn.Module
    bundle = run.export()

Names, defaults and errors are those of the command line, which is written with these functions. What is not
listed in ``__all__`` may change without notice.
"""

from __future__ import annotations

from oncefit.shadowing import check_not_shadowed

check_not_shadowed()

from cost_models.registry import known_costs as _known_costs  # noqa: E402
from oncefit.bundles import Bundle, open_bundle  # noqa: E402
from oncefit.comparisons import Comparison, compare  # noqa: E402
from oncefit.fleets import Fleet, open_fleet, search_fleet  # noqa: E402
from oncefit.runs import Run, open_run, search  # noqa: E402
from oncefit.supernets import Supernet, open_supernet  # noqa: E402
from supernet.accuracy import Accuracy, OwnAccuracy, PredictedAccuracy  # noqa: E402
from supernet.arch import Arch  # noqa: E402
from supernet.errors import InputError  # noqa: E402
from supernet.space import Dimension, SearchSpace  # noqa: E402

__all__ = [
    "Accuracy",
    "Arch",
    "Bundle",
    "Comparison",
    "Dimension",
    "Fleet",
    "InputError",
    "OwnAccuracy",
    "PredictedAccuracy",
    "Run",
    "SearchSpace",
    "Supernet",
    "__version__",
    "compare",
    "costs",
    "open_bundle",
    "open_fleet",
    "open_run",
    "open_supernet",
    "search",
    "search_fleet",
]


def costs() -> tuple[str, ...]:
    """Names of the costs that a budget or an objective may have, those of installed packages included."""
    return tuple(_known_costs())


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("oncefit")
    raise AttributeError(f"module 'oncefit' has no attribute {name!r}")
