"""Labels as people write them, and what they say: which kind of task a column is, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.groups import Kind, Task

Integers = NDArray[np.signedinteger[Any]]

MISSING = ("", "nan", "na", "n/a", "null", "none", "?", "<na>")  # in any case
NO_AND_YES: Mapping[str, float] = {
    **dict.fromkeys(("no", "n", "false", "f", "negative", "neg", "inactive"), 0.0),
    **dict.fromkeys(("yes", "y", "true", "t", "positive", "pos", "active"), 1.0),
}
MOST_CLASSES_GUESSED, MOST_CLASSES = 30, 1_000
POINTS_PER_CLASS = 10  # at least, for numbers to be taken for classes
STRAYS = 0.05  # share of labels below which other numbers beside 0 and 1 are asked about
SHOWN = 4  # values that a sentence names


@dataclass(frozen=True)
class Column:
    """A column as its source has it: values, each distinct text once (V,), and codes (N,), integers
    of any size, into them, -1 where a cell is empty."""

    name: str
    values: tuple[str, ...]
    codes: Integers

    @classmethod
    def of(cls, name: str, cells: ArrayLike) -> Column:
        """From an array (N,) of numbers, bools, texts or None."""
        array = np.asarray(cells)
        if array.ndim != 1:
            raise UserError(
                f"The labels of {named(name)} are {' × '.join(map(str, array.shape))}: give one"
                " value for each point."
            )
        if array.dtype.kind in "Ob" or array.dtype.kind == "U":
            array = np.array(["" if x is None else text_of(x) for x in array.tolist()], dtype=str)
        if array.dtype.kind not in "Uiuf":
            raise UserError(f"The labels of {named(name)} are neither numbers nor words.")
        distinct, codes = np.unique(array, return_inverse=True)
        values = tuple(text_of(value) for value in distinct.tolist())
        empty = np.array([value == "" for value in values], dtype=bool)
        return cls(name, values, np.where(empty[codes], -1, codes).astype(np.int32))


@dataclass(frozen=True)
class Labels:
    """One task with its labels (N,) float32, NaN where one is missing; why it is of that kind."""

    task: Task
    labels: NDArray[np.float32]
    why: str


def text_of(value: Any) -> str:
    """As a table would have it; NaN is an empty cell, and a whole number has no decimals."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return "" if value != value else repr(int(value) if value.is_integer() else value)
    return str(value)


def read_labels(
    column: Column,
    kind: Kind | None = None,
    missing: Collection[str] = (),
    no: str | None = None,
    family: str = "",
) -> Labels:
    """What a column of labels says; the kind of task is guessed where it is not given.

    missing: further values that stand for a missing label; no: the value that means no in a column
    with 1. Raises UserError, which asks or says what to do, where labels can be read in two ways.
    """
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.values))
    without = {_normal(value) for value in missing}
    may_be_numbers = len(column.values) > MOST_CLASSES and no is None
    if may_be_numbers and (found := _many_numbers(column, counts, without, kind, family)):
        return found
    told = {
        i: value.strip()
        for i, value in enumerate(column.values)
        if counts[i] and _normal(value) not in (*MISSING, *without)
    }
    if not told:
        raise UserError(f"Task {named(column.name)} has no label at all: leave it out.")
    reading = _Reading(column.name, told, counts, no, family)
    answers, task, why = reading.read(kind)
    lookup = np.full(len(column.values) + 1, np.nan, dtype=np.float32)  # the last is for -1
    for i, answer in answers.items():
        lookup[i] = answer
    return Labels(task, lookup[column.codes], why)


def _many_numbers(
    column: Column,
    counts: NDArray[np.int64],
    without: Collection[str],
    kind: Kind | None,
    family: str,
) -> Labels | None:
    """What `_Reading` makes of a great many numbers, quickly; None for what it must look at."""
    if kind not in (None, "regression"):
        return None
    texts = ["nan" if v.strip().lower() in MISSING else v for v in column.values]
    try:
        numbers = np.fromiter(map(float, texts), np.float64, len(texts))
    except ValueError:
        return None
    numbers[np.isin(numbers, [n for word in without if (n := number_of(word)) is not None])] = (
        np.nan
    )
    known = np.unique(numbers[(counts > 0) & ~np.isnan(numbers)])
    strays = kind is None and np.isin((0, 1), known).all()
    if (
        strays
        or len(known) <= MOST_CLASSES
        or not np.isfinite(known).all()
        or "_" in "".join(texts)
    ):
        return None
    what = "whole numbers" if (known == np.rint(known)).all() else "numbers"
    why = "said" if kind else f"its labels are {len(known):,} different {what}"
    lookup = np.append(numbers, np.nan).astype(np.float32)  # the last is for -1
    task = Task(column.name, (), "column", "regression", (), family)
    return Labels(task, lookup[column.codes], why)


def _normal(value: str) -> str:
    """The same for values that mean the same: "-1", "−1" and "-1.0"; "NA" and "na"."""
    text = value.strip().replace("−", "-").lower()
    number = number_of(text)
    return text if number is None else repr(number + 0.0)


def number_of(text: str) -> float | None:
    """The number that a text is; None for any other."""
    try:
        value = float(text.replace("−", "-"))
    except ValueError:
        return None
    return None if value != value or "_" in text else value


