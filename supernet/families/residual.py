"""Supernets of residual blocks that were trained as one network: their YAML has every block as it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from supernet import documents
from supernet.amounts import Count, Few, Stride
from supernet.archs.arch import Arch
from supernet.bounds import FREE_RESOLUTIONS, MOST_LAYERS
from supernet.errors import InputError
from supernet.families.catalog import Family, label_names
from supernet.networks import residual_spec
from supernet.networks.residual_spec import BlockSpec, HeadSpec, ResidualSpec, StageSpec, StemSpec

if TYPE_CHECKING:
    from supernet.networks.residual_networks import ElasticResidualNet, ResidualNet

Activation = Literal["relu", "relu6", "h_swish"]
ShareKept = Annotated[float, Field(gt=0, le=1)]


class BlockKeys(documents.Document):
    inner: Count
    kernel: Few = 3
    stride: Stride = 1
    act: Activation = "relu"
    squeeze: Count | None = None
    expands: bool = True


class ResidualStageKeys(documents.Document):
    width: Count
    blocks: Annotated[tuple[BlockKeys, ...], Field(min_length=1, max_length=MOST_LAYERS)]


class StemKeys(documents.Document):
    width: Count
    kernel: Few = 3
    stride: Stride = 2
    act: Activation = "relu"
    pool: bool = False


class HeadKeys(documents.Document):
    width: Count
    act: Activation
    mix: Count | None = None


class BatchNormKeys(documents.Document):
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-5
    momentum: Annotated[float, Field(gt=0, le=1)] = 0.1


class NetworkKeys(documents.Document):
    """``blocks`` is what they are made of; ``expands`` are the shares of inner channels that a subnet may keep."""

    blocks: Literal["basic", "bottleneck", "inverted"]
    classes: str | Annotated[tuple[str, ...], Field(min_length=2)]
    in_channels: Count = 3
    resolutions: Annotated[tuple[Count, ...], Field(min_length=1, max_length=MOST_LAYERS)]
    expands: Annotated[tuple[ShareKept, ...], Field(min_length=1, max_length=MOST_LAYERS)]
    stem: StemKeys
    stages: Annotated[tuple[ResidualStageKeys, ...], Field(min_length=1, max_length=MOST_LAYERS)]
    head: HeadKeys | None = None
    norm: BatchNormKeys = BatchNormKeys()


def parse(name: str, network: Mapping[str, Any], where: str) -> Family:
    """The family of the ``network`` key of a supernet's YAML."""
    keys = documents.check(dict(network), NetworkKeys, f"{where}: network")
    classes = label_names(keys.classes)
    spec = spec_of(name, keys, len(classes))
    check_spec(spec, f"{where}: network")
    return Family(
        classes,
        residual_spec.space(spec),
        residual_spec.segments(spec),
        partial(elastic, spec),
        partial(static, spec),
    )


def spec_of(name: str, keys: NetworkKeys, classes: int) -> ResidualSpec:
    least, greatest = FREE_RESOLUTIONS
    return ResidualSpec(
        name=name,
        kind=keys.blocks,
        classes=classes,
        in_channels=keys.in_channels,
        resolutions=keys.resolutions,
        free_resolutions=(min(least, *keys.resolutions), max(greatest, *keys.resolutions)),
        expands=keys.expands,
        stem=StemSpec(**keys.stem.model_dump()),
        stages=tuple(
            StageSpec(stage.width, tuple(BlockSpec(**block.model_dump()) for block in stage.blocks))
            for stage in keys.stages
        ),
        head=HeadSpec(**keys.head.model_dump()) if keys.head else None,
        norm_eps=keys.norm.eps,
        norm_momentum=keys.norm.momentum,
    )


def check_spec(spec: ResidualSpec, where: str) -> None:
    """Raises InputError for blocks that cannot stand where they stand."""
    if max(spec.expands) != 1:
        raise InputError(
            f"{where}: expands: got {list(spec.expands)}; the largest is 1.0, all channels that were trained"
        )
    whole = residual_spec.space(spec).largest().values
    for s, b in residual_spec.positions(spec):
        block = residual_spec.block(spec, s, b, whole)
        here, trained = f"{where}: stages.{s - 1}.blocks.{b - 1}", block.trained
        if b > 1 and not block.keeps_shape:
            raise InputError(
                f"{here}: a block that may be skipped leaves the shape as it is, but has stride {trained.stride}; "
                "begin a new stage with it"
            )
        if spec.kind != residual_spec.INVERTED and (trained.squeeze or not trained.expands):
            raise InputError(f"{here}: squeeze and expands are of inverted blocks, and these are {spec.kind}")
        if not trained.expands and trained.inner != block.in_channels:
            raise InputError(
                f"{here}: what expands nothing has the {block.in_channels} channels that come in as inner ones, "
                f"got {trained.inner}"
            )
        if trained.kernel % 2 == 0:
            raise InputError(f"{here}: kernel: got {trained.kernel}; an odd number is possible")


def elastic(spec: ResidualSpec) -> ElasticResidualNet:
    from supernet.networks.residual_networks import ElasticResidualNet

    return ElasticResidualNet(spec)


def static(spec: ResidualSpec, arch: Arch) -> ResidualNet:
    """The static network of an arch, with untrained weights."""
    from supernet.networks.residual_networks import ResidualNet

    return ResidualNet(spec, arch.values)
