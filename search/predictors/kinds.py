"""Kinds of predictors by name: a new one is a module with ``from_tensors(card, tensors)`` and one line here."""

from __future__ import annotations

from collections.abc import Mapping

KINDS: Mapping[str, str] = {
    "mlp": "search.predictors.mlp:from_tensors",
    "saturating": "search.predictors.saturating:from_tensors",
}
