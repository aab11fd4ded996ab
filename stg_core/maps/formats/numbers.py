"""Arrays of NumPy on the disk: their headers, one part at a time, and never a pickle."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.system.errors import UserError

Floats = NDArray[np.float32]
SKIPPED = 2**24  # bytes
UNREADABLE = (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error)


def checked_array(path: Path) -> NDArray[Any]:
    """An .npy file of numbers, memory-mapped; UserError for objects and damaged files."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise refusal(path.name, error) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise UserError(f"{path.name} holds no numbers.")
    return array


def refusal(name: str, error: Exception) -> UserError:
    """Why an array cannot be read."""
    if "pickle" in str(error).lower() or "object" in str(error).lower():
        return UserError(
            f"{name} holds Python objects, which could run code when they are read: save it as"
            " numbers (np.save of an array of floats)."
        )
    return UserError(f"{name} is no array of NumPy, or damaged ({error}).")


class Member:
    """An array of an .npz or .npy file, read a part of its first axis at a time, in order.

    shape, dtype: by its header; a part that was passed is read again from the beginning.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self.path, self.name = path, name
        self._next = 0
        self._file: Any = None
        self._open()

    @property
    def called(self) -> str:
        return f"{self.path.name} ({self.name})" if self.name else self.path.name

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, i: int) -> Part:
        if not 0 <= i < len(self):
            raise IndexError(i)
        return Part(self, i)

    def whole(self) -> NDArray[Any]:
        """All of it, in memory."""
        try:
            found = np.load(self.path, allow_pickle=False)
            return np.asarray(found[self.name] if self.name else found)
        except UNREADABLE as error:
            raise refusal(self.called, error) from error

    def read(self, i: int) -> NDArray[Any]:
        """Part i."""
        if self.fortran:
            return np.asarray(self.whole()[i])
        if i < self._next:
            self._open()
        try:
            size = int(np.prod(self.shape[1:])) * self.dtype.itemsize
            while self._next < i:
                self._skip(size)
                self._next += 1
            content = self._file.read(size)
        except UNREADABLE as error:
            raise refusal(self.called, error) from error
        if len(content) < size:
            raise UserError(f"{self.called} is shorter than it says: it may have been cut off.")
        self._next += 1
        return np.frombuffer(content, self.dtype).reshape(self.shape[1:])

    def _open(self) -> None:
        try:
            if self.name:
                self._file = zipfile.ZipFile(self.path).open(f"{self.name}.npy")  # noqa: SIM115
            else:
                self._file = open(self.path, "rb")  # noqa: SIM115, read as it is needed
            self.shape, self.fortran, self.dtype = _header(self._file)
        except UNREADABLE as error:
            raise refusal(self.called, error) from error
        if self.dtype.hasobject:
            raise refusal(self.called, ValueError("an array of objects"))
        self._next = 0

    def _skip(self, size: int) -> None:
        while size > 0:
            size -= len(self._file.read(min(size, SKIPPED))) or size


class Part:
    """A part of an array on the disk, which is read when it is used."""

    def __init__(self, member: Member, i: int) -> None:
        self._member, self._i = member, i
        self.shape = member.shape[1:]
        self.ndim = len(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        found = self._member.read(self._i)
        return found if dtype is None else found.astype(dtype)


def names_of(path: Path) -> list[str]:
    """Of the arrays of an .npz file; [] for any other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return []
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)
