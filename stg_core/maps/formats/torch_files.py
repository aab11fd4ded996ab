"""Tensors in files of torch, taken out by a process of their own.

Who looks at a log may be the app, into which torch must not come. All files of a log share a
process: starting one with torch takes seconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.system.errors import UserError
from stg_core.system.extras import of_extra

FAILED = 2  # what the process ends with where it says why


def tensors_of(paths: Sequence[Path], scratch: Path) -> Iterator[tuple[Path, NDArray[Any]]]:
    """All tensors of files, each with its file, in any shape.

    They are memory-mapped from files in an empty folder `scratch`; floating-point ones are float32.
    Raises UserError where torch is missing, and for what would have to run code.
    """
    with of_extra("train"):
        if find_spec("torch") is None:
            raise ModuleNotFoundError(name="torch")
    command = [sys.executable, "-m", __name__, str(scratch)]
    sources = json.dumps([str(path.resolve()) for path in paths])
    done = subprocess.run(command, input=sources, capture_output=True, text=True, cwd=_root())
    folders = [scratch / str(i) for i in range(len(paths))]
    if done.returncode:
        said = done.stderr.strip() if done.returncode == FAILED else "reading it was ended"
        begun = sum(folder.exists() for folder in folders)
        raise UserError(
            f"{paths[max(begun, 1) - 1].name} cannot be read as tensors alone ({said}): what else a"
            " file of torch holds could run code when it is read. Save the tensor itself:"
            " torch.save(tensor, path)."
        )
    for path, folder in zip(paths, folders, strict=True):
        for file in sorted(folder.glob("*.npy")):
            yield path, np.load(file, mmap_mode="r", allow_pickle=False)


def _root() -> Path:
    """Where `stg_core` is found, whatever folder the app was started in."""
    return Path(__file__).resolve().parents[3]


def _take_out(source: str, target: Path) -> None:
    import torch

    target.mkdir()
    try:
        found = torch.load(source, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # the format before torch 1.6 cannot be mapped
        found = torch.load(source, map_location="cpu", weights_only=True)
    for i, tensor in enumerate(each for each in _flat(found) if isinstance(each, torch.Tensor)):
        plain = tensor.detach()
        values = (plain.float() if plain.is_floating_point() else plain).numpy()
        np.save(target / f"{i:06}.npy", values, allow_pickle=False)


def _flat(found: Any) -> Iterator[Any]:
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list | tuple):
        for part in found:
            yield from _flat(part)
    else:
        yield found


if __name__ == "__main__":
    try:
        for number, each in enumerate(json.load(sys.stdin)):
            _take_out(each, Path(sys.argv[1]) / str(number))
    except Exception as error:  # whatever pickle, zipfile and torch raise for foreign bytes
        told = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        print(told, file=sys.stderr)
        sys.exit(FAILED)