class _Reading:
    """The distinct values of one column, and what they may mean."""

    def __init__(
        self,
        name: str,
        told: Mapping[int, str],
        counts: NDArray[np.int64],
        no: str | None,
        family: str,
    ) -> None:
        self.name, self.told, self.counts, self.family = name, told, counts, family
        self.numbers = {i: n for i, v in told.items() if (n := number_of(v)) is not None}
        self.no = None if no is None else _normal(no)
        self.total = int(sum(counts[i] for i in told))

    def read(self, kind: Kind | None) -> tuple[Mapping[int, float], Task, str]:
        if kind == "binary":
            return self._binary("said")
        if kind == "multiclass":
            return self._multiclass("said")
        if kind == "regression":
            return self._regression("said")
        return self._guessed()

    def _guessed(self) -> tuple[Mapping[int, float], Task, str]:
        numbers, words = set(self.numbers.values()), {v.lower() for v in self.told.values()}
        all_numbers = len(self.numbers) == len(self.told)
        plain = words <= set(NO_AND_YES) or (all_numbers and numbers <= {-1, 0, 1})
        if plain or self.no is not None:
            in_order = sorted(self.told, key=self.told.__getitem__)
            return self._binary(f"its labels are {self._some(in_order)}")
        if 0 < len(self.numbers) < len(self.told):
            strange = [v for i, v in self.told.items() if i not in self.numbers]
            if len(strange) <= SHOWN and len(self.numbers) > len(strange):
                self._refuse(
                    f"holds numbers, but also {', '.join(map(named, strange))}. If that stands for"
                    f" a missing label, say --missing={strange[0]}"
                )
        if not self.numbers or len(self.numbers) < len(self.told):
            if len(self.told) > MOST_CLASSES_GUESSED and 2 * len(self.told) > self.total:
                self._refuse(
                    f"has {len(self.told):,} different words for {counted(self.total, 'point')}:"
                    " that looks like an identifier or a text. Leave it out of the tasks, or say"
                    f" --kind '{self.name}=multiclass'"
                )
            return self._multiclass(f"its labels are {counted(len(self.told), 'word')}")
        return self._guessed_of_numbers(numbers)

    def _guessed_of_numbers(self, numbers: set[float]) -> tuple[Mapping[int, float], Task, str]:
        beside = [i for i, n in self.numbers.items() if n not in (0, 1)]
        if {0, 1} <= numbers and sum(self.counts[i] for i in beside) < STRAYS * self.total:
            self._refuse(
                f"has labels beside 0 and 1, such as {self._some(beside)}, for few points. If they"
                f" stand for missing ones, say --missing={self.told[beside[0]]}; if they are"
                f" classes, --kind '{self.name}=multiclass'"
            )
        whole = all(n.is_integer() for n in numbers)
        if len(numbers) <= 2 and not whole:
            self._refuse(
                f"has the labels {self._some(self.told)}, which are neither 0 and 1 nor numbers to"
                " predict. Write yes as 1 and no as 0; soft labels are not learned from"
            )
        few = len(numbers) <= MOST_CLASSES_GUESSED
        if whole and few and self.total >= POINTS_PER_CLASS * len(numbers):
            return self._multiclass(f"its labels are {len(numbers)} different whole numbers")
        kind = "whole numbers" if whole else "numbers"
        return self._regression(f"its labels are {len(numbers):,} different {kind}")

    def _binary(self, why: str) -> tuple[Mapping[int, float], Task, str]:
        answers: dict[int, float] = {}
        for i, value in self.told.items():
            number = self.numbers.get(i)
            if self.no is not None and _normal(value) == self.no:
                answers[i] = 0.0
            elif number in (0, 1):
                answers[i] = float(number or 0.0)
            elif number is None and value.lower() in NO_AND_YES:
                answers[i] = NO_AND_YES[value.lower()]
            elif number == -1:
                self._refuse(
                    f"has labels of {value}. Is that a missing label or a no? Say --missing=-1 or"
                    " --no=-1"
                )
            else:
                self._refuse(
                    f"has labels such as {named(value)}, and those of a binary task are 1 and 0."
                    f" Say --missing={value} if that is a missing label, or another kind with"
                    f" --kind '{self.name}=multiclass' or '{self.name}=regression'"
                )
        return answers, Task(self.name, rule="column", family=self.family), why

    def _multiclass(self, why: str) -> tuple[Mapping[int, float], Task, str]:
        if len(self.told) < 2:
            [only] = self.told.values()
            self._refuse(f"has the same label for every point, {named(only)}: leave it out")
        if len(self.told) > MOST_CLASSES:
            self._refuse(f"has {len(self.told):,} classes; {MOST_CLASSES:,} are the most")
        in_order = sorted(self.told, key=lambda i: (self.numbers.get(i, 0.0), self.told[i]))
        values = tuple(self.told[i] for i in in_order)
        task = Task(self.name, (), "column", "multiclass", values, self.family)
        return {i: float(c) for c, i in enumerate(in_order)}, task, why

    def _regression(self, why: str) -> tuple[Mapping[int, float], Task, str]:
        if strange := [v for i, v in self.told.items() if i not in self.numbers]:
            self._refuse(
                f"should be numbers and has {', '.join(map(named, strange[:SHOWN]))}. If that"
                f" stands for a missing label, say --missing={strange[0]}"
            )
        if not np.isfinite(list(self.numbers.values())).all():
            self._refuse("has an infinite number: leave that cell empty")
        return self.numbers, Task(self.name, (), "column", "regression", (), self.family), why

    def _some(self, codes: Collection[int]) -> str:
        shown = [self.told[i] for i in codes][:SHOWN]
        return ", ".join(shown) + " …" * (len(codes) > SHOWN)

    def _refuse(self, what: str) -> NoReturn:
        raise UserError(f"Task {named(self.name)} {what}.")
