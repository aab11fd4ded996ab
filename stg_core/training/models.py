"""Backbones with a head per task, and the registry that users can add to."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from stg_core.system.errors import UserError
from stg_core.training.spec import DROPOUT, HIDDEN_WIDTHS

Shape = tuple[int, ...]
Backbone = Callable[..., nn.Module]

OF_IMAGES = ("resnet18", "resnet34", "small_cnn", "tiny_cnn")

_BACKBONES: dict[str, Backbone] = {}


def register(name: str) -> Callable[[Backbone], Backbone]:
    """Decorator: makes a function (shape of a point, outputs) -> Module known under a name.

    The module maps images (B, C, H, W) or rows (B, F) to outputs (B, O): one for each task, and of
    a multi-class task one for each class. A function that also takes `widths` is told how many of
    the outputs each task has, (T,); one that takes `hidden_widths` or `dropout`, what the training
    says of those. From a module of your own, write the model as `my_module:name`, and `my_module`
    is imported first, in a background job too.

    >>> @register("linear")
    ... def linear(point_shape, n_outputs):
    ...     return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(point_shape), n_outputs))
    >>> import torch
    >>> build("linear", (1, 8, 8), 3)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 3])
    """

    def add(backbone: Backbone) -> Backbone:
        _BACKBONES[name] = backbone
        return backbone

    return add


def build(name: str, point_shape: Shape, n_outputs: int, **options: Any) -> nn.Module:
    """A fresh backbone for points of a shape, (C, H, W) or (F,).

    options: `widths`, `hidden_widths` and `dropout`, for a backbone that takes them. Raises
    UserError where no such name is registered, and for a built-in model of images that is to learn
    from rows.
    """
    module, _, short = name.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UserError(
                f"The model {name!r} asks for the Python module {module!r}, which cannot be"
                f" imported ({error}). Put it on PYTHONPATH."
            ) from error
    if short not in _BACKBONES:
        raise UserError(f"There is no model {short!r}; choose one of {', '.join(_BACKBONES)}.")
    if short in OF_IMAGES and len(point_shape) != 3:
        raise UserError(f"The model {short} is for images, and these points are rows: use mlp.")
    backbone = _BACKBONES[short]
    wanted = inspect.signature(backbone).parameters
    taken = {option: value for option, value in options.items() if option in wanted}
    return backbone(point_shape, n_outputs, **taken)


def _resnet(name: str, image_shape: Shape, n_outputs: int) -> nn.Module:
    from torchvision import models  # slow to load, and the other backbones do without it

    net: Any = getattr(models, name)(weights=None)
    channels = image_shape[0]
    if channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
    net.fc = nn.Linear(net.fc.in_features, n_outputs, bias=False)
    network: nn.Module = net
    return network


@register("resnet18")
def resnet18(image_shape: Shape, n_outputs: int) -> nn.Module:
    """torchvision's ResNet-18 with fresh weights and the outputs of the tasks, without bias."""
    return _resnet("resnet18", image_shape, n_outputs)


@register("resnet34")
def resnet34(image_shape: Shape, n_outputs: int) -> nn.Module:
    """torchvision's ResNet-34 with fresh weights and the outputs of the tasks, without bias."""
    return _resnet("resnet34", image_shape, n_outputs)


def _cnn(image_shape: Shape, widths: tuple[int, ...], hidden: int, n_outputs: int) -> nn.Module:
    """Convolutions, each halving the image while it can, then two dense layers; with batch norm."""
    channels, height, width = image_shape
    layers: list[nn.Module] = []
    for out in widths:
        layers += [
            nn.Conv2d(channels, out, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
        ]
        channels = out
        if min(height, width) >= 2:
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
    layers += [
        nn.Flatten(),
        nn.Linear(channels * height * width, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(0.3),
        nn.Linear(hidden, n_outputs),
    ]
    return nn.Sequential(*layers)


@register("small_cnn")
def small_cnn(image_shape: Shape, n_outputs: int) -> nn.Module:
    """Three convolutions and two dense layers, about half a million parameters on 32×32 images."""
    return _cnn(image_shape, (32, 64, 128), 200, n_outputs)


@register("tiny_cnn")
def tiny_cnn(image_shape: Shape, n_outputs: int) -> nn.Module:
    """Two convolutions and two dense layers for 8×8 images, about 14 thousand parameters."""
    return _cnn(image_shape, (16, 32), 64, n_outputs)


@register("mlp")
def mlp(
    point_shape: Shape,
    n_outputs: int,
    hidden_widths: Sequence[int] = HIDDEN_WIDTHS,
    dropout: float = DROPOUT,
) -> nn.Module:
    """Dense layers with dropout, for rows; images are taken as rows of their pixels."""
    layers: list[nn.Module] = [nn.Flatten()] if len(point_shape) > 1 else []
    n_inputs = math.prod(point_shape)
    for width in hidden_widths:
        layers += [nn.Linear(n_inputs, width), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        n_inputs = width
    return nn.Sequential(*layers, nn.Linear(n_inputs, n_outputs))
