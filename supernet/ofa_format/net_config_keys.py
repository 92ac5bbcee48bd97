"""The keys of ``ofa``'s net.config files: what each object holds, and the values that are counted.

Defaults of keys that a file leaves out are those of ``ofa``'s constructors. A value that would
change a network in a way that is not counted here is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, ConfigDict, Field

from supernet import documents


def odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError("a kernel must be odd, so that padding keeps the size")
    return kernel


MOST = 1_000_000
"""Channels, pixels and the like beyond it are a slip of the pen."""
Count = Annotated[int, Field(gt=0, le=MOST)]
Kernel = Annotated[Count, AfterValidator(odd)]
Dropout = Annotated[float, Field(ge=0, le=1)]
"""It costs nothing: at inference nothing is dropped."""
Act = Literal["relu", "relu6", "h_swish", "h_sigmoid", "sigmoid", "tanh"]
NoAct = Literal["none", None]
Ratio = Annotated[float, Field(gt=0, le=MOST)] | None
Object = dict[str, Any]


class Keys(documents.Document):
    """An object of a net.config. Values are not converted: ``"3"`` is no number of channels."""

    model_config = ConfigDict(strict=True)
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
    dilation: Literal[1] = 1
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

    in_channels: Count | list[Count]
    out_channels: Count | list[Count]
    use_bn: Literal[False] = False
    act_func: NoAct = None
    dropout_rate: Literal[0] = 0
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
    kernel_size: Literal[3] = 3
    stride: Count = 1
    expand_ratio: Ratio = 0.25
    mid_channels: Count | None = None
    act_func: Literal["relu"] = "relu"
    groups: Literal[1] = 1
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
