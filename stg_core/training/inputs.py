"""Where a model computes, and points as it sees them: normalised and augmented on its device."""

from __future__ import annotations

import torch
from torch import Tensor


def choose_device(wanted: str | None = None) -> tuple[torch.device, str]:
    """CUDA, else Apple's MPS, else the CPU; and "bf16" where the hardware computes in it."""
    if wanted is None:
        available = {
            "cuda": torch.cuda.is_available(),
            "mps": torch.backends.mps.is_available(),
        }
        wanted = next((name for name, there in available.items() if there), "cpu")
    device = torch.device(wanted)
    if device.type == "cuda":
        return device, "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    if device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False):
        return device, "bf16"
    return device, "fp32"


def device_name(device: torch.device) -> str:
    """For people: the GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


class Normalisation:
    """uint8 images (B, H, W, C) to floats (B, C, H, W), channels-last, of mean 0 and variance 1.

    Rows (B, F) stay as they are: they were standardised when they were added.
    """

    def __init__(self, images: Tensor) -> None:
        self.of_images = images.ndim == 4
        if not self.of_images:
            return
        levels = torch.arange(256, dtype=torch.float64)
        mean, std = [], []
        for channel in images.unbind(-1):
            share = torch.bincount(channel.flatten().cpu(), minlength=256) / channel.numel()
            mean.append((share * levels).sum())
            std.append((share * (levels - mean[-1]).square()).sum().sqrt().clamp(min=1.0))
        self.mean = torch.stack(mean).float().to(images.device)
        self.std = torch.stack(std).float().to(images.device)

    def to_json(self) -> dict[str, list[float]]:
        """Mean and standard deviation of each channel, (C,), in levels of 0 to 255; {} of rows."""
        if not self.of_images:
            return {}
        return {"mean": self.mean.tolist(), "deviation": self.std.tolist()}

    def __call__(self, images: Tensor) -> Tensor:
        if not self.of_images:
            return images.float()
        return images.float().sub_(self.mean).div_(self.std).permute(0, 3, 1, 2)


def augment(images: Tensor, flip: bool) -> Tensor:
    """Shifts every image by up to an eighth of its side and, if `flip`, mirrors half of them."""
    n_images, _, height, width = images.shape
    reach = max(1, height // 8)
    drawn = torch.randint(-reach, reach + 1, (2, n_images, 1)).to(images.device)
    rows = (torch.arange(height, device=images.device) + drawn[0]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) + drawn[1]).clamp(0, width - 1)
    if flip:
        mirrored = (torch.rand(n_images, 1) < 0.5).to(images.device)
        columns = torch.where(mirrored, columns.flip(1), columns)
    picture = torch.arange(n_images, device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[picture, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)
