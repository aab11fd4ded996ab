"""What was computed last, as far as it fits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Values by key: those asked for last, as many as fit into `most` bytes, and always one."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._values: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> T | None:
        """The value of this key; None where it is not here (any more)."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key][0]

    def put(self, key: Hashable, value: T, size: int) -> T:
        """Keeps a value of `size` bytes, in place of those that nobody asked for lately."""
        self._bytes += size - self._values.pop(key, (value, 0))[1]
        self._values[key] = value, size
        while self._bytes > self.most and len(self._values) > 1:
            self._bytes -= self._values.popitem(last=False)[1][1]
        return value
