"""Files of JSON lines with several epochs, parted into one file for each epoch."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from stg_core.maps.formats.lines import CHUNK, Lines, Record, Tell, opened, read_lines, told

OUTPUT = re.compile(r"(.+)_epoch_?(\d+)")


def outputs_of(record: Record) -> list[re.Match[str]]:
    """The names of what a model answered, such as "logits_epoch_3"."""
    found = ((OUTPUT.fullmatch(name), value) for name, value in record.items())
    return [match for match, value in found if match and isinstance(value, list | int | float)]


def has_several(lines: Lines) -> bool:
    """Whether a file whose beginning this is holds several epochs, by that and by its last line."""
    records = [*lines.records, *_last(lines.path)]
    epochs = [frozenset(match[2] for match in outputs_of(record)) for record in records]
    return len({each for each in epochs if each}) > 1 or any(len(each) > 1 for each in epochs)


def _last(path: Path) -> list[Record]:
    """The last whole record of a file that is not zipped."""
    with told(path), opened(path) as file:
        if not hasattr(file, "raw"):
            return []
        file.seek(max(0, os.fstat(file.fileno()).st_size - CHUNK))
        lines = file.read().splitlines()[-2:]
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        return [record] if isinstance(record, dict) else []
    return []


def of_first_epoch(lines: Lines) -> Lines:
    """Those records that have the output of the first one."""
    name = outputs_of(lines.records[0])[0].string
    kept = [i for i, record in enumerate(lines.records) if name in record]
    numbers = [lines.numbers[i] for i in kept]
    return Lines(lines.path, [lines.records[i] for i in kept], numbers, lines.bytes, lines.cut)


def parted(path: Path, folder: Path, tell: Tell) -> Mapping[int, Path]:
    """Writes the records of each epoch to a file of its own, and returns those by epoch."""
    found: dict[int, Path] = {}
    folder.mkdir(parents=True)
    for lines in read_lines(path):
        tell(f"Sorting {path.name}", 0)
        texts: dict[int, list[str]] = {}
        for record in lines.records:
            names = outputs_of(record)
            rest = record.keys() - {match.string for match in names}
            for match in names:
                own = {name: record[name] for name in (*rest, match.string)}
                texts.setdefault(int(match[2]), []).append(json.dumps(own))
        for epoch, own_texts in texts.items():
            found.setdefault(epoch, folder / f"{path.name} (epoch {epoch})")
            with told(path), open(found[epoch], "a") as file:
                file.write("\n".join(own_texts) + "\n")
    return found
