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

from importlib import import_module
from typing import TYPE_CHECKING, Any

from oncefit.shadowing import check_not_shadowed

check_not_shadowed()

if TYPE_CHECKING:
    from oncefit.bundles import Bundle, Evaluation, open_bundle
    from oncefit.carbon_ledgers import Carbon, carbon
    from oncefit.comparisons import Comparison, compare
    from oncefit.data_checks import DataCheck, check_data
    from oncefit.data_splits import ImageSplit, split_images
    from oncefit.devices import KeptDevice, device, import_device, profile, profile_from_csv
    from oncefit.finetuning import finetune
    from oncefit.fleets import Fleet, open_fleet, search_fleet
    from oncefit.formats import convert
    from oncefit.kits import Kit, import_kit_result, make_kit
    from oncefit.model_sizes import ModelSizes, sizes
    from oncefit.networks import NetworkCosts, cost
    from oncefit.new_supernets import new_supernet
    from oncefit.portfolios import Portfolio, fleet
    from oncefit.predictors import (
        Predictor,
        import_predictor,
        list_predictors,
        open_predictor,
        train_predictor,
    )
    from oncefit.report_pages import report
    from oncefit.reselection import reselect
    from oncefit.runs import Run, open_run, search
    from oncefit.supernets import Supernet, open_supernet
    from oncefit.supernets_from_models import supernet_from_model
    from oncefit.training import adapt, train
    from oncefit.weights import fetch_weights, import_weights, list_weights
    from oncefit.working import work
    from supernet.accuracy import Accuracy, OwnAccuracy, PredictedAccuracy
    from supernet.archs.arch import Arch
    from supernet.archs.layers import Layer
    from supernet.archs.space import Dimension, SearchSpace
    from supernet.errors import InputError

_HOMES = {
    "oncefit.bundles": ("Bundle", "Evaluation", "open_bundle"),
    "oncefit.carbon_ledgers": ("Carbon", "carbon"),
    "oncefit.comparisons": ("Comparison", "compare"),
    "oncefit.data_checks": ("DataCheck", "check_data"),
    "oncefit.data_splits": ("ImageSplit", "split_images"),
    "oncefit.devices": ("KeptDevice", "device", "import_device", "profile", "profile_from_csv"),
    "oncefit.finetuning": ("finetune",),
    "oncefit.fleets": ("Fleet", "open_fleet", "search_fleet"),
    "oncefit.formats": ("convert",),
    "oncefit.kits": ("Kit", "import_kit_result", "make_kit"),
    "oncefit.model_sizes": ("ModelSizes", "sizes"),
    "oncefit.networks": ("NetworkCosts", "cost"),
    "oncefit.new_supernets": ("new_supernet",),
    "oncefit.portfolios": ("Portfolio", "fleet"),
    "oncefit.predictors": (
        "Predictor",
        "import_predictor",
        "list_predictors",
        "open_predictor",
        "train_predictor",
    ),
    "oncefit.report_pages": ("report",),
    "oncefit.reselection": ("reselect",),
    "oncefit.runs": ("Run", "open_run", "search"),
    "oncefit.supernets": ("Supernet", "open_supernet"),
    "oncefit.supernets_from_models": ("supernet_from_model",),
    "oncefit.training": ("adapt", "train"),
    "oncefit.weights": ("fetch_weights", "import_weights", "list_weights"),
    "oncefit.working": ("work",),
    "supernet.accuracy": ("Accuracy", "OwnAccuracy", "PredictedAccuracy"),
    "supernet.archs.arch": ("Arch",),
    "supernet.errors": ("InputError",),
    "supernet.archs.layers": ("Layer",),
    "supernet.archs.space": ("Dimension", "SearchSpace"),
}
"""Where the public names are. They are imported when they are used: searching takes Optuna, opening a bundle does not."""

__all__ = [
    "Accuracy",
    "Arch",
    "Bundle",
    "Carbon",
    "Comparison",
    "DataCheck",
    "Dimension",
    "Evaluation",
    "Fleet",
    "ImageSplit",
    "InputError",
    "KeptDevice",
    "Kit",
    "Layer",
    "ModelSizes",
    "NetworkCosts",
    "OwnAccuracy",
    "Portfolio",
    "PredictedAccuracy",
    "Predictor",
    "Run",
    "SearchSpace",
    "Supernet",
    "__version__",
    "adapt",
    "carbon",
    "check_data",
    "compare",
    "convert",
    "cost",
    "costs",
    "device",
    "fetch_weights",
    "finetune",
    "fleet",
    "import_device",
    "import_kit_result",
    "import_predictor",
    "import_weights",
    "list_predictors",
    "list_weights",
    "make_kit",
    "new_supernet",
    "open_bundle",
    "open_fleet",
    "open_predictor",
    "open_run",
    "open_supernet",
    "profile",
    "profile_from_csv",
    "report",
    "reselect",
    "search",
    "search_fleet",
    "sizes",
    "split_images",
    "supernet_from_model",
    "train",
    "train_predictor",
    "work",
]


def costs() -> tuple[str, ...]:
    """Names of the costs that a budget or an objective may have, those of installed packages included."""
    from cost_models.registry import known_costs

    return tuple(known_costs())


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("oncefit")
    for module, names in _HOMES.items():
        if name in names:
            globals()[name] = getattr(import_module(module), name)
            return globals()[name]
    raise AttributeError(f"module 'oncefit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
