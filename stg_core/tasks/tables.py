"""Data sets from tables: a row for each point, a column for each task and feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as arrow
import pyarrow.compute as compute
from numpy.typing import NDArray

from stg_core.system.errors import UserError
from stg_core.system.threads import ahead
from stg_core.system.words import named
from stg_core.tasks import mulan
from stg_core.tasks.choices import Choices, Found, Part, Progress
from stg_core.tasks.labels import Column, Integers, text_of
from stg_core.tasks.roles import Roles, Sample, assign
from stg_core.tasks.rows import CsvRows, ParquetRows, Rows, TableRows, Use

CSV_ENDINGS = (".csv", ".tsv", ".tab", ".txt", ".csv.gz", ".tsv.gz")
PARQUET_ENDINGS = (".parquet", ".pq")
ENDINGS = (*CSV_ENDINGS, *PARQUET_ENDINGS, *mulan.ENDINGS)
PIECES, PIECE_LENGTHS = 1_024, (2, 4)  # into which a text is hashed, and their characters
MOST_WORDS = 20  # of a feature that is made 0 and 1 for each of its words


def read(
    path: Path, choices: Choices, scratch: Path | None, limit: int | None, tell: Progress
) -> Found:
    """What a table holds; its points go below `scratch`, and are not read without one."""
    ending = path.name.lower()
    if ending.endswith(mulan.ENDINGS):
        table, choices, notes = mulan.read(path, choices, limit, tell)
        rows: Rows = TableRows(table, mulan.WHAT)
        rows.notes += notes
    else:
        is_parquet = ending.endswith(PARQUET_ENDINGS)
        rows = ParquetRows(path) if is_parquet else CsvRows(path)
    if not rows.count:
        raise UserError(f"{path.name} has no rows below its header.")
    roles = assign(rows.names, rows.head, choices, points=True)
    return gathered(rows, roles, scratch, limit, tell, path.name)


def gathered(
    rows: Rows,
    roles: Roles,
    scratch: Path | None,
    limit: int | None,
    tell: Progress,
    name: str,
) -> Found:
    """The columns of a table by their roles."""
    found = Found(rows.what, parts=roles.parts, count=rows.count, estimated=rows.estimated)
    found.notes = [*rows.notes, *roles.notes]
    found.problem = roles.problem
    features = None if roles.problem else _Features(rows, roles)
    if features is not None:
        found.features, found.shape = features.names, (len(features.names),)
        found.notes += features.notes
    wanted = _wanted(roles, features if scratch else None)
    if (roles.problem and scratch) or not wanted:
        return found
    labels = {part.index: Codes(part.name) for part in (*roles.of("task"), *roles.of("split"))}
    words: dict[int, list[str]] = {part.index: [] for part in (*roles.of("id"), *roles.of("text"))}
    n_rows = 0
    with ExitStack() as stack:
        file = stack.enter_context(open(scratch / "rows", "wb")) if scratch else None
        for batch in ahead(rows.batches(list(wanted.items()))):
            if limit is not None:
                batch = [column.slice(0, limit - n_rows) for column in batch]
            cells = {
                index: _encoded(column) if use == "label" else column
                for (index, use), column in zip(wanted.items(), batch, strict=True)
            }
            for index, codes in labels.items():
                codes.take(cells[index])
            for index, texts in words.items():
                texts.extend(_texts(cells[index]))
            if file is not None and features is not None:
                features.write(cells, file)
            n_rows += len(batch[0])
            tell(f"Reading {name}", min(1.0, n_rows / max(1, rows.count or 0)))
            if limit is not None and n_rows >= limit:
                break
        else:
            found.count, found.estimated = n_rows, False
    found.labels = [labels[part.index].column() for part in roles.of("task")]
    found.split = next((labels[part.index].column() for part in roles.of("split")), None)
    found.ids = next((words[part.index] for part in roles.of("id")), None)
    found.texts = next((words[part.index] for part in roles.of("text")), None)
    if scratch:
        shape = (n_rows, *found.shape)
        found.points = np.memmap(scratch / "rows", np.float32, "r", shape=shape)
    return found


def _wanted(roles: Roles, features: _Features | None) -> dict[int, Use]:
    """How each column that is read is used."""
    wanted: dict[int, Use] = {}
    for part in roles.parts:
        if part.role in ("task", "split"):
            wanted[part.index] = "label"
        elif part.role in ("id", "text"):
            wanted[part.index] = "text"
    return wanted | (features.uses if features else {})


def _texts(column: Any) -> list[str]:
    return [text or "" for text in column.to_pylist()]


def _encoded(column: Any) -> Any:
    """A column of labels as a dictionary of its values."""
    return column if isinstance(column, arrow.DictionaryArray) else column.dictionary_encode()


class Codes:
    """A column of labels while its batches come in."""

    def __init__(self, name: str) -> None:
        self.name, self.known, self.batches = name, dict[str, int](), list[Integers]()

    def take(self, encoded: Any) -> None:
        """A batch, encoded as a dictionary of values of any type."""
        texts = [text_of("" if v is None else v) for v in encoded.dictionary.to_pylist()]
        codes = [self.known.setdefault(t, len(self.known)) if t else -1 for t in texts]
        # as small as it can be: a hundred tasks of a million points are kept until all are read
        lookup = np.array([*codes, -1], dtype=np.min_scalar_type(-len(self.known) - 1))
        indices = encoded.indices.fill_null(len(texts)) if encoded.null_count else encoded.indices
        self.batches.append(lookup[indices.to_numpy()])

    def column(self) -> Column:
        batches, self.batches = self.batches, []
        codes = np.concatenate(batches) if batches else np.empty(0, dtype=np.int8)
        return Column(self.name, tuple(self.known), codes)


# --------------------------------------------------------------------------------------- features


@dataclass(frozen=True)
class _Words:
    """A column whose words become a number each, 1 where it stands."""

    values: tuple[str, ...]


class _Features:
    """The numbers of a row: columns of numbers, words as 0 and 1, and hashed texts."""

    def __init__(self, rows: Rows, roles: Roles) -> None:
        self.hashed = roles.hashed
        self.notes: list[str] = []
        self.names: list[str] = []
        self.columns: dict[int, _Words | int] = {}  # or how many numbers are in each cell
        for part in roles.of("feature"):
            if part.index == self.hashed:
                continue
            sample = roles.samples[part.index]
            if sample.kind in ("words", "other"):
                self._add_words(rows, part)
            else:
                self.columns[part.index] = sample.width
                self.names += _names(part.column, sample)
        if self.hashed is not None:
            self._add_pieces(rows.names[self.hashed])

    @property
    def uses(self) -> dict[int, Use]:
        uses: dict[int, Use] = {
            i: "label" if isinstance(cell, _Words) else "number" for i, cell in self.columns.items()
        }
        return uses if self.hashed is None else uses | {self.hashed: "text"}

    def _add_words(self, rows: Rows, part: Part) -> None:
        codes = Codes(part.column)
        for [batch] in rows.batches([(part.index, "label")]):
            batch = _encoded(batch)
            codes.take(batch)
            if len(batch.dictionary) > MOST_WORDS + 1:  # they are too many in any case
                break
        words = tuple(sorted(codes.column().values))
        if len(words) > MOST_WORDS:
            raise UserError(
                f"The feature {named(part.column)} holds words, more than {MOST_WORDS} different"
                f" ones: leave it out, or say --hash-text '{part.column}' to learn from its"
                " characters."
            )
        self.columns[part.index] = _Words(words)
        self.names += [f"{part.column} is {word}" for word in words]
        self.notes.append(
            f"Feature {named(part.column)} holds words: a number for each of the {len(words)}."
        )

    def _add_pieces(self, column: str) -> None:
        low, high = PIECE_LENGTHS
        self.names += [f"pieces of {column} {i + 1}" for i in range(PIECES)]
        self.notes.append(
            f"Features: {PIECES:,} hashed pieces of {low} to {high} characters of {named(column)}."
        )

    def write(self, cells: Mapping[int, Any], file: BinaryIO) -> None:
        """A batch of rows, as float32."""
        n_rows = len(next(iter(cells.values())))
        block = np.empty((n_rows, len(self.names)), dtype=np.float32)
        place = 0
        for index, cell in self.columns.items():
            if isinstance(cell, _Words):
                numbers: NDArray[Any] = _one_hot(cells[index], cell.values)
            else:
                numbers = _numbers(cells[index], cell)
            block[:, place : place + numbers.shape[1]] = numbers
            place += numbers.shape[1]
        if self.hashed is not None:
            block[:, place:] = hashed_pieces(_texts(cells[self.hashed]))
        file.write(block.data)


def _names(column: str, sample: Sample) -> list[str]:
    """A name for each number of a cell."""
    if sample.kind != "vectors":
        return [column]
    return [f"{column} {i + 1}" for i in range(sample.width)]


def _numbers(column: Any, width: int) -> NDArray[Any]:
    """The numbers (N, width) of the cells of a batch."""
    if not arrow.types.is_nested(column.type):
        numbers: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return numbers[:, None]
    lengths = compute.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    if (lengths != width).any():
        raise UserError(
            f"A feature has lists of {width} numbers, and one of {lengths[lengths != width][0]}:"
            " they should be equally long."
        )
    flat: NDArray[Any] = compute.list_flatten(column).to_numpy(zero_copy_only=False)
    return flat.reshape(-1, width)


def _one_hot(encoded: Any, values: Sequence[str]) -> NDArray[np.bool_]:
    codes = Codes("")
    codes.take(encoded)
    column = codes.column()
    places = np.array([*map(values.index, column.values), -1])  # the last is for an empty cell
    return np.asarray(places[column.codes][:, None] == np.arange(len(values)))


def hashed_pieces(texts: Sequence[str]) -> NDArray[np.float32]:
    """Counts of pieces of texts, (N, 1024), hashed and scaled to length 1."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        analyzer="char", ngram_range=PIECE_LENGTHS, n_features=PIECES, lowercase=False
    )
    found: NDArray[np.float32] = vectorizer.transform(texts).astype(np.float32).toarray()
    return found
