"""What visitors upload, on disk: what reads it wants a file, and may read it again and again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app import state
from stg_core.tasks.datasets import datasets_folder

UPLOADS = ".uploads"
KEPT = 24 * 3600  # seconds, of visitors who went away


def kept(files: Sequence[Any], purpose: str) -> list[Path]:
    """The paths of uploaded files; other uploads of this visitor for that purpose are forgotten."""
    folder = _folder() / purpose
    paths = [folder / Path(file.name).name for file in files]
    whole = [p.exists() and p.stat().st_size == f.size for p, f in zip(paths, files, strict=True)]
    if not all(whole) or set(folder.glob("*")) != set(paths):
        forget(purpose)
        _forget_old()
        folder.mkdir(parents=True)
        for path, file in zip(paths, files, strict=True):
            path.write_bytes(file.getbuffer())
    return paths


def there(purpose: str) -> list[Path]:
    """What this visitor has uploaded for a purpose, by name."""
    return sorted((_folder() / purpose).glob("*"))


def forget(purpose: str) -> None:
    shutil.rmtree(_folder() / purpose, ignore_errors=True)


def _folder() -> Path:
    return datasets_folder() / UPLOADS / state.visitor()


def _forget_old() -> None:
    for folder in (datasets_folder() / UPLOADS).glob("*/*"):
        if time.time() - folder.stat().st_mtime > KEPT:
            shutil.rmtree(folder, ignore_errors=True)
