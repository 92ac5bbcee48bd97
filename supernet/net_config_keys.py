"""The keys of ``ofa``'s net.config files: what each object holds, and the values that are counted.

Defaults of keys that a file leaves out are those of ``ofa``'s constructors. A value that would
change a network in a way that is not counted here is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, Field

from supernet import documents
from supernet.amounts import Count, NoBool
from supernet.bounds import MOST


def odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError("a kernel must be odd, so that padding keeps the size")
    return kernel


Counts = Annotated[list[Count], Field(min_length=1)]
Kernel = Annotated[Count, AfterValidator(odd)]
Dropout = Annotated[float, Field(ge=0, le=1)]
"""It costs nothing: at inference nothing is dropped."""
Act = Literal["relu", "relu6", "h_swish", "h_sigmoid", "sigmoid", "tanh"]
NoAct = Literal["none", None]
Ratio = Annotated[float, Field(gt=0, le=MOST)] | None
Object = dict[str, Any]


class Keys(documents.Document):
    """An object of a net.config."""

    name: str


class NormKeys(documents.Document):
    """Of all batch norms; group norm and weight standardisation, which ``ofa`` writes here too, are not known."""

    momentum: float
    eps: float
    gn_channel_per_group: None = None
    ws_eps: None = None


class ConvKeys(Keys):
    in_channels: Count
    out_channels: Count
    kernel_size: Kernel = 3
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
    in_features: Count
    out_features: Count
    bias: bool = True
    use_bn: bool = False
    act_func: Act | NoAct = None
    dropout_rate: Dropout = 0
    ops_order: Literal["weight_bn_act"] = "weight_bn_act"


class IdentityKeys(Keys):
    """A shortcut; old files give its channels in a list."""

    in_channels: Count | Counts
    out_channels: Count | Counts
    use_bn: Literal[False] = False
    act_func: NoAct = None
    dropout_rate: Annotated[Literal[0], NoBool] = 0
    ops_order: Literal["weight_bn_act"] = "weight_bn_act"


class InvertedKeys(Keys):
    in_channels: Count
    out_channels: Count
    kernel_size: Kernel = 3
    stride: Count = 1
    expand_ratio: Ratio = 6
    mid_channels: Count | None = None
    act_func: Act = "relu6"
    use_se: bool = False
    groups: Count | None = None


class ResidualKeys(Keys):
    """``conv`` is called ``mobile_inverted_conv`` in old files."""

    conv: Object | None = Field(validation_alias=AliasChoices("conv", "mobile_inverted_conv"))
    shortcut: Object | None


class BottleneckKeys(Keys):
    in_channels: Count
    out_channels: Count
    kernel_size: Annotated[Literal[3], NoBool] = 3
    stride: Count = 1
    expand_ratio: Ratio = 0.25
    mid_channels: Count | None = None
    act_func: Literal["relu"] = "relu"
    groups: Annotated[Literal[1], NoBool] = 1
    downsample_mode: Literal["avgpool_conv", "conv"] = "avgpool_conv"


class MobileNetV3Keys(Keys):
    bn: NormKeys | None = None
    first_conv: Object
    blocks: list[Object]
    final_expand_layer: Object
    feature_mix_layer: Object
    classifier: Object


class ProxylessKeys(Keys):
    bn: NormKeys | None = None
    first_conv: Object
    blocks: list[Object]
    feature_mix_layer: Object | None
    classifier: Object


class ResNetKeys(Keys):
    bn: NormKeys | None = None
    input_stem: list[Object] = Field(min_length=1)
    blocks: list[Object]
    classifier: Object
