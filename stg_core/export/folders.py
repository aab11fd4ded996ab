"""Which exported models the store keeps, what room they take, and how that is given back.

It is read from their weights, whose head has what a file says of itself; no model is opened.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import safetensors

from stg_core.export.about import KEY, NEITHER, About
from stg_core.results.store import Store
from stg_core.system.errors import UserError

EXPORTS = "exports"  # the folder in the store
ONNX, WEIGHTS, CARD = "model.onnx", "model.safetensors", "README.md"
FILES = (ONNX, WEIGHTS, CARD)


@dataclass(frozen=True)
class Kept:
    """An exported model: its folder, what it says of itself, and the bytes of its files.

    about: None where it cannot be read; problem: why, in a sentence.
    """

    folder: Path
    about: About | None
    bytes: int
    problem: str = ""


def kept_exports(store: Store, runs: Collection[str] = ()) -> list[Kept]:
    """All that are whole or damaged, the newest first; runs: of these keys of trainings alone."""
    folders = [path for path in (store.folder / EXPORTS).glob("[!.]*") if path.is_dir()]
    dated = [(found.st_mtime_ns, path) for path in folders if (found := _stat(path))]
    kept = [_read(path) for _, path in sorted(dated, reverse=True)]
    return [one for one in kept if not runs or (one.about and one.about.run in runs)]


def delete_export(kept: Kept) -> None:
    """Gives its room back; UserError where the files cannot be deleted."""
    try:
        shutil.rmtree(kept.folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{kept.folder} cannot be deleted ({error.strerror or error}).") from error


def _read(folder: Path) -> Kept:
    size = sum(found.st_size for file in folder.glob("*") if (found := _stat(file)))
    try:
        if not (folder / ONNX).is_file():
            raise UserError(f"It has no {ONNX}: delete the folder, and export the model again.")
        with safetensors.safe_open(folder / WEIGHTS, framework="np") as file:
            text = (file.metadata() or {}).get(KEY, "")
        if not text:
            raise UserError(NEITHER)
        return Kept(folder, About.from_text(text), size)
    except (OSError, safetensors.SafetensorError) as error:
        return Kept(folder, None, size, f"Its {WEIGHTS} cannot be read ({error}).")
    except UserError as error:
        return Kept(folder, None, size, str(error))


def _stat(path: Path) -> os.stat_result | None:
    """None where it is deleted meanwhile."""
    try:
        return path.stat()
    except OSError:
        return None
