"""Rows of tables, read in batches: CSV, TSV and Parquet may be larger than memory."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as arrow
import pyarrow.compute as compute
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.labels import MISSING, number_of

Use = Literal["number", "label", "text"]

HEAD = 2_000  # rows by which roles are guessed
BLOCK = 2**22  # bytes of a CSV file that are parsed at a time
LONGEST_HEADER = 2**22
DELIMITERS: Mapping[str, str] = {",": "commas", ";": "semicolons", "\t": "tabs"}
EMPTY = sorted({form(word) for word in (*MISSING, "nan") for form in (str, str.upper, str.title)})
NO_NUMBER = arrow.array(sorted(MISSING))


class Rows(Protocol):
    """A table. names: of its columns, as they stand there; head: the first rows of each column;
    count: of its rows, None where unknown; estimated: whether that is a guess."""

    what: str
    names: list[str]
    head: list[Any]
    notes: list[str]
    count: int | None
    estimated: bool

    def batches(self, wanted: Sequence[tuple[int, Use]]) -> Iterator[list[Any]]:
        """Arrays of the wanted columns, batch by batch.

        A "number" is float32, null where it is missing, or a list of numbers; a "label" is encoded
        as a dictionary; a "text" is a string. Raises UserError for what is no number.
        """
        ...


# -------------------------------------------------------------------------------------------- CSV


class CsvRows:
    """Values with commas, semicolons or tabs between them, plain or compressed."""

    def __init__(self, path: Path) -> None:
        self.path, self.notes = path, list[str]()
        start, whole = _start_of(path)
        self.blank, start = _without_blank_lines(start)
        self.delimiter = _delimiter(path, start)
        self.names = _header(start, self.delimiter, path)
        self.what = f"a table with {DELIMITERS[self.delimiter]} between its values"
        self.point = "."
        everything: list[tuple[int, Use]] = [(i, "text") for i in range(len(self.names))]
        first = next(self._read(everything), None)
        self.head = [arrow.array([], arrow.string()) for _ in self.names]
        self.count: int | None = 0
        self.estimated = False
        if first is not None:
            self.head = [column.slice(0, HEAD) for column in first.columns]
            self._count(first, whole)
        self._decide_decimals()

    def _count(self, first: Any, whole: bool) -> None:
        size, n_rows = self.path.stat().st_size, first.num_rows
        if size < BLOCK and whole:
            self.count = n_rows
        else:
            in_block = sum(column.nbytes - 4 * len(column) for column in first.columns)
            per_row = in_block / max(1, n_rows) + len(self.names)
            self.count, self.estimated = max(n_rows, round(size / per_row)), True

    def _decide_decimals(self) -> None:
        if self.delimiter != ";":
            return
        cells = [text for column in self.head for text in column.slice(0, 50).to_pylist()]
        if any(re.fullmatch(r"\s*-?\d+,\d+\s*", cell or "") for cell in cells):
            self.point = ","
            self.head = [_with_points(column) for column in self.head]
            self.notes = ["Numbers are read with a decimal comma, as they stand there."]

    def batches(self, wanted: Sequence[tuple[int, Use]]) -> Iterator[list[Any]]:
        for batch in self._read(wanted):
            columns = batch.columns
            if self.point == ",":
                columns = [
                    _with_points(column) if use == "label" else column
                    for column, (_, use) in zip(columns, wanted, strict=True)
                ]
            yield columns

    def _read(self, wanted: Sequence[tuple[int, Use]]) -> Iterator[Any]:
        types = {"number": arrow.float32(), "text": arrow.string(), "label": arrow.string()}
        columns = [f"f{i}" for i, _ in wanted]
        try:
            yield from arrow_csv.open_csv(
                self.path,
                arrow_csv.ReadOptions(
                    autogenerate_column_names=True,
                    skip_rows=self.blank,
                    skip_rows_after_names=1,
                    block_size=BLOCK,
                ),
                arrow_csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
                arrow_csv.ConvertOptions(
                    column_types={f"f{i}": types[use] for i, use in wanted},
                    include_columns=columns,
                    null_values=EMPTY,
                    strings_can_be_null=False,
                    decimal_point=self.point,
                ),
            )
        except arrow.ArrowInvalid as error:
            if "Empty CSV" not in str(error):
                raise UserError(self._sentence(str(error))) from error
        except arrow.ArrowKeyError as error:
            raise UserError(f"{self.path.name}: its rows are shorter than its header.") from error

    def _sentence(self, error: str) -> str:
        where = f" (row {found[1]})" if (found := re.search(r"Row #(\d+)", error)) else ""
        if found := re.search(r"Expected (\d+) columns, got (\d+)(?:: (.*))?", error):
            fewer = int(found[2]) < int(found[1])
            mend = (
                f"put {DELIMITERS[self.delimiter]} between its empty cells too"
                if fewer
                else f"put quotation marks around values that hold {DELIMITERS[self.delimiter]}"
            )
            return (
                f"{self.path.name} has {counted(int(found[1]), 'column')} by its first line, and a"
                f" row with {found[2]}{where}, {named(found[3] or '')}: {mend}."
            )
        if found := re.search(r"column #(\d+).*invalid value '(.*)'", error, re.DOTALL):
            column = self.names[int(found[1])]
            return (
                f"The feature {named(column)} has a value that is no number,"
                f" {named(found[2])}{where}: empty that cell, or leave the column out with"
                f" --leave-out '{column}'."
            )
        if "UTF8" in error.upper().replace("-", ""):
            return f"{self.path.name} is not in UTF-8: save it as CSV (UTF-8)."
        return f"{self.path.name} cannot be read as a table ({error.splitlines()[0][:200]})."


def _with_points(column: Any) -> Any:
    """Decimal commas become points, in texts and in dictionaries of texts."""
    if isinstance(column, arrow.DictionaryArray):
        values = _with_points(column.dictionary)
        return arrow.DictionaryArray.from_arrays(column.indices, values)
    return compute.replace_substring_regex(column, r"^(\s*-?\d+),(\d+\s*)$", r"\1.\2")


def _start_of(path: Path) -> tuple[str, bool]:
    """The first characters of a text, and whether they are all that there is in the file."""
    try:
        with arrow.input_stream(str(path), compression="detect") as stream:
            content = stream.read(LONGEST_HEADER)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}).") from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path.name} is in UTF-16: save it as CSV (UTF-8).")
    if b"\0" in content[:10_000]:
        raise UserError(f"{path.name} is no text, though its name says so.")
    cut = len(content) == LONGEST_HEADER
    text = content.decode("utf-8-sig", errors="ignore" if cut else "replace")
    if "\ufffd" in text and b"\xef\xbf\xbd" not in content:
        raise UserError(f"{path.name} is not in UTF-8: save it as CSV (UTF-8).")
    if not text.strip():
        raise UserError(f"{path.name} is empty.")
    return text, not path.name.lower().endswith(".gz")


def _without_blank_lines(text: str) -> tuple[int, str]:
    """How many blank lines a text begins with, and the rest."""
    lines = re.match(r"(?:[ \t]*\r?\n)*", text)
    assert lines is not None, "it may be nothing"
    return lines[0].count("\n"), text[lines.end() :]


def _delimiter(path: Path, start: str) -> str:
    if path.name.lower().removesuffix(".gz").endswith((".tsv", ".tab")):
        return "\t"
    return max(DELIMITERS, key=lambda d: len(next(csv.reader(io.StringIO(start), delimiter=d))))


def _header(start: str, delimiter: str, path: Path) -> list[str]:
    names = next(csv.reader(io.StringIO(start, newline=""), delimiter=delimiter))
    if names and all(number_of(name) is not None for name in names):
        raise UserError(
            f"The first line of {path.name} holds numbers only: write the names of its columns"
            " there."
        )
    return [name.strip() for name in names]


# ------------------------------------------------------------------------------- Parquet, memory


class ParquetRows:
    """A Parquet file."""

    def __init__(self, path: Path) -> None:
        self.what, self.notes, self.estimated = "a Parquet table", list[str](), False
        try:
            self.file = parquet.ParquetFile(path)
        except (arrow.ArrowInvalid, OSError) as error:
            raise UserError(f"{path.name} is no Parquet file, or damaged ({error}).") from error
        self.names: list[str] = self.file.schema_arrow.names
        self.count: int | None = self.file.metadata.num_rows
        first = next(self.file.iter_batches(batch_size=HEAD), None)
        self.head = [] if first is None else first.columns
        self.head = self.head or [arrow.array([], field.type) for field in self.file.schema_arrow]

    def batches(self, wanted: Sequence[tuple[int, Use]]) -> Iterator[list[Any]]:
        names = [self.names[i] for i, _ in wanted]
        rows = max(1, 2**22 // max(1, len(names)))
        for batch in self.file.iter_batches(batch_size=rows, columns=names):
            found = {field.name: i for i, field in enumerate(batch.schema)}
            yield [
                converted(batch.column(found[name]), use, name)
                for name, (_, use) in zip(names, wanted, strict=True)
            ]


class TableRows:
    """A table in memory."""

    def __init__(self, table: Any, what: str) -> None:
        self.table, self.what, self.notes, self.estimated = table, what, list[str](), False
        self.names: list[str] = table.column_names
        self.count: int | None = table.num_rows
        self.head = [column.slice(0, HEAD).combine_chunks() for column in table.columns]

    def batches(self, wanted: Sequence[tuple[int, Use]]) -> Iterator[list[Any]]:
        yield [
            converted(self.table.column(i).combine_chunks(), use, self.names[i])
            for i, use in wanted
        ]


def converted(column: Any, use: Use, name: str) -> Any:
    """A column of any type as it is used; UserError where it has no such form."""
    if arrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        if use == "number" and arrow.types.is_nested(column.type):
            return column
        if use == "number":
            return compute.cast(_as_numbers(column), arrow.float32(), safe=False)
        if use == "text":
            return compute.cast(column, arrow.string()).fill_null("")
        return column.dictionary_encode()
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError, arrow.ArrowTypeError) as error:
        raise UserError(
            f"The column {named(name)} holds {column.type}, which cannot be used as a {use}:"
            f" leave it out with --leave-out '{name}'."
        ) from error


def _as_numbers(column: Any) -> Any:
    if arrow.types.is_decimal(column.type):
        return compute.cast(column, arrow.float64())
    if not is_text(column.type):
        return column
    trimmed = compute.utf8_trim_whitespace(column)
    empty = compute.is_in(compute.utf8_lower(trimmed), NO_NUMBER)
    return compute.if_else(empty, None, trimmed)


def is_text(kind: Any) -> bool:
    return bool(arrow.types.is_string(kind) or arrow.types.is_large_string(kind))
