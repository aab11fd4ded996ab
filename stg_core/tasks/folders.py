"""Data sets from folders of images: a folder for each class, or a table that names the files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from stg_core.system.errors import UserError
from stg_core.system.litter import is_litter
from stg_core.system.words import counted, named
from stg_core.tasks.choices import Choices, Found, Progress, matching
from stg_core.tasks.labels import Column
from stg_core.tasks.pictures import eight_bits
from stg_core.tasks.roles import assign
from stg_core.tasks.rows import CsvRows, TableRows
from stg_core.tasks.splits import TEST_WORDS, TRAIN_WORDS
from stg_core.tasks.tables import gathered

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TABLES = ("metadata.csv", "metadata.jsonl")
FILE_NAME = "file_name"
CLASS = "class"
LARGEST_SIDE = 512
IMAGES_AT_ONCE, IMAGES_LOOKED_AT = 256, 200
GREY = ("1", "L", "I;16", "I;16B", "I;16L")


def read(
    folder: Path, choices: Choices, scratch: Path | None, limit: int | None, tell: Progress
) -> Found:
    """What a folder of images holds; the images go below `scratch`, resized."""
    if not 4 <= choices.side <= LARGEST_SIDE:
        raise UserError(f"A side of {choices.side} pixels cannot be: choose 4 to {LARGEST_SIDE}.")
    if choices.features or choices.hash_text:
        raise UserError("A model learns from the images here: leave out --feature and --hash-text.")
    splits = _splits(folder)
    if tables := [(split, path, table) for split, path in splits if (table := _table(path))]:
        found, files = _by_table(folder, tables, choices)
    else:
        found, files = _by_class(folder, splits, choices)
    found.count = len(files)
    if found.problem or not files:
        return found
    channels = _channels(files if scratch else files[:IMAGES_LOOKED_AT])
    found.shape = (choices.side, choices.side, channels)
    found.notes.append(
        f"Images are resized to {choices.side} × {choices.side} pixels with"
        f" {counted(channels, 'channel')}."
    )
    if scratch is not None:
        found.points = _resized(files, found.shape, scratch / "images", tell)
    return found


def _splits(folder: Path) -> list[tuple[str, Path]]:
    """The folders of the splits, with the word of each; the folder itself where it has none."""
    inside = [p for p in sorted(folder.iterdir()) if p.is_dir() and not is_litter(p.name)]
    splits = [(p.name.lower(), p) for p in inside if p.name.lower() in (*TRAIN_WORDS, *TEST_WORDS)]
    kinds = {word in TEST_WORDS for word, _ in splits}
    return splits if len(kinds) == 2 or (splits and len(splits) == len(inside)) else [("", folder)]


def _column(name: str, values: Sequence[str]) -> Column:
    return Column.of(name, np.array(values, dtype=str))


# ------------------------------------------------------------------------------ folders of classes


def _by_class(
    folder: Path, splits: Sequence[tuple[str, Path]], choices: Choices
) -> tuple[Found, list[Path]]:
    if choices.id or choices.text or choices.split:
        raise UserError(
            f"--id, --text and --split name columns, and {folder} has no {' or '.join(TABLES)}:"
            " leave them out."
        )
    listed_files = [
        (split, one.name, file)
        for split, path in splits
        for one in sorted(path.iterdir())
        if one.is_dir() and not is_litter(one.name)
        for file in _images_in(one)
    ]
    if not listed_files:
        raise UserError(
            f"{folder} has no images: put them in a folder for each class"
            f" ({folder.name}/train/CLASS/… and {folder.name}/test/CLASS/…, or"
            f" {folder.name}/CLASS/…), or name them with their labels in {TABLES[0]}, in the column"
            f" {FILE_NAME}."
        )
    classes = [name for _, name, _ in listed_files]
    distinct = sorted(set(classes))
    if len(distinct) < 2:
        raise UserError(f"{folder} has images of one class only, {named(distinct[0])}.")
    found = Found("a folder of images for each class")
    if choices.one_task_per_class:
        cells = np.array(classes)
        found.labels = [Column.of(name, (cells == name).astype(np.int8)) for name in distinct]
    else:
        found.labels = [_column(CLASS, classes)]
        found.notes.append(
            f"One task, which of {len(distinct)} classes an image is of: its folder says so"
            " (--one-task-per-class makes a task of each)."
        )
    if choices.tasks:
        names = [column.name for column in found.labels]
        kept = {n for pattern in choices.tasks for n in matching(pattern, names, "task")}
        found.labels = [column for column in found.labels if column.name in kept]
    _take_split(found, [split for split, _, _ in listed_files])
    files = [file for _, _, file in listed_files]
    found.ids = [str(file.relative_to(folder)) for file in files]
    return found, files


def _take_split(found: Found, words: Sequence[str]) -> None:
    """By the words of the folders, where they name both splits; it is drawn elsewhere."""
    distinct = sorted(set(words))
    if len({word in TEST_WORDS for word in distinct}) == 2:
        found.split = _column("split", words)
        found.notes.append(f"Split: by the folders {', '.join(distinct)}.")
    elif any(distinct):
        found.notes.append(
            f"Split: drawn, since there {'is' if len(distinct) == 1 else 'are'} only"
            f" {' and '.join(distinct)}."
        )


def _images_in(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not is_litter(path.name):
            if path.suffix.lower() in IMAGE_ENDINGS:
                yield path
            else:
                raise UserError(
                    f"{path} is no image by its name (such as {', '.join(IMAGE_ENDINGS[:3])}): move"
                    " it away."
                )


# -------------------------------------------------------------------------------- tables of images


def _table(folder: Path) -> Path | None:
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)


def _by_table(
    folder: Path, tables: Sequence[tuple[str, Path, Path]], choices: Choices
) -> tuple[Found, list[Path]]:
    import pyarrow as arrow

    parts = [_rows_of(table) for _, _, table in tables]
    try:
        table = arrow.concat_tables(parts, promote_options="permissive")
    except arrow.ArrowInvalid as error:
        raise UserError(f"The tables of the splits do not fit together ({error}).") from error
    rows = TableRows(table, f"a folder of images with {tables[0][2].name}")
    if FILE_NAME not in rows.names:
        raise UserError(f"{tables[0][2]} has no column {FILE_NAME}, which names the image files.")
    names = [name or "" for name in table.column(FILE_NAME).to_pylist()]
    which = [i for i, part in enumerate(parts) for _ in range(len(part))]
    files = [_inside(tables[i][1], name) for i, name in zip(which, names, strict=True)]
    if gone := [file for file in files if not file.is_file()]:
        raise UserError(
            f"{counted(len(gone), 'image')} that {tables[0][2].name} names"
            f" {'is' if len(gone) == 1 else 'are'} not there, such as {gone[0]}."
        )
    said = choices if choices.id else replace(choices, id=FILE_NAME)
    roles = assign(rows.names, rows.head, said, points=False)
    found = gathered(rows, roles, None, None, lambda what, share: None, tables[0][2].name)
    if found.ids is not None and not choices.id:
        found.ids = [str(file.relative_to(folder)) for file in files]
    if found.split is None:
        _take_split(found, [tables[i][0] for i in which])
    return found, files


def _inside(folder: Path, name: str) -> Path:
    file = folder / name
    if not name or not file.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{FILE_NAME} {named(name)} is no file below {folder}.")
    return file


def _rows_of(path: Path) -> Any:
    """A table, whole; nothing but texts where it is CSV."""
    import pyarrow as arrow

    if path.suffix == ".csv":
        rows = CsvRows(path)
        if len(set(rows.names)) < len(rows.names):
            raise UserError(f"{path} names a column twice: rename one of them.")
        batches = list(rows.batches([(i, "text") for i in range(len(rows.names))]))
        columns = [arrow.chunked_array(c, arrow.string()) for c in zip(*batches, strict=True)]
        return arrow.Table.from_arrays(columns, names=rows.names)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return arrow.Table.from_pylist([json.loads(line) for line in lines if line.strip()])
    except (ValueError, TypeError, AttributeError, arrow.ArrowInvalid) as error:
        raise UserError(f"{path} is not one JSON object a line ({error}).") from error


# ------------------------------------------------------------------------------------------ images


def _channels(files: Sequence[Path]) -> int:
    """Of all images alike: 1 where all are grey, 2 or 4 where all have transparency, else 3."""
    with ThreadPoolExecutor() as pool:
        modes = set(pool.map(_mode, files))
    if modes <= set(GREY):
        return 1
    return 2 if modes == {"LA"} else 4 if modes == {"RGBA"} else 3


def _mode(file: Path) -> str:
    try:
        with Image.open(file) as image:
            return image.mode
    except _BROKEN as error:
        raise _broken(file, error) from error


_BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def _broken(file: Path, error: Exception) -> UserError:
    return UserError(
        f"{file} cannot be read as an image ({error}). Replace it, or move it away if it is none."
    )


def _resized(
    files: Sequence[Path], shape: tuple[int, ...], target: Path, tell: Progress
) -> NDArray[np.uint8]:
    """All images as uint8 (N, H, W, C), memory-mapped."""
    with ThreadPoolExecutor() as pool, open(target, "wb") as out:
        for start in range(0, len(files), IMAGES_AT_ONCE):
            some = files[start : start + IMAGES_AT_ONCE]
            for pixels in pool.map(partial(_pixels, shape=shape), some):
                out.write(pixels.data)
            tell("Reading the images", (start + len(some)) / len(files))
    return np.memmap(target, np.uint8, "r", shape=(len(files), *shape))


def _pixels(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    height, width, channels = shape
    mode = ("L", "LA", "RGB", "RGBA")[channels - 1]
    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image)
            converted = eight_bits(upright, str(file)).convert(mode)
        small = converted.resize((width, height), Image.Resampling.BOX, reducing_gap=None)
    except _BROKEN as error:
        raise _broken(file, error) from error
    return np.ascontiguousarray(small, dtype=np.uint8).reshape(shape)
