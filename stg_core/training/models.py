"""Backbones with one output per task, and the registry that users can add to."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from torch import nn

from stg_core.system.errors import UserError

ImageShape = tuple[int, int, int]
Backbone = Callable[[ImageShape, int], nn.Module]

_BACKBONES: dict[str, Backbone] = {}


def register(name: str) -> Callable[[Backbone], Backbone]:
    """Decorator: makes a function (image shape (C, H, W), T) -> Module known under a name.

    The module maps images (B, C, H, W) to logits (B, T). From a module of your own, write the
    model as `my_module:name`, and `my_module` is imported first, in a background job too.

    >>> @register("linear")
    ... def linear(image_shape, n_tasks):
    ...     channels, height, width = image_shape
    ...     return nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, n_tasks))
    >>> import torch
    >>> build("linear", (1, 8, 8), 3)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 3])
    """

    def add(backbone: Backbone) -> Backbone:
        _BACKBONES[name] = backbone
        return backbone

    return add


def build(name: str, image_shape: ImageShape, n_tasks: int) -> nn.Module:
    """A fresh backbone for images (C, H, W); raises UserError where no such name is registered."""
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
    return _BACKBONES[short](image_shape, n_tasks)


def _resnet(name: str, image_shape: ImageShape, n_tasks: int) -> nn.Module:
    from torchvision import models  # slow to load, and the other backbones do without it

    net: Any = getattr(models, name)(weights=None)
    channels = image_shape[0]
    if channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
    net.fc = nn.Linear(net.fc.in_features, n_tasks, bias=False)
    network: nn.Module = net
    return network


@register("resnet18")
def resnet18(image_shape: ImageShape, n_tasks: int) -> nn.Module:
    """torchvision's ResNet-18 with fresh weights and one output per task, without bias."""
    return _resnet("resnet18", image_shape, n_tasks)


@register("resnet34")
def resnet34(image_shape: ImageShape, n_tasks: int) -> nn.Module:
    """torchvision's ResNet-34 with fresh weights and one output per task, without bias."""
    return _resnet("resnet34", image_shape, n_tasks)


def _cnn(image_shape: ImageShape, widths: tuple[int, ...], hidden: int, n_tasks: int) -> nn.Module:
    """Convolutions, each halving the image, then two dense layers; batch norm and dropout."""
    channels, height, width = image_shape
    layers: list[nn.Module] = []
    for out in widths:
        layers += [
            nn.Conv2d(channels, out, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        ]
        channels, height, width = out, height // 2, width // 2
    layers += [
        nn.Flatten(),
        nn.Linear(channels * height * width, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(0.3),
        nn.Linear(hidden, n_tasks),
    ]
    return nn.Sequential(*layers)


@register("small_cnn")
def small_cnn(image_shape: ImageShape, n_tasks: int) -> nn.Module:
    """Three convolutions and two dense layers, about half a million parameters on 32×32 images."""
    return _cnn(image_shape, (32, 64, 128), 200, n_tasks)


@register("tiny_cnn")
def tiny_cnn(image_shape: ImageShape, n_tasks: int) -> nn.Module:
    """Two convolutions and two dense layers for 8×8 images, about 14 thousand parameters."""
    return _cnn(image_shape, (16, 32), 64, n_tasks)
