"""The keys of net.config files: what each object holds, and the values that are counted.

They are those of ``ofa``, and what MCUNet and NAT add. Defaults of keys that a file leaves out are
those of ``ofa``'s constructors. A value that would change a network in a way that is not counted
here is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field

from supernet import documents
from supernet.amounts import Count, NoBool
from supernet.bounds import MOST


def odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError("a kernel must be odd, so that padding keeps the size")
    return kernel


def width_alone(width: object) -> object:
    """A width in a list of one, as files of subnets of a supernet have it."""
    if not isinstance(width, list):
        return width
    if len(width) != 1:
        raise ValueError("a list of widths is of a layer of a supernet; a subnet has one")
    return width[0]


Width = Annotated[Count, BeforeValidator(width_alone)]
KernelSize = Annotated[Count, AfterValidator(odd)]
Dropout = Annotated[float, Field(ge=0, le=1)]
"""It costs nothing: at inference nothing is dropped."""
Act = Literal["relu", "relu6", "h_swish", "h_sigmoid", "sigmoid", "tanh", "swish", "mish"]
NoAct = Literal["none", None]
Ratio = Annotated[float, Field(gt=0, le=MOST)] | None
Object = dict[str, Any]


class Keys(documents.Document):
    """An object of a net.config."""

    name: str


class NormKeys(documents.Document):
    """Of all batch norms; group norm and weight standardisation, which ``ofa`` writes here too, are not known."""

    momentum: float | None = None
    eps: float | None = None
    gn_channel_per_group: None = None
    ws_eps: None = None


class ConvKeys(Keys):
    in_channels: Width
    out_channels: Width
    kernel_size: KernelSize = 3
    stride: Count = 1
    dilation: Annotated[Literal[1], NoBool] = 1
    groups: Count = 1
    bias: bool = False
    has_shuffle: Literal[False] = False
    use_se: Literal[False] = False
    use_bn: bool = True
    act_func: Act | NoAct = "relu"
    dropout_rate: Dropout = 0
    ops_order: Literal["weight_bn_act"] = "weight_bn_act"


class LinearKeys(Keys):
    in_features: Width
    out_features: Width
    bias: bool = True
    use_bn: bool = False
    act_func: Act | NoAct = None
    dropout_rate: Dropout = 0
    ops_order: Literal["weight_bn_act"] = "weight_bn_act"


class IdentityKeys(Keys):
    """A shortcut."""

    in_channels: Width
    out_channels: Width
    use_bn: Literal[False] = False
    act_func: NoAct = None
    dropout_rate: Annotated[Literal[0], NoBool] = 0
    ops_order: Literal["weight_bn_act"] = "weight_bn_act"


class InvertedKeys(Keys):
    in_channels: Width
    out_channels: Width
    kernel_size: KernelSize = 3
    stride: Count = 1
    expand_ratio: Ratio = 6
    mid_channels: Width | None = None
    act_func: Act = "relu6"
    use_se: bool = False
    groups: Count | None = None


class ResidualKeys(Keys):
    """``conv`` is called ``mobile_inverted_conv`` in old files; ``drop_connect_rate`` is of training."""

    conv: Object | None = Field(validation_alias=AliasChoices("conv", "mobile_inverted_conv"))
    shortcut: Object | None
    drop_connect_rate: Dropout = 0


class BottleneckKeys(Keys):
    in_channels: Width
    out_channels: Width
    kernel_size: Annotated[Literal[3], NoBool] = 3
    stride: Count = 1
    expand_ratio: Ratio = 0.25
    mid_channels: Width | None = None
    act_func: Literal["relu"] = "relu"
    groups: Annotated[Literal[1], NoBool] = 1
    downsample_mode: Literal["avgpool_conv", "conv"] = "avgpool_conv"


class NetConfigKeys(Keys):
    """Of all networks; ``resolution``, the side of the images, is MCUNet's, ``url``, of weights, NAT's."""

    bn: NormKeys | None = None
    resolution: Count | None = None
    url: str | None = None


class MobileNetV3Keys(NetConfigKeys):
    first_conv: Object
    blocks: list[Object]
    final_expand_layer: Object
    feature_mix_layer: Object
    classifier: Object


class ProxylessKeys(NetConfigKeys):
    first_conv: Object
    blocks: list[Object]
    feature_mix_layer: Object | None = None
    classifier: Object


class ResNetKeys(NetConfigKeys):
    input_stem: list[Object] = Field(min_length=1)
    blocks: list[Object]
    classifier: Object
