"""How many threads a training uses, where that is said; and work that a thread does ahead."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from stg_core.system.errors import UserError

MOST = 1_024

T = TypeVar("T")


def wanted_threads() -> int | None:
    """`STG_THREADS`; None where it is not set. Raises UserError for what is no such number."""
    said = os.environ.get("STG_THREADS", "").strip()
    if not said:
        return None
    if said.isascii() and said.isdecimal() and len(said) < 6 and 0 < int(said) <= MOST:
        return int(said)
    raise UserError(
        f"STG_THREADS is {said[:20]!r}: set it to the number of threads of a training, from 1 to"
        f" {MOST:,}, or unset it."
    )


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items; the next one is made in a thread while one is used.

    >>> list(ahead(range(3)))
    [0, 1, 2]
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1) as maker:
        made = maker.submit(_next, iterator)
        while found := made.result():
            made = maker.submit(_next, iterator)
            yield found[0]


def _next(iterator: Iterator[T]) -> tuple[T] | None:
    for item in iterator:
        return (item,)
    return None
