"""Names of models that a supernet can be made of, free of torch."""

PREFIX = "torchvision:"
MODELS = (
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "wide_resnet50_2",
    "wide_resnet101_2",
)
"""Of torchvision: those whose classes :mod:`supernet.making.model_readers` reads."""
IMAGENET_LABELS = "imagenet"
"""The list of classes of torchvision's own weights."""
INNER_SHARES = (0.5, 0.75, 1.0)
"""Shares of inner channels that a subnet may keep, unless others are asked for."""
SEVENTHS = (4, 5, 6, 7)
"""Of the side that a model was made for: 128, 160, 192 and 224."""


def resolutions_around(side: int) -> tuple[int, ...]:
    """Sides of images that a supernet offers, the model's own as the largest."""
    return tuple(sorted({max(1, round(side * part / SEVENTHS[-1])) for part in SEVENTHS}))
