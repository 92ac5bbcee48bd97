"""A run folder, new or there already, and all that its config names, opened and checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cost_models.device import Device, device_costs
from cost_models.device_files import write_device
from cost_models.devices import open_device
from cost_models.protocol import Target
from cost_models.registry import BY_PRECISION, COSTS, OF_A_DEVICE, ON_REQUEST, build
from search.feasible.budget_messages import check_feasible
from search.predictors import files as predictors
from search.predictors.files import check_choices, is_known, open_predictor
from search.predictors.protocol import Predictor
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.runs import study as studies
from search.runs.config import MEASURED, RunConfig, differences, to_yaml
from search.runs.enqueued import check_enqueued, with_enqueued
from search.runs.fleet_devices import FLEET
from search.runs.on_device import setups_at_hand
from search.runs.own import Own, is_given, own_cost
from search.runs.prior import begins_with, may_have_prior, with_prior
from search.runs.run import CONFIG, DEVICE, PREDICTOR, Run
from supernet import documents
from supernet.archs.precisions import codes_of_networks
from supernet.atomic import check_writable
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from supernet.messages import Say


def make_run(
    folder: Path,
    config: RunConfig,
    supernet: Supernet,
    device: Device | None,
    storage: str | None,
    kept: bool = False,
    own: Own | None = None,
) -> Run:
    """A run records the costs that its config names, and the built-in ones that need no more than is given.

    ``kept`` takes the predictor that was written into the folder, whatever the config's name leads to now.
    """
    target = Target(supernet, device)
    objectives = parse_objectives(config.objectives)
    decisive = dict.fromkeys([*config.budgets, *(o.name for o in objectives if not o.is_accuracy)])
    names = dict.fromkeys([*decisive, *config.costs, *free_costs(supernet, device)])
    own = own or Own()
    costs = {
        name: own_cost(name, own, supernet.space)
        if is_given(config.costs.get(name, ""))
        else build(name, target, config.costs)
        for name in names
    }
    if not costs:
        raise InputError(
            f"{supernet.name} describes no layers, so it has no built-in cost; give one as a function: costs={{...}}"
        )
    problem = Problem(supernet.space, objectives, {name: costs[name] for name in decisive}, config.budgets)
    known = predictor_of(folder, config, supernet, kept) if config.named_predictor is not None else None
    if known is not None and config.accuracy == MEASURED:
        network, space = supernet.of_networks.space, supernet.space  # which is all that predictors know
        problem = replace(
            problem,
            expected=lambda codes: known.predict(network, codes_of_networks(space, codes)).top1,
        )
        return Run(folder, config, supernet, device, problem, costs, prior=known, storage=storage, own=own)
    return Run(folder, config, supernet, device, problem, costs, predictor=known, storage=storage, own=own)


def free_costs(supernet: Supernet, device: Device | None) -> list[str]:
    """The built-in costs that are known of a supernet's layers, on a device if there is one."""
    of_device = device_costs(device, supernet.precisions) if device is not None else ()
    asked = [name for name in ON_REQUEST if not (supernet.precisions and name in BY_PRECISION)]
    known = [name for name in COSTS if name not in asked] if supernet.segments else []
    return [name for name in known if name not in OF_A_DEVICE or name in of_device]


def predictor_of(folder: Path, config: RunConfig, supernet: Supernet, kept: bool) -> Predictor:
    """The predictor that the config names, or the folder's copy of it where that is wanted or all that is left."""
    name, copy = config.named_predictor, folder / PREDICTOR
    assert name is not None
    if copy.is_file() and (kept or not is_known(name)):
        return open_predictor(str(copy), supernet)
    return open_predictor(name, supernet)


