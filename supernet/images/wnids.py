"""ImageNet's classes by the ids of their WordNet synsets, which its class folders are called by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from supernet import documents
from supernet.families.catalog import LabelFile


def class_of_wnid(name: str) -> str | None:
    """``tench`` for ``n01440764``; None for what is no wnid of one of the thousand classes."""
    return names_by_wnid().get(name) if re.fullmatch(r"n[0-9]{8}", name) else None


@cache
def names_by_wnid() -> Mapping[str, str]:
    found = documents.read(documents.find("labels", "imagenet"), LabelFile)
    return dict(zip(found.wnids, found.names, strict=True))
