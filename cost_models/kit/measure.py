#!/usr/bin/env python3
"""Measure how long this device takes for each model of this kit, and write one JSON file, the result.

    python measure.py

It needs Python 3.8 or newer, numpy and onnxruntime, and nothing else; no network. It checks the files of the kit,
makes the weights that all models share (pseudo-random numbers, always the same), and times every model in turns, round
after round, so that a device that slows down slows all of them. One model is timed again and again in between as a
reference: it shows how far the device drifts. Stop it whenever you like: it keeps every finished round, and the same
command goes on from there.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import importlib
import json
import os
import platform
import random
import statistics
import sys
import time
from typing import Any, Callable  # noqa: UP035

HERE = os.path.dirname(os.path.abspath(__file__))
MANIFEST = "manifest.json"
RESULT = "result.json"
RESULT_KIND = "oncefit kit result"
FORMAT = 1
CPU = "CPUExecutionProvider"
TOLD_S = 0.5
"""Seconds between two lines of progress, at least."""


class Refused(Exception):
    """What is wrong, and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 when the result is there, 2 for what is refused, 130 when stopped."""
    options = parsed(arguments)
    try:
        measure(options)
    except Refused as error:
        print(f"measure.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on after the last finished round", file=sys.stderr)
        return 130
    return 0


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Time the models of this kit on this device; writes one JSON file."
    )
    parser.add_argument(
        "--out", default=os.path.join(HERE, RESULT), help=f"the file to write ({RESULT} beside this)"
    )
    parser.add_argument("--threads", type=int, help="threads, in place of those the kit says")
    parser.add_argument("--provider", default=CPU, help=f"ONNX Runtime's execution provider ({CPU})")
    parser.add_argument("--again", action="store_true", help="begin anew, and lose the result that is there")
    parser.add_argument(
        "--save-memory", action="store_true", help="hold one model in memory at a time; slower"
    )
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> None:
    np, ort = needed("numpy"), needed("onnxruntime")
    manifest = read_manifest()
    check_files(manifest["models"])
    settings = settings_of(manifest, options, ort)
    result = begun(manifest, settings, machine(np, ort), options)
    if result["finished"]:
        raise Refused(f"{options.out} is finished already; --again measures anew")
    make_weights(manifest["weights"], np)
    runners = Runners(manifest, settings, np, ort, options.save_memory)
    runners.check()
    done = len(result["rounds"])
    rounds = settings["rounds"]
    if done:
        print(f"going on after round {done} of {rounds}")
    began = time.perf_counter()
    for number in range(done, rounds):
        result["rounds"].append(one_round(number, rounds, done, began, manifest, settings, runners))
        result["finished"] = number + 1 == rounds
        result["ended"] = now()
        write_json(options.out, sealed(result))
    print(f"done: {options.out} is what to send back, for oncefit profile import")


# -- what there is ------------------------------------------------------------


def needed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Refused(f"{name} is needed ({error}): python -m pip install numpy onnxruntime") from error


def read_manifest() -> dict[str, Any]:
    path = os.path.join(HERE, MANIFEST)
    manifest = read_json(path)
    if not isinstance(manifest, dict) or "models" not in manifest:
        raise Refused(f"{path} is not the manifest of a kit; unpack the kit again")
    if manifest.get("seal") != seal_of(manifest):
        raise Refused(f"{path} is damaged or was changed; unpack the kit again")
    return manifest


def check_files(models: list[dict[str, Any]]) -> None:
    """Every model is there and as it was when the kit was made."""
    for model in models:
        path = os.path.join(HERE, model["file"])
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            raise Refused(f"cannot read {path} ({error.strerror}); unpack the kit again") from error
        if hashlib.sha256(content).hexdigest() != model["sha256"]:
            raise Refused(f"{path} is damaged or was changed; unpack the kit again")


def settings_of(manifest: dict[str, Any], options: argparse.Namespace, ort: Any) -> dict[str, Any]:
    """The kit's settings with what was asked for on this device."""
    settings = dict(manifest["settings"])
    available = ort.get_available_providers()
    if options.provider not in available:
        raise Refused(f"onnxruntime has no {options.provider} here, but {', '.join(available)}")
    settings["provider"] = options.provider
    if options.threads is not None:
        if options.threads < 1:
            raise Refused(f"--threads: got {options.threads}; it is at least 1")
        settings["threads"] = options.threads
    return settings


