"""What a worker of a Dask cluster does for a search: it measures an arch, asked for and answered in JSON.

The first question opens supernet and images, which stay open. A worker measures one arch at a time, since torch's threads
and the open network are those of its process.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from search.runs.config import RunConfig
from search.runs.measuring import MeasuredAccuracy
from search.runs.opening import supernet_of
from search.runs.racing import Raced, Rival, packed, unpacked
from supernet.accuracy import Accuracy
from supernet.archs.arch import Arch
from supernet.errors import InputError

if TYPE_CHECKING:
    from search.runs.run import Run

MEASURED_BY = ("supernet", "space", "precision", "data")
"""What of a config decides how an arch is measured."""
REFUSAL = "refused"
ONE_AT_A_TIME = threading.Lock()

MeasuredOrRaced = tuple[Accuracy, str] | Raced


def task() -> Callable[[str], str]:
    """What is sent to the cluster. It is of no module, so that it is sent as it is, and a scheduler needs no oncefit."""

    def answer(request: str) -> str:
        import json

        try:
            from search.runs.cluster_task import answered
        except ImportError as error:
            why = (
                f"oncefit cannot be imported there ({error}); install it where the workers run, as it is here"
            )
            return json.dumps({"refused": why})
        return answered(request)

    return answer


def question(run: Run) -> dict[str, Any]:
    """What a worker must know, and have, to measure for a run."""
    config = run.config.model_copy(update={"data": run.config.data or run.supernet.data})
    return {
        "config": config.model_dump(mode="json", include=set(MEASURED_BY)),
        "identity": identity(run.accuracy),
    }


def identity(accuracy: MeasuredAccuracy) -> dict[str, str]:
    """What a measured accuracy is of."""
    return {
        "network": accuracy.supernet.fingerprint,
        "weights": str(accuracy.supernet.weights_sha256),
        "preprocessing": accuracy.supernet.preprocessing.told,
        "images": accuracy.data.sha256,
    }


def asking(of: Mapping[str, Any], arch: Arch | None, rival: Rival | None, accuracy: str) -> str:
    """A request; without an arch only whether the worker could."""
    told = None if rival is None else {**asdict(rival), "hits": packed(rival.hits)}
    choices = None if arch is None else dict(arch.choices)
    return json.dumps({"of": of, "arch": choices, "rival": told, "accuracy": accuracy})


def answered(request: str) -> str:
    """What was measured here; or why it cannot be, as a refusal."""
    asked = json.loads(request)
    try:
        with ONE_AT_A_TIME:
            accuracy = opened(json.dumps(asked["of"], sort_keys=True))
            if asked["arch"] is None:
                return json.dumps({})
            rival = rival_told(asked["rival"], len(accuracy.data.validation))
            found = accuracy.race(accuracy.supernet.space.arch(asked["arch"]), rival, asked["accuracy"])
    except InputError as error:
        return json.dumps({REFUSAL: str(error)})
    if isinstance(found, Raced):
        return json.dumps({"raced": asdict(found)})
    return json.dumps({"accuracy": asdict(found[0]), "hits": found[1]})


def understood(answer: Mapping[str, Any]) -> MeasuredOrRaced:
    """What an answer says that is no refusal."""
    if "raced" in answer:
        return Raced(**answer["raced"])
    return Accuracy(**answer["accuracy"]), answer["hits"]


def rival_told(told: Mapping[str, Any] | None, images: int) -> Rival | None:
    return None if told is None else Rival(told["arch_id"], told["accuracy"], unpacked(told["hits"], images))


@lru_cache(maxsize=1)
def opened(of: str) -> MeasuredAccuracy:
    """Supernet and images of a search as they are here. Raises InputError where they are missing, or others."""
    told = json.loads(of)
    config = RunConfig.model_validate_json(json.dumps(told["config"]))
    accuracy = MeasuredAccuracy(supernet_of(config, None), config.data)
    accuracy.load()
    here = identity(accuracy)
    if differs := [
        f"{key} {here[key]} (the search: {known})"
        for key, known in told["identity"].items()
        if known != here[key]
    ]:
        raise InputError(
            f"it would measure with other files than the search: {', '.join(differs)}; give it the same ones, where the "
            "config has them"
        )
    return accuracy
