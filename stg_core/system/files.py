"""Files that are either whole or not there, whatever kills the process or fills the disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


@contextmanager
def atomic(path: Path, lasting: bool = True) -> Iterator[BinaryIO]:
    """A file to write, under a temporary name until the block ends without an error.

    lasting: whether to wait until the disk has it, so that it outlives a loss of power, too.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            yield file
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of a file."""
    if not path.exists():
        return False
    try:
        with FileLock(path).acquire(timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False


class SlabWriter:
    """An `.npy` file (n, …) written one slab [i] at a time, in any order.

    By plain writes, not through a memory map: on a full disk those raise OSError, where a memory
    map would end the process with SIGBUS.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str) -> None:
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)

    def write(self, i: int, slab: NDArray[Any]) -> None:
        """Writes slab i, an array of shape `shape[1:]`."""
        assert slab.shape == self.shape[1:], (slab.shape, self.shape)
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": self.shape}
        with open(self.path, "r+b" if self.path.exists() else "w+b") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.seek(i * slab.size * self.dtype.itemsize, os.SEEK_CUR)
            file.write(np.ascontiguousarray(slab, dtype=self.dtype).tobytes())

    def read(self) -> NDArray[Any]:
        """The whole array, memory-mapped."""
        array: NDArray[Any] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return array
