"""How much memory of an accelerator a training takes at most, told before it cannot fit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from stg_core.system.errors import UserError
from stg_core.tasks.data import TaskData

STEP_STATES = 4  # of every parameter: itself, its gradient, and Adam's two means
SPARE = 0.9  # share of what is free that may be taken: libraries and fragments take the rest
WAY_OUT = (
    "Take a smaller batch, a smaller model, or fewer training points, or end what else uses the"
    " GPU; a training that was interrupted goes on after its last whole epoch."
)


def peak_bytes(model: nn.Module, data: TaskData, n_outputs: int, batch_size: int) -> int:
    """Of a training of a model, still on the CPU, on some data, in bytes of float32.

    Points and labels; the recorder's three numbers and the outputs of every point; the model's
    states; and what a batch keeps for the backward pass, which half precision halves.
    """
    n_points, n_tasks = data.train_labels.shape
    arrays = data.train_points, data.train_labels, data.test_points, data.test_labels
    states = STEP_STATES * sum(p.numel() for p in model.parameters() if p.requires_grad)
    shape = data.train_points.shape[1:]
    two = torch.zeros(2, *((shape[2], *shape[:2]) if len(shape) == 3 else shape))
    kept = sum(array.nbytes for array in arrays)
    kept += 4 * (states + int(n_points) * (3 * int(n_tasks) + n_outputs))
    return kept + batch_bytes(model, two, min(batch_size, n_points))


def batch_bytes(model: nn.Module, points: Tensor, batch_size: int) -> int:
    """What a forward pass keeps for the backward pass of a batch, in bytes of float32.

    Found on a copy of the model from two points (2, …) as the model sees them, and in proportion.
    """
    seen: dict[int, int] = {}

    def note(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        alive.append(saved)  # else another tensor may come to lie where this one was
        return saved

    alive: list[Tensor] = []
    tried = copy.deepcopy(model).train()
    own = {p.untyped_storage().data_ptr() for p in tried.parameters()}
    with (
        torch.random.fork_rng(),
        torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved),
    ):
        tried(points)
    found = sum(size for place, size in seen.items() if place not in own)
    return found * batch_size // len(points)


def check_fits(device: torch.device, needed: Callable[[], int]) -> None:
    """Raises UserError, which says how much is needed at the peak, where that is more than is free.

    Nothing is checked on the CPU, whose memory the system shares out as it is touched.
    """
    if device.type != "cuda":
        return
    (free, _), peak = torch.cuda.mem_get_info(device), needed()
    if peak > SPARE * free:
        raise UserError(
            f"This training takes about {peak / 1e9:.1f} GB of the GPU's memory at its peak, and"
            f" {free / 1e9:.1f} GB are free. {WAY_OUT}"
        )


@contextmanager
def out_of_memory_told() -> Iterator[None]:
    """A sentence where the memory of an accelerator is full after all."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(f"The GPU's memory is full. {WAY_OUT}") from error
