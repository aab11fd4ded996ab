"""Memory of a training on the CPU: a batch uses what the one before it has freed."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_… of glibc's malloc.h
_LARGEST_INT = 2**31 - 1
_USUAL = {_TRIM_THRESHOLD: 64 << 20, _MMAP_THRESHOLD: 32 << 20}  # where glibc's own rule ends up


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Within it, glibc does not give large blocks back to the system as soon as they are free.

    It would, and have the same pages cleared again for every batch: a fifth to a third of the
    time of a training with one thread, and more with several, which wait for each other then. With
    another C library nothing is changed.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    for threshold, usual in _USUAL.items():
        libc.mallopt(threshold, _LARGEST_INT) or libc.mallopt(threshold, usual)  # older: 32 MiB
    try:
        yield
    finally:
        for threshold, usual in _USUAL.items():
            libc.mallopt(threshold, usual)
        libc.malloc_trim(0)
