"""What is said of a fine-tuned bundle: what it costs, and its accuracy before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cost_models.protocol import Target
from cost_models.registry import build
from search.reports.export import file_sizes
from search.runs.opening import free_costs

if TYPE_CHECKING:
    from supernet.archs.arch import Arch
    from supernet.bundles.bundle import Bundle
    from supernet.families.catalog import Supernet


def compute_costs(supernet: Supernet, arch: Arch) -> dict[str, float]:
    """What is known of a subnet without a device."""
    return {name: build(name, Target(supernet, None))(arch) for name in free_costs(supernet, None)}


def tuned_summary(bundle: Bundle) -> dict[str, Any]:
    """The figures of a bundle that was fine-tuned, for people and programs."""
    card = bundle.card
    assert card.finetuning is not None
    about = card.finetuning.model_dump(mode="json", exclude_none=True)
    return {
        "arch_id": card.arch_id,
        "folder": str(bundle.folder),
        "calibrated": card.calibrated,
        "classes": list(card.classes),
        **card.figures.model_dump(mode="json", exclude_none=True),
        "finetuning": about,
        **({"formats_gone": card.formats_gone} if card.formats_gone else {}),
        "size_bytes": file_sizes(bundle.folder),
    }