def machine(np: Any, ort: Any) -> dict[str, Any]:
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count() or 0,
        "machine": platform.machine(),
        "system": platform.platform(),
        "versions": {
            "onnxruntime": ort.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def cpu_name() -> str:
    """The processor as the system names it; ARM's Linux often names the board or only its parts."""
    for path, keys in (
        ("/proc/cpuinfo", ("model name", "Hardware", "Model")),
        ("/proc/device-tree/model", ()),
    ):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        if not keys and text.strip("\0 \n"):
            return text.strip("\0 \n")
        for key in keys:
            for line in text.splitlines():
                if line.partition(":")[0].strip() == key:
                    return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown"


def begun(
    manifest: dict[str, Any], settings: dict[str, Any], device: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any]:
    """The result so far: that of the file, if it is of this kit on this device, or an empty one."""
    empty = {
        "kind": RESULT_KIND,
        "format": FORMAT,
        "finished": False,
        "manifest": manifest,
        "settings": settings,
        "device": device,
        "began": now(),
        "ended": now(),
        "rounds": [],
    }
    if options.again or not os.path.exists(options.out):
        return empty
    found = read_json(options.out)
    if not isinstance(found, dict) or found.get("kind") != RESULT_KIND or found.get("seal") != seal_of(found):
        raise Refused(f"{options.out} is damaged or no result of a kit; move it away, or give --again")
    for key, what in (
        ("manifest", "another kit"),
        ("settings", "other settings"),
        ("device", "another device"),
    ):
        if found[key] != empty[key]:
            raise Refused(f"{options.out} is of {what}; move it away, or give --again")
    return found


def make_weights(wanted: dict[str, Any], np: Any) -> None:
    """The file of weights that all models share, if it is not there.

    They are not zero, since a chip that multiplies zeros draws less power and may run faster, and the same on every
    device, since RandomState is frozen.
    """
    path = os.path.join(HERE, wanted["file"])
    if os.path.exists(path) and file_hash(path) == wanted["sha256"]:
        return
    print(f"making {wanted['file']}, {wanted['bytes'] / 1e6:.0f} MB")
    numbers = np.random.RandomState(wanted["seed"]).random_sample(wanted["bytes"] // 4)
    content = ((numbers - 0.5) * (2 * wanted["bound"])).astype("<f4").tobytes()
    if hashlib.sha256(content).hexdigest() != wanted["sha256"]:
        raise Refused(f"numpy {np.__version__} makes other pseudo-random numbers than the kit expects")
    write_bytes(path, content)


# -- running ------------------------------------------------------------------


class Runners:
    """A function for each model that runs it once; all held in memory, or each opened when it is its turn."""

    def __init__(
        self, manifest: dict[str, Any], settings: dict[str, Any], np: Any, ort: Any, save_memory: bool
    ) -> None:
        self.settings, self.np, self.ort = settings, np, ort
        self.models = {model["id"]: model for model in manifest["models"]}
        self.classes = manifest["classes"]
        self.kept: dict[str, Callable[[], object]] | None = None if save_memory else {}

    def __call__(self, key: str) -> Callable[[], object]:
        if self.kept is None:
            return self.opened(key)[0]
        if key not in self.kept:
            self.kept[key] = self.opened(key)[0]
        return self.kept[key]

    def check(self) -> None:
        """Each model opens and answers finite numbers of the right shape."""
        wanted = (self.settings["batch"], self.classes)
        for place, (key, model) in enumerate(self.models.items(), 1):
            run, answer = self.opened(key)
            if self.kept is not None:
                self.kept[key] = run
            if tuple(answer.shape) != wanted or not self.np.isfinite(answer).all():
                raise Refused(
                    "{} answers wrongly with onnxruntime {}: shape {}, should be {}, and all of it finite".format(
                        model["file"], self.ort.__version__, tuple(answer.shape), wanted
                    )
                )
            told(f"opened {place} of {len(self.models)} models", last=place == len(self.models))

    def opened(self, key: str) -> tuple[Callable[[], object], Any]:
        """A function that runs a model once, and the answer of its first run."""
        model, ort, settings = self.models[key], self.ort, self.settings
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = settings["threads"]
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        providers = [settings["provider"]] + [CPU] * (settings["provider"] != CPU)
        shape = (settings["batch"], model["channels"], model["resolution"], model["resolution"])
        # not standard_normal: its numbers hang on the system's logarithm
        images = (self.np.random.RandomState(0).random_sample(shape) * 2 - 1).astype("float32")
        try:
            session = ort.InferenceSession(os.path.join(HERE, model["file"]), options, providers=providers)
            inputs = {session.get_inputs()[0].name: images}
            answer = session.run(None, inputs)[0]
        except Exception as error:  # onnxruntime's exceptions share no public base
            raise Refused(
                "onnxruntime {} cannot run {}: {}".format(
                    ort.__version__, model["file"], str(error).split("\n")[0]
                )
            ) from error
        if session.get_providers()[0] != settings["provider"]:
            raise Refused(f"{model['file']} does not run on {settings['provider']} here")
        run = session.run
        return (lambda: run(None, inputs)), answer


def one_round(
    number: int,
    rounds: int,
    done: int,
    began: float,
    manifest: dict[str, Any],
    settings: dict[str, Any],
    runners: Runners,
) -> dict[str, Any]:
    """Median milliseconds of every model, in an order of this round; the reference before, between and after."""
    keys = [model["id"] for model in manifest["models"]]
    random.Random(number).shuffle(keys)
    times: dict[str, float] = {}
    reference: list[float] = []
    for place, key in enumerate(keys):
        if place % settings["reference_every"] == 0:
            reference.append(timed(runners(manifest["reference"]), settings))
        times[key] = timed(runners(key), settings)
        share = (number - done + (place + 1) / len(keys)) / (rounds - done)
        left = (time.perf_counter() - began) * (1 - share) / share
        told(
            f"round {number + 1} of {rounds}, model {place + 1} of {len(keys)}, "
            f"about {int(left) // 60}:{int(left) % 60:02d} left",
            last=place + 1 == len(keys),
        )
    reference.append(timed(runners(manifest["reference"]), settings))
    return {"order": keys, "times_ms": {key: times[key] for key in sorted(times)}, "reference_ms": reference}


def timed(run: Callable[[], object], settings: dict[str, Any]) -> float:
    """Median milliseconds of a slice of time, after a warm-up of as much time at most; at least one run."""
    clock, slice_s = time.perf_counter, settings["slice_s"]
    end = clock() + slice_s
    for _ in range(settings["warm_up_runs"]):
        run()
        if clock() >= end:
            break
    times = []
    end = clock() + slice_s
    while True:
        start = clock()
        run()
        stop = clock()
        times.append(stop - start)
        if stop >= end:
            return round(statistics.median(times) * 1e3, 6)


_told = [0.0]


def told(text: str, last: bool = False) -> None:
    """One line that changes on a terminal; elsewhere the last one of a stage."""
    terminal = sys.stdout.isatty()
    if last or (terminal and time.perf_counter() - _told[0] > TOLD_S):
        _told[0] = time.perf_counter()
        print(("\r%-70s" if terminal else "%s") % text, end="\n" if last else "", flush=True)


# -- files --------------------------------------------------------------------


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: UP017


def seal_of(document: dict[str, Any]) -> str:
    """Sha256 of all of a document but its seal: what tells that it was damaged or changed."""
    rest = {key: value for key, value in document.items() if key != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    return dict(document, seal=seal_of(document))


def read_json(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except OSError as error:
        raise Refused(f"cannot read {path} ({error.strerror})") from error
    except ValueError as error:
        raise Refused(f"{path} is damaged: {error}") from error


def write_json(path: str, document: dict[str, Any]) -> None:
    write_bytes(path, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())


def write_bytes(path: str, content: bytes) -> None:
    """Whole or not at all."""
    partial = f"{path}.{os.getpid()}.partial"
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        if os.path.exists(partial):
            os.remove(partial)
        raise Refused(f"cannot write {path} ({error.strerror}); --out names another file") from error


def file_hash(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
