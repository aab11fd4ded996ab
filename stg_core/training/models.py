"""Backbones with a head per task, and the registry that users can add to."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from stg_core.system.errors import UserError
from stg_core.training.branches import Branches
from stg_core.training.costs import CNNS, RESNETS, widened
from stg_core.training.spec import DROPOUT, HIDDEN_WIDTHS

Shape = tuple[int, ...]
Backbone = Callable[..., nn.Module]

OF_IMAGES = ("resnet18", "resnet34", "small_cnn", "tiny_cnn")

_BACKBONES: dict[str, Backbone] = {}


def register(name: str) -> Callable[[Backbone], Backbone]:
    """Decorator: makes a function (shape of a point, outputs) -> Module known under a name.

    The module maps images (B, C, H, W) or rows (B, F) to outputs (B, O): one for each task, and of
    a multi-class task one for each class. A function that also takes `widths` is told how many of
    the outputs each task has, (T,); one that takes `hidden_widths`, `dropout` or `width`, what the
    training says of those. From a module of your own, write the model as `my_module:name`, and
    `my_module` is imported first, in a background job too.

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


def build(
    name: str, point_shape: Shape, n_outputs: int, branches: int = 1, **options: Any
) -> nn.Module:
    """A fresh backbone for points of a shape, (C, H, W) or (F,).

    branches: if more than one, so many copies, see `Branches`; options: `widths` (by default 1 of
    each output), `hidden_widths`, `dropout` and `width`, for a backbone that takes them.
    Raises UserError where no such name is registered, for a built-in model of images that is to
    learn from rows, and for a width other than 1 of a backbone that takes none.
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
    if "width" not in wanted and options.get("width", 1) != 1:
        raise UserError(
            f"The model {short} has no width to choose: leave it at 1, or let its function take"
            " `width`."
        )
    taken = {option: value for option, value in options.items() if option in wanted}
    copies = [backbone(point_shape, n_outputs, **taken) for _ in range(branches)]
    if branches == 1:
        return copies[0]
    return Branches(copies, options.get("widths", (1,) * n_outputs))


def _resnet(name: str, image_shape: Shape, n_outputs: int, width: float) -> nn.Module:
    from torchvision import models  # slow to load, and the other backbones do without it

    class Widened(models.ResNet):  # type: ignore[misc]
        """Its layers take their channels from the first, which `inplanes` counts."""

        def _make_layer(self, block: Any, planes: int, *rest: Any, **more: Any) -> nn.Sequential:
            if not hasattr(self, "layer1"):
                self.inplanes = widened(planes, width)
                self.conv1 = nn.Conv2d(3, self.inplanes, 7, stride=2, padding=3, bias=False)
                self.bn1 = nn.BatchNorm2d(self.inplanes)
            layers: nn.Sequential = super()._make_layer(
                block, widened(planes, width), *rest, **more
            )
            return layers

    usual = width == 1  # its weights are those that they have ever been
    net: Any = (
        getattr(models, name)(weights=None)
        if usual
        else Widened(models.resnet.BasicBlock, list(RESNETS[name]))
    )
    channels, first, last = image_shape[0], widened(64, width), widened(512, width)
    if channels != 3:
        net.conv1 = nn.Conv2d(channels, first, kernel_size=7, stride=2, padding=3, bias=False)
    net.fc = nn.Linear(last, n_outputs, bias=False)
    network: nn.Module = net
    return network


@register("resnet18")
def resnet18(image_shape: Shape, n_outputs: int, width: float = 1.0) -> nn.Module:
    """torchvision's ResNet-18 with fresh weights and the outputs of the tasks, without bias."""
    return _resnet("resnet18", image_shape, n_outputs, width)


@register("resnet34")
def resnet34(image_shape: Shape, n_outputs: int, width: float = 1.0) -> nn.Module:
    """torchvision's ResNet-34 with fresh weights and the outputs of the tasks, without bias."""
    return _resnet("resnet34", image_shape, n_outputs, width)


def _cnn(name: str, image_shape: Shape, n_outputs: int, width: float) -> nn.Module:
    """Convolutions, each halving the image while it can, then two dense layers; with batch norm."""
    channels, rows, columns = image_shape
    *widths, hidden = (widened(count, width) for count in CNNS[name])
    layers: list[nn.Module] = []
    for out in widths:
        layers += [
            nn.Conv2d(channels, out, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
        ]
        channels = out
        if min(rows, columns) >= 2:
            layers.append(nn.MaxPool2d(2))
            rows, columns = rows // 2, columns // 2
    layers += [
        nn.Flatten(),
        nn.Linear(channels * rows * columns, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(0.3),
        nn.Linear(hidden, n_outputs),
    ]
    return nn.Sequential(*layers)


@register("small_cnn")
def small_cnn(image_shape: Shape, n_outputs: int, width: float = 1.0) -> nn.Module:
    """Three convolutions and two dense layers, about half a million parameters on 32×32 images."""
    return _cnn("small_cnn", image_shape, n_outputs, width)


@register("tiny_cnn")
def tiny_cnn(image_shape: Shape, n_outputs: int, width: float = 1.0) -> nn.Module:
    """Two convolutions and two dense layers for 8×8 images, about 14 thousand parameters."""
    return _cnn("tiny_cnn", image_shape, n_outputs, width)


@register("mlp")
def mlp(
    point_shape: Shape,
    n_outputs: int,
    hidden_widths: Sequence[int] = HIDDEN_WIDTHS,
    dropout: float = DROPOUT,
    width: float = 1.0,
) -> nn.Module:
    """Dense layers with dropout, for rows; images are taken as rows of their pixels."""
    layers: list[nn.Module] = [nn.Flatten()] if len(point_shape) > 1 else []
    n_inputs = math.prod(point_shape)
    for count in hidden_widths:
        units = widened(count, width)
        layers += [nn.Linear(n_inputs, units), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        n_inputs = units
    return nn.Sequential(*layers, nn.Linear(n_inputs, n_outputs))
