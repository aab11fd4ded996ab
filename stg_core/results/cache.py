"""Small derived results and notes, by key: JSON in a database that is begun anew when damaged."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import diskcache
from filelock import FileLock

from stg_core.system.errors import UserError

T = TypeVar("T")

# what SQLite says of a file of whose pages some are gone, or that is another one
_SIGNS_OF_DAMAGE = ("malformed", "no such", "disk i/o error", "not a database")


class SafeDisk(diskcache.JSONDisk):  # type: ignore[misc]
    """JSON values only: diskcache's own way reads pickles (CVE-2025-69872)."""

    def get(self, key: Any, raw: bool) -> Any:
        if not raw:
            raise _Pickled("a key is pickled")
        return json.loads(zlib.decompress(key).decode())

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
        if mode == diskcache.core.MODE_PICKLE:
            raise _Pickled("a value is pickled")
        return super().fetch(mode, filename, value, read)


class _Pickled(ValueError):
    """What is not even looked at."""


class Cache:
    """A mapping that outlives the process, shared by all that have the same folder.

    Reading never fails: what cannot be read is not there. Writing raises OSError, sqlite3.Error or
    UserError where it cannot be done. set_aside: what becomes of a damaged folder; it is told once,
    by whichever process finds it, and a new one is begun.
    """

    def __init__(self, folder: Path, set_aside: Callable[[Path, str], None]) -> None:
        self.folder, self._set_aside = folder, set_aside
        self._opened: diskcache.Cache | None = None
        self._inode = 0

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self._guarded(lambda cache: cache.get(key, default))
        except (OSError, sqlite3.Error, diskcache.Timeout, UserError):
            return default

    def keys(self) -> list[str]:
        try:
            return [str(key) for key in self._guarded(lambda cache: list(cache.iterkeys()))]
        except (OSError, sqlite3.Error, diskcache.Timeout, UserError):
            return []

    def __setitem__(self, key: str, value: Any) -> None:
        self._guarded(lambda cache: cache.set(key, value))

    def add(self, key: str, value: Any) -> None:
        """Sets what is not there yet."""
        self._guarded(lambda cache: cache.add(key, value))

    def delete(self, key: str) -> None:
        self._guarded(lambda cache: cache.delete(key))

    def __getitem__(self, key: str) -> Any:
        missing = object()
        value = self.get(key, missing)
        if value is missing:
            raise KeyError(key)
        return value

    def __contains__(self, key: str) -> bool:
        return key in self.keys()

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def _guarded(self, act: Callable[[diskcache.Cache], T]) -> T:
        """Does it, and once more with a new cache where this one turns out to be damaged."""
        try:
            return act(self._open())
        except (sqlite3.Error, ValueError, zlib.error) as error:
            replaced = self._inode != _inode(self.folder)
            if not (_is_damage(error) or (replaced and "readonly database" in str(error))):
                raise
            self._begin_anew(error)
            return act(self._open())

    def _open(self) -> diskcache.Cache:
        if self._opened is None:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            self._opened = diskcache.Cache(str(self.folder), disk=SafeDisk, eviction_policy="none")
            self._inode = _inode(self.folder)
        return self._opened

    def _begin_anew(self, error: Exception) -> None:
        self._opened = None
        with FileLock(self.folder.with_name("cache.lock")):
            if self._inode and _inode(self.folder) != self._inode:
                return  # another process has replaced it already
            self._inode = 0
            if self.folder.exists():
                self._set_aside(
                    self.folder, f"The cache is damaged ({error}), and a new one was begun."
                )


def _inode(folder: Path) -> int:
    try:
        return (folder / "cache.db").stat().st_ino
    except OSError:
        return 0


def _is_damage(error: Exception) -> bool:
    """Not a full disk, a lock, or a folder that cannot be written to: the file itself is sound."""
    if isinstance(error, sqlite3.OperationalError):
        return any(sign in str(error).lower() for sign in _SIGNS_OF_DAMAGE)
    return True
