"""ARFF, as MULAN and MEKA publish multi-label data in it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.choices import Choices, Progress

ENDINGS = (".arff",)
WHAT = "an ARFF table"
TRAIN, TEST = "-train.arff", "-test.arff"
SPLIT = "split"
ROWS_BETWEEN_NEWS = 500


def read(
    path: Path, choices: Choices, limit: int | None, tell: Progress
) -> tuple[Any, Choices, list[str]]:
    """A table, choices that name its labels and its split, and notes.

    The labels are those that the XML file names, or the first or last ones of MEKA's "-C". A file
    that ends in -train.arff is read with its -test.arff, and the other way round.
    """
    notes: list[str] = []
    paths = [path]
    if pair := _pair(path):
        paths = list(pair)
        notes.append(f"Split: {pair[0].name} is for training, {pair[1].name} for testing.")
    read = [_read(one, limit, tell) for one in paths]
    names = read[0][1]
    if any(other != names for _, other, _ in read):
        raise UserError(f"{paths[0].name} and {paths[1].name} have different attributes.")
    columns = _columns(names, [table for _, _, table in read])
    if pair and not choices.split:
        own = next(n for n in (SPLIT, "train or test?") if n not in names)
        words = [w for w, (_, _, rows) in zip(("train", "test"), read, strict=True) for _ in rows]
        columns.append((own, words))
        choices = replace(choices, split=own)
    if not choices.tasks and (labels := _labels(path, choices, read[0][0], names)):
        choices = replace(choices, tasks=tuple(labels[0]))
        notes.append(f"Tasks: the {counted(len(labels[0]), 'label')} that {labels[1]} names.")
    return _table(columns), choices, notes


def _pair(path: Path) -> tuple[Path, Path] | None:
    name = path.name.lower()
    for ending in (TRAIN, TEST):
        if name.endswith(ending):
            stem = path.name[: -len(ending)]
            pair = path.with_name(stem + TRAIN), path.with_name(stem + TEST)
            return pair if all(one.exists() for one in pair) else None
    return None


def _read(path: Path, limit: int | None, tell: Progress) -> tuple[str, list[str], list[list[Any]]]:
    """Its relation's name, its attributes' names, and its rows."""
    import arff

    try:
        with open(path, encoding="utf-8-sig") as file:
            loaded = arff.load(file, return_type=arff.DENSE_GEN)
            rows: list[list[Any]] = []
            for row in islice(loaded["data"], limit):
                if len(rows) % ROWS_BETWEEN_NEWS == 0:
                    tell(f"Reading {path.name}", 0.0)
                rows.append(row)
    except UnicodeDecodeError:
        raise UserError(f"{path.name} is not in UTF-8: save it as such.") from None
    except (arff.ArffException, ValueError, IndexError) as error:
        raise UserError(f"{path.name} is no ARFF file that can be read: {error}") from error
    return loaded["relation"], [name for name, _ in loaded["attributes"]], rows


def _columns(names: Sequence[str], parts: Sequence[Sequence[list[Any]]]) -> list[tuple[str, Any]]:
    rows = [row for part in parts for row in part]
    return [(name, [row[i] for row in rows]) for i, name in enumerate(names)]


def _table(columns: Sequence[tuple[str, Any]]) -> Any:
    import pyarrow as arrow

    names = [name for name, _ in columns]
    return arrow.Table.from_arrays([arrow.array(cells) for _, cells in columns], names=names)


def _labels(
    path: Path, choices: Choices, relation: str, names: Sequence[str]
) -> tuple[list[str], str] | None:
    """Names of the labels, and what says so; None where nothing does."""
    stem = re.sub(r"-(train|test)$", "", path.stem, flags=re.IGNORECASE)
    beside = [path.with_suffix(".xml"), path.with_name(f"{stem}.xml")]
    file = choices.labels or next((one for one in beside if one.exists()), None)
    if file is not None:
        return labels_of_xml(file, names), file.name
    if found := re.search(r"-C\s+(-?\d+)", relation):
        count = int(found[1])
        return list(names[:count] if count > 0 else names[count:]), f"“-C {count}” in it"
    return None


def labels_of_xml(file: Path, names: Sequence[str]) -> list[str]:
    """The labels that a MULAN XML file names, in the order of the attributes `names`."""
    try:
        content = file.read_bytes()
        if b"<!ENTITY" in content.upper():  # which may grow without end
            raise UserError(f"{file.name} declares entities: write plain labels.")
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise UserError(f"{file.name} is no XML file ({error}).") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}).") from error
    labels = [e.get("name", "") for e in root.iter() if e.tag.rpartition("}")[2] == "label"]
    if not labels:
        raise UserError(f'{file.name} names no label, as <label name="…"/>.')
    if unknown := [label for label in labels if label not in names]:
        raise UserError(
            f"{file.name} names the label {named(unknown[0])}, which is no attribute of the ARFF"
            " file: do they belong together?"
        )
    return [name for name in names if name in set(labels)]
