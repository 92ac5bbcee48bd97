"""Archs as settings of ``ofa``'s own supernets, and which these are; ``ofa``'s classes say what is right."""

from __future__ import annotations

from supernet.ofa_format.settings import settings_of_arch as settings

__all__ = ["OFA_SUPERNETS", "settings"]

OFA_SUPERNETS = ("ofa_mbv3_w1.0", "ofa_mbv3_w1.2", "ofa_proxyless_w1.3", "ofa_resnet50")
