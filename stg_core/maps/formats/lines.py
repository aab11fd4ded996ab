"""JSON a line at a time, of plain or gzipped files: what is wrong is told with file and line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from stg_core.system.errors import UserError
from stg_core.system.words import named

CHUNK = 4 * 2**20  # bytes of lines that are read at once
START = 4096  # bytes by which a format is recognised
BOM, ZIPPED = b"\xef\xbb\xbf", b"\x1f\x8b"

Record = dict[str, Any]
Tell = Callable[[str, int], None]  # what is done, and how many more bytes were read


@dataclass(frozen=True)
class Lines:
    """Some records of a file, and where they stand in it: `numbers`, counted from 1.

    bytes: how much of the file they took; cut: the last line was cut short, and left out.
    """

    path: Path
    records: list[Record]
    numbers: list[int]
    bytes: int = 0
    cut: bool = False

    def where(self, i: int) -> str:
        return f"{self.path.name}, line {self.numbers[i]}"


def opened(path: Path) -> BinaryIO:
    """A file to read, whether it is gzipped or not."""
    with open(path, "rb") as file:
        zipped = file.read(2) == ZIPPED
    return cast(BinaryIO, gzip.open(path)) if zipped else open(path, "rb")


def start_of(path: Path) -> bytes:
    """The first bytes of a file, unzipped, also of one that was cut off."""
    with told(path), open(path, "rb") as file:
        start = file.read(START)
        if start.startswith(ZIPPED):
            return zlib.decompressobj(wbits=31).decompress(start, START)
    return start


def beginning(path: Path, most: int) -> Lines:
    """The first records of a file, at most so many; raises UserError as `read_lines` does."""
    with told(path), opened(path) as file:
        content = file.readline(CHUNK) if most == 1 else file.read(CHUNK)
    lines = content.split(b"\n")
    lines = [line + b"\n" for line in lines[:-1]] + lines[-1:] * bool(lines[-1])
    whole = len(content) < CHUNK
    if not whole and len(lines) > 1:
        lines.pop()  # it goes on
    return _parsed(path, lines[:most], 1, is_end=whole and len(lines) <= most)


def read_lines(path: Path) -> Iterator[Lines]:
    """All records of a file, some at a time.

    A last line without an end that is no JSON was cut short by whoever was killed, and is left out.
    Raises UserError for any other line that is no JSON object.
    """
    number = 1
    with told(path), opened(path) as file:
        while content := file.readlines(CHUNK):
            yield _parsed(path, content, number, is_end=True)
            number += len(content)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """A sentence in place of a trace, where a file cannot be read."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read ({why}).") from error


def _parsed(path: Path, content: list[bytes], first: int, is_end: bool) -> Lines:
    records: list[Record] = []
    numbers: list[int] = []
    size, cut = sum(map(len, content)), False
    for number, line in enumerate(content, first):
        if number == 1:
            line = line.removeprefix(BOM)
        try:
            if not line.strip():
                continue
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            last = number == first + len(content) - 1
            if last and is_end and not line.endswith(b"\n"):
                cut = True
                break
            raise UserError(
                f"{path.name}, line {number} is no JSON ({error}): mend or remove that line."
            ) from error
        if not isinstance(record, dict):
            raise UserError(f"{path.name}, line {number} is JSON, but no object with names.")
        records.append(record)
        numbers.append(number)
    return Lines(path, records, numbers, size, cut)


# ------------------------------------------------------------------------- what records have alike

IDS = ("guid", "id", "idx", "index", "sample_id", "example_id", "uid")
LOOKED_AT = 500  # records of a file


def id_name(record: Record, where: str) -> str:
    """What the id of a point is called; raises UserError where there is none."""
    found = next((name for name in IDS if name in record), "")
    if not found:
        raise UserError(
            f"{where} has no id of its point, such as “guid”: it has"
            f" {', '.join(map(named, record))}. Points are known by their id, since they stand in"
            " another order in every epoch."
        )
    return found


def ids_of(lines: Lines, name: str) -> list[str]:
    """Of each record; raises UserError for one without."""
    ids = [record.get(name) for record in lines.records]
    for i, own in enumerate(ids):
        if own is None or isinstance(own, list | dict):
            raise UserError(f"{lines.where(i)} has no {named(name)}: which point is it of?")
        if isinstance(own, float) and own.is_integer():
            ids[i] = int(own)  # as a table of numbers has them
    return list(map(str, ids))


def count_of(lines: Lines) -> tuple[int, bool]:
    """Records of a file whose beginning this is, and whether that was estimated from its size."""
    seen = len(lines.records)
    if seen < LOOKED_AT:
        return seen, False
    return max(seen, int(lines.path.stat().st_size / lines.bytes * seen)), True


def shown(lines: Lines, most: int = 5) -> list[Record]:
    """The first records, for a preview."""
    return [{k: _short(v) for k, v in record.items()} for record in lines.records[:most]]


def _short(value: Any) -> Any:
    if isinstance(value, list):
        parts = ", ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in value[:8])
        return f"[{parts}{' …' * (len(value) > 8)}]"
    return value if isinstance(value, int | float) else str(value)[:80]
