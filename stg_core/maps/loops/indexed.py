"""A data set whose items say which point they are: a loader shuffles, and a log must know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stg_core.system.errors import UserError
from stg_core.system.words import named

POINT = "point"  # the key of an item's index, where items are dictionaries


class Item(NamedTuple):
    """A point and its index; of a batch, the indices (B,) and what was collated of the items."""

    index: Any
    item: Any


class Indexed:
    """A map-style data set with the index of every item; for PyTorch's loaders, without PyTorch.

    An item that is a dictionary gets the key "point"; any other becomes the pair (index, item),
    so that a loop reads `for indices, (x, y) in loader`. An index is the place in the data set
    given here: wrap the one that the labels are of, and split or shuffle what this returns.
    Raises UserError for a data set without a length or places, and for items that have the key.
    """

    def __init__(self, dataset: Any) -> None:
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise UserError(
                "A data set that is only iterated over does not say which point an item is: give"
                " one with a length and places, dataset[i], in the order of the labels."
            )
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return _with_index(index, self.dataset[index])

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """A batch at once, where the data set can give one."""
        together = getattr(self.dataset, "__getitems__", None)
        items = together(indices) if together else [self.dataset[i] for i in indices]
        return [_with_index(i, item) for i, item in zip(indices, items, strict=True)]


def indices_of(batch: Any) -> Any:
    """The indices (B,) of a collated batch of indexed items; None where there are none."""
    if isinstance(batch, Item):
        return batch.index
    return batch.get(POINT) if isinstance(batch, Mapping) else None


def _with_index(index: int, item: Any) -> Any:
    index = int(index)
    if not isinstance(item, Mapping):
        return Item(index, item)
    if POINT in item:
        raise UserError(
            f"The items have a key {named(POINT)} of their own, where their index would be: rename"
            " it, or log with log.update(indices, logits)."
        )
    return {**item, POINT: index}
