"""The layout of a Hugging Face repository: weights, a config, and a model card, which is checked without a network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from supernet import documents
from supernet.bundles.bundle_card import WEIGHTS, Card, Figures, describe_preprocessing
from supernet.bundles.bundled_programs import NETWORK
from supernet.errors import InputError
from supernet.formats.protocol import ExportFormat, Opened, Reading, ToWrite
from supernet.formats.torch_module import opened_module
from supernet.weights.checkpoints import load_weights, sha256_of

MODEL_SAFETENSORS, CONFIG, MODEL_CARD = "model.safetensors", "config.json", "README.md"
TASK = "image-classification"
USE = """```python
from network import build
from safetensors.torch import load_file

network = build()
network.load_state_dict(load_file("model.safetensors"))
logits = network.eval()(images)  # (n, {channels}, {side}, {side}) float32
```
"""


def write_repository(material: ToWrite, folder: Path) -> None:
    bundle, card = material.bundle, material.bundle.card
    (folder / MODEL_SAFETENSORS).write_bytes((bundle.folder / WEIGHTS).read_bytes())
    if NETWORK in card.files:
        (folder / NETWORK).write_bytes((bundle.folder / NETWORK).read_bytes())
    documents.write_text(
        folder / CONFIG, json.dumps(config_of(material), indent=2, ensure_ascii=False) + "\n"
    )
    own = with_figures_of_weights(card, material.resolution)
    documents.write_text(folder / MODEL_CARD, model_card(own, material))
    check_model_card(folder / MODEL_CARD, own)


def with_figures_of_weights(card: Card, side: int) -> Card:
    """Without the figures that are not of these weights in float32, on images of ``side`` pixels."""
    if card.precision is None and side == card.preprocessing.resolution:
        return card
    return card.model_copy(update={"figures": Figures(predicted={}, measured={})})


def config_of(material: ToWrite) -> dict[str, Any]:
    """``config.json``: what an image classifier of that hub has, and the arch."""
    card = material.bundle.card
    preprocessing = describe_preprocessing(
        material.resolution, material.channels, material.bundle.preprocessing
    )
    return {
        "architectures": ["Network"],
        "model_type": "oncefit",
        "problem_type": "single_label_classification",
        "num_channels": material.channels,
        "image_size": material.resolution,
        "id2label": {str(i): name for i, name in enumerate(card.classes)},
        "label2id": {name: i for i, name in enumerate(card.classes)},
        "preprocessing": preprocessing.model_dump(mode="json", exclude_none=True),
        "supernet": card.supernet.name,
        "arch_id": card.arch_id,
        "arch": material.bundle.arch.to_dict(),
        "torch_dtype": "float32",
    }


def model_card(card: Card, material: ToWrite) -> str:
    """``README.md``: metadata in YAML, then the same for people."""
    side, channels = material.resolution, material.channels
    sections = [
        f"---\n{documents.dump(metadata_of(card))}---\n",
        f"# {card.arch_id} of {card.supernet.name}\n",
        f"An image classifier of {len(card.classes):,} classes: one subnet of the once-for-all supernet "
        f"`{card.supernet.name}`, cut out of it with its weights by oncefit {card.versions['oncefit']}.\n",
        "## Use\n",
        USE.format(channels=channels, side=side)
        if NETWORK in card.files
        else "`config.json` has the arch; oncefit rebuilds the network.\n",
        f"`{CONFIG}` says how an image becomes an input (`preprocessing`) and what the classes are called.\n",
        "## Figures\n",
        figure_rows(card),
    ]
    return "\n".join(sections)


def metadata_of(card: Card) -> dict[str, Any]:
    """The metadata of a model card; results only where they were measured."""
    found: dict[str, Any] = {
        "library_name": "pytorch",
        "pipeline_tag": TASK,
        "tags": ["oncefit", "once-for-all", "neural-architecture-search", "pytorch"],
    }
    report = card.figures.measured.get("report")
    if report is None or card.data is None:
        return found
    name = Path(card.data.name).name  # of a folder, not where it lies
    metrics = [
        {"type": "accuracy", "name": f"top-{k}", "value": round(report[f"top{k}"], 6)}
        for k in (1, 5)
        if f"top{k}" in report
    ]
    result = {
        "task": {"type": TASK},
        "dataset": {"name": name, "type": name, "split": "report"},
        "metrics": metrics,
    }
    return found | {"model-index": [{"name": f"{card.supernet.name}-{card.arch_id}", "results": [result]}]}


def figure_rows(card: Card) -> str:
    """Measured and predicted figures as a table, told apart."""
    report = card.figures.measured.get("report")
    rows = []
    if report is not None:
        rows += [
            (
                f"top-{k}, measured on {report['images']:,} report images",
                f"{100 * report[f'top{k}']:.2f} % (95 % interval {100 * report[f'top{k}_low']:.2f} to {100 * report[f'top{k}_high']:.2f})",
            )
            for k in (1, 5)
        ]
    rows += [
        (f"{name}, predicted", f"{value:.6g}")
        for name, value in card.figures.predicted.items()
        if not name.endswith(("_low", "_high"))
    ]
    if not card.calibrated:
        rows.append(("accuracy", "not measured: batch norms are not calibrated"))
    elif report is None:
        rows.append(("accuracy", "not measured before this was written"))
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows)


def check_model_card(path: Path, card: Card) -> None:
    """Raises InputError where huggingface_hub does not read the card, or reads other figures."""
    from huggingface_hub import ModelCard  # type: ignore[import-not-found, unused-ignore]

    try:
        read = ModelCard.load(path)
    except Exception as error:  # of YAML, or of its own
        raise InputError(f"huggingface_hub does not read {path}: {error}") from error
    results = read.data.eval_results or []
    report = card.figures.measured.get("report")
    if read.data.pipeline_tag != TASK or (report is not None and card.data is not None and not results):
        raise InputError(f"huggingface_hub reads no figures in {path}")


@contextmanager
def opened_repository(reading: Reading) -> Iterator[Opened]:
    """The weights in the network as oncefit knows it: no code of a bundle is run."""
    path = reading.folder / MODEL_SAFETENSORS
    net = reading.bundle.subnet()
    load_weights(net, path, sha256_of(path.read_bytes()))
    with opened_module(net, reading) as found:
        yield found


FORMAT = ExportFormat(
    "hf", f"Hugging Face's layout: weights, {CONFIG}, a model card", MODEL_SAFETENSORS, ("huggingface-hub",),
    write_repository, opened_repository, runtime=("torch",), extra="hf",
)  # fmt: skip