def start(
    folder: Path,
    config: RunConfig,
    storage: str | None,
    say: Say,
    own: Own | None = None,
    beside: Run | None = None,
    study: str | None = None,
) -> Run:
    """A new run, or the one that is in the folder, with all that it needs; writes nothing there.

    ``study`` is what a new study is called. What ``beside``, a run for another device, has opened is not opened again.
    Raises InputError for a folder that holds something else, an infeasible budget, and
    missing or wrong weights, images or storage.
    """
    check_folder(folder, config)
    check_writable(folder)
    studies.check_study_name(folder, study)
    if storage is None:
        studies.check_database(folder)
    supernet = supernet_of(config, own) if beside is None else beside.supernet
    known_device = str(folder / DEVICE) if (folder / DEVICE).exists() else config.device
    device = open_device(known_device, supernet, say) if known_device is not None else None
    begun = documents.read(folder / CONFIG, RunConfig) if (folder / CONFIG).exists() else None
    by_itself = may_have_prior(config)
    config = with_prior(config, begun, supernet.of_networks)
    config, given = with_enqueued(config, begun, supernet)
    run = make_run(folder, config, supernet, device, storage, kept=by_itself and begun is not None, own=own)
    run = replace(run, beside=beside, study_name=study)
    if config.verify_on_device is not None:
        setups_at_hand(device, supernet.precisions, config.verify_on_device)
    check_feasible(run.problem, run.where)
    check_enqueued(config, run.costs, given)
    if beside is not None:
        return run
    if by_itself and run.prior is not None:
        say(begins_with(str(config.predictor), supernet))
    if (asked := run.predictor or run.prior) is not None:
        check_choices(asked, supernet.of_networks.space)
        if run.outside is not None:
            say(run.outside)
    if run.measures:
        run.accuracy.load()
        for line in run.accuracy.images():
            say(line)
    if storage is not None:
        studies.open_storage(storage)
    return run


def check_folder(folder: Path, config: RunConfig, file: str = CONFIG, what: str = "run") -> None:
    """Raises InputError for a folder that holds ``what`` of another config, in ``file``, or something else."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; choose another folder with --out")
    if (folder / file).exists():
        changed = differences(documents.read(folder / file, RunConfig), config)
        if changed:
            raise InputError(
                f"{folder} holds a {what} of another config: {'; '.join(changed)}. "
                "Choose another folder with --out, or remove this one"
            )
    elif folder.exists() and any(entry.name != studies.LOCK for entry in folder.iterdir()):
        raise InputError(f"{folder} is not empty and not a {what}; choose another folder with --out")


def write_down(run: Run) -> None:
    """What the run's folder lacks of config, device and place of the study; a kill in between does no harm."""
    check_folder(run.folder, run.config)
    if not (run.folder / CONFIG).exists():
        documents.write_text(run.folder / CONFIG, to_yaml(run.config))
    if run.device is not None and not (run.folder / DEVICE).exists():
        write_device(run.device, run.folder / DEVICE)
    kept = run.predictor or run.prior
    if kept is not None and not (run.folder / PREDICTOR).exists():
        predictors.write_predictor(kept, run.folder / PREDICTOR)
    if not (run.folder / studies.PLACE).exists():
        place = studies.new_place(run.folder, run.storage, run.study_name)
        documents.write_text(run.folder / studies.PLACE, to_yaml(place))


def open_run(
    folder: Path,
    storage: str | None = None,
    own: Own | None = None,
    supernet: str | None = None,
    data: str | None = None,
    beside: Run | None = None,
) -> Run:
    """A run that exists; ``supernet`` and ``data`` say where these are now, if not where its config has them.

    What ``beside``, a run for another device, has opened is not opened again. Raises InputError for a folder that is no run.
    """
    if (folder / FLEET).is_file():
        raise InputError(
            f"{folder} is a search for several devices, not a run: each device has a run in a folder of its name there; "
            "give one of these"
        )
    if not (folder / CONFIG).is_file():
        from supernet.bundles.bundle_card import CARD

        told = f"is a bundle, by its {CARD}, and not a run" if (folder / CARD).is_file() else "is not a run"
        raise InputError(f"{folder} {told}: it has no {CONFIG}; oncefit search writes one")
    config = documents.read(folder / CONFIG, RunConfig)
    if data is not None:
        from supernet.images.data import check_images_are_there

        check_images_are_there(
            data
        )  # before it is written down, as the data of a run that is made of this one
        data = documents.from_folder(Path(), data)
    given = {key: value for key, value in (("supernet", supernet), ("data", data)) if value is not None}
    config = config.model_copy(update=given)
    network = supernet_of(config, own) if beside is None else beside.supernet
    device = (
        open_device(str(folder / DEVICE), network, lambda _: None) if (folder / DEVICE).exists() else None
    )
    made = make_run(folder, config, network, device, storage, kept=True, own=own)
    return replace(made, beside=beside)


def supernet_of(config: RunConfig, own: Own | None) -> Supernet:
    """The supernet of a config's name, or the caller's, with the choices that the config leaves."""
    if not is_given(config.supernet):
        return open_supernet(config.supernet).restricted(config.space).at_precisions(config.precision)
    if own is None or own.supernet is None:
        raise InputError(
            f"the supernet of this run was {config.supernet}, and it is not here; give it again: supernet=..."
        )
    return own.supernet.restricted(config.space).at_precisions(config.precision)
