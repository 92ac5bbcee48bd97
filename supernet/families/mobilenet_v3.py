"""Supernets whose stages are given in YAML: MobileNetV3 blocks on ``ofa``'s elastic modules."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from supernet import documents
from supernet.amounts import Count, Few, Stride
from supernet.bounds import MOST_LAYERS
from supernet.families.catalog import Family, label_names
from supernet.families.from_description import described_family
from supernet.networks import inverted_residuals

if TYPE_CHECKING:
    from supernet.networks.inverted_residual_networks import ElasticNet

Choices = Annotated[tuple[Few, ...], Field(min_length=1, max_length=MOST_LAYERS)]


class StageKeys(documents.Document):
    width: Count
    stride: Stride
    act: Literal["relu", "h_swish"]
    se: bool
    depths: Choices
    kernels: Choices
    expands: Choices


class NetworkKeys(documents.Document):
    classes: str | Annotated[tuple[str, ...], Field(min_length=2)]
    in_channels: Count
    resolutions: Annotated[tuple[Count, ...], Field(min_length=1, max_length=MOST_LAYERS)]
    stem_width: Count
    stem_stride: Stride
    first_width: Count
    first_stride: Stride
    head_width: Count
    stages: Annotated[tuple[StageKeys, ...], Field(min_length=1, max_length=MOST_LAYERS)]


def parse(name: str, network: Mapping[str, Any], where: str) -> Family:
    """The family of the ``network`` key of a supernet's YAML."""
    keys = documents.check(dict(network), NetworkKeys, f"{where}: network")
    stages = tuple(inverted_residuals.Stage(**stage.model_dump()) for stage in keys.stages)
    rest = keys.model_dump(exclude={"stages", "classes"})
    classes = label_names(keys.classes)
    spec = inverted_residuals.MobileNetV3Spec(name=name, classes=len(classes), stages=stages, **rest)
    return described_family(spec, classes, partial(elastic, spec))


def elastic(spec: inverted_residuals.MobileNetV3Spec) -> ElasticNet:
    from supernet.networks.inverted_residual_networks import ElasticNet

    return ElasticNet(spec)
