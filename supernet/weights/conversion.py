"""Checkpoints of others, read without running what is in them, as weights of our networks."""

from __future__ import annotations

import re
import warnings
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from supernet.errors import InputError, some
from supernet.weights.checkpoint_states import ChosenState, State, choose_state, states_in
from supernet.weights.checkpoints import misfit

WRAPPERS = ("module.", "_orig_mod.", "net.", "model.")
"""What stands before every name where a network was saved within another one: by DataParallel, torch.compile, us."""
COUNTER = "num_batches_tracked"
"""Batches that a batch norm has seen, which nothing here reads; checkpoints before PyTorch 0.4.1 lack it."""


def load_checkpoint(net: nn.Module, path: Path, called: str, key: str | None = None) -> ChosenState:
    """Load a checkpoint into ``net``: safetensors, or torch's format, old key names of ``ofa`` included.

    Of several state dicts in it the one at ``key`` is taken, else see :func:`~supernet.weights.checkpoint_states.choose`.
    Errors name it as it is ``called``. Raises InputError for a file that is no checkpoint or would
    run code, and, naming the tensor, for one that lacks a tensor of ``net``, has one too many, or
    has one of another shape.
    """
    inner = getattr(net, "net", net)  # one of ofa's own networks, whose loader knows the old names
    own = {name.partition(".")[0] for name in inner.state_dict()}
    loaded = read_file(path, called)
    found = states_in(loaded, own)
    if not found:
        raise no_tensors(loaded, called)

    def check(state: State) -> None:
        check_finite(state, called)
        check_fits(inner, state, called)

    choice = choose_state(found, key, called, check)
    inner.load_state_dict(choice.taken.state)
    return choice


def read_tensors(path: Path, called: str) -> State:
    """The tensors in a file, by name, without what stands before every name.

    For a network that is not known yet. Raises InputError for anything but one state dict, bare or in a mapping.
    """
    loaded = read_file(path, called)
    found = states_in(loaded, ())
    if not found:
        raise no_tensors(loaded, called)
    if len(found) > 1:
        raise InputError(
            f"{called} holds tensors more than once: under {some(one.key for one in found)}; save those that are "
            "meant alone with torch.save"
        )
    check_finite(found[0].state, called)
    return plain_names(found[0].state)


def read_file(path: Path, called: str) -> object:
    """What a file holds; nothing of it is run. Raises InputError where it is no checkpoint."""
    try:
        return load_file(path) if is_safetensors(path) else load_plain(path)
    except UnpicklingError as error:
        raise unpickled(called, error) from error
    except OSError as error:
        raise InputError(f"cannot read {called}: {error.strerror or error}") from error
    except Exception as error:  # whatever a parser says of bytes that it does not understand
        said = in_a_line(error).partition(". ")[0] or type(error).__name__
        raise InputError(f"{called} is not a checkpoint, or is damaged: {said}") from error


def check_finite(state: State, called: str) -> None:
    if broken := [name for name, value in state.items() if not value.isfinite().all()]:
        raise InputError(f"{called} is damaged: {broken[0]} holds values that are not finite")


def no_tensors(loaded: object, called: str) -> InputError:
    """Why a file holds no state dict."""
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else loaded
    if not isinstance(state, Mapping):
        return no_state_dict(called, f"holds {type(state).__name__}")
    if not state:
        return no_state_dict(called, "holds no tensors")
    others = [name for name, value in state.items() if not isinstance(value, Tensor)] or list(state)
    return no_state_dict(called, f"holds {others[0]}, which is {type(state[others[0]]).__name__}")


def no_state_dict(called: str, why: str) -> InputError:
    return InputError(
        f"{called} {why}, where only tensors by name may be; save the network's state_dict() alone with torch.save"
    )


def load_plain(path: Path) -> object:
    """What torch's reader of plain weights finds; it builds nothing but tensors and collections.

    And the options of a command line, which timm saves beside the weights: a Namespace holds attributes only.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on pickles that torch did not write, which fail then
        with torch.serialization.safe_globals([Namespace]):
            return torch.load(path, "cpu", weights_only=True)


def is_safetensors(path: Path) -> bool:
    """Such a file begins with the length of its JSON header in eight bytes; zips and pickles do not."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def unpickled(called: str, error: UnpicklingError) -> InputError:
    """What torch's reader of plain weights stumbled over, without its advice to do without it."""
    asked = re.search(r"GLOBAL (\S+)", str(error))
    if asked is None:
        return InputError(
            f"{called} is not a checkpoint of plain weights, or is damaged; nothing of it was run"
        )
    return InputError(
        f"{called} is refused: it asks for {asked[1]}, and loading that could run code. Nothing of it was run. "
        "Take the checkpoint from another source, or save its state_dict() alone with torch.save"
    )


def in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def plain_names(state: State) -> State:
    """Without what stands before every name."""
    found = state
    for prefix in WRAPPERS:
        if found and all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found


@torch.no_grad()
def check_fits(net: nn.Module, state: Mapping[str, Tensor], called: str) -> None:
    """Raises InputError unless every tensor of ``net`` gets one of ``state``, and every one is used.

    ``ofa``'s own loaders keep the initial value of what a checkpoint lacks and say nothing. So a
    rehearsal: every tensor is filled with its number, and the numbers show where each one went.
    """
    names = list(state)
    ours = net.state_dict()
    for value in ours.values():
        value.zero_()
    try:
        net.load_state_dict({name: torch.full(state[name].shape, i) for i, name in enumerate(names, 1)})
    except (AssertionError, ValueError, RuntimeError) as error:  # an unknown name, in ofa's words or torch's
        raise InputError(f"{called} is a checkpoint of another network: {explained(error)}") from error
    number = {name: int(value.flatten()[0]) for name, value in ours.items()}
    missing = [name for name, i in number.items() if not i and not name.endswith(COUNTER)]
    if missing:
        raise InputError(
            f"{called} lacks {missing[0]}"
            + (f" and {len(missing) - 1} more of the {len(ours)} tensors" if len(missing) > 1 else "")
            + f" of {type(net).__name__}"
        )
    unused = [name for i, name in enumerate(names, 1) if i not in set(number.values())]
    if unused:
        raise InputError(f"{called} holds a tensor twice: as {unused[0]} and under another name")


def explained(error: Exception) -> str:
    if isinstance(error, RuntimeError):
        return misfit(error)
    return f"it holds {error}, which is not in that supernet"
