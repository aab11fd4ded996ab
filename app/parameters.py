"""What an address may say: every parameter has a kind, which reads it before a page does.

A value that cannot be is named to the visitor once and replaced by what its kind says. Streamlit
alone would take the default in silence, or hand None to a page that does not expect it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.words import plain
from stg_core.system.words import named

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,4})?", re.ASCII | re.IGNORECASE)
LONGEST_NUMBER = 400  # characters: the largest float has 309 digits
DEFAULT = "the default is shown"


@dataclass(frozen=True)
class Reading:
    """What is left of a parameter: None where nothing is; and what was wrong with it, or ""."""

    values: list[str] | None
    wrong: str = ""


class Kind(Protocol):
    """A kind of parameter."""

    def read(self, values: Sequence[str]) -> Reading:
        """Reads a parameter, given once or several times; the last one counts where one can."""


@dataclass(frozen=True)
class OneOf:
    """One of a few texts, as the widget writes them; `empty` if it may be none of them."""

    options: Sequence[object]
    empty: bool = False

    def read(self, values: Sequence[str]) -> Reading:
        value = values[-1]
        if value in map(str, self.options):
            return Reading([value])
        if self.empty and not value:
            return Reading(None)
        return Reading(None, f"{named(value)} is not one of its choices: {DEFAULT}")


@dataclass(frozen=True)
class SeveralOf:
    """Any number of a few texts, each once; an empty parameter says none of them.

    thinned: of numbers, as of `Step`.
    """

    options: Sequence[object]
    thinned: bool = False

    def read(self, values: Sequence[str]) -> Reading:
        if not any(values):
            return Reading([""])
        known = {str(option) for option in self.options}
        if self.thinned and all(value.isdecimal() for value in values):
            values = [str(n) for n in nearest(map(float, values), self.options)]
        kept = list(dict.fromkeys(value for value in values if value in known))
        strange = [value for value in values if value not in known]
        if not strange:
            return Reading(kept)
        instead = "it is left out" if kept else DEFAULT
        return Reading(kept or None, f"{named(strange[0])} is not one of its choices: {instead}")


@dataclass(frozen=True)
class Number:
    """A number from least to most; a whole one unless `fraction`. `of`: what most counts."""

    least: float
    most: float
    fraction: bool = False
    of: str = ""

    def read(self, values: Sequence[str]) -> Reading:
        value, number = values[-1], number_of(values[-1])
        if number is None:
            return Reading(None, f"{named(value)} is not a number: {DEFAULT}")
        if number < self.least:
            return self._instead(value, self.least, f"less than {_said(self.least)}")
        if number > self.most:
            what = f"{_said(self.most)} {self.of}".strip()
            return self._instead(value, self.most, f"more than {what}")
        if not self.fraction and number != int(number):
            return self._instead(value, round(number), "not a whole number")
        return Reading([value if self.fraction else str(int(number))])

    def _instead(self, value: str, taken: float, why: str) -> Reading:
        return Reading([_said(taken)], f"{named(value)[1:-1]} is {why}: {_said(taken)} is shown")


@dataclass(frozen=True)
class Step:
    """One of ascending numbers: the nearest of them. `of`: what the largest counts.

    thinned: whether others were among them, so that nothing is wrong with one that is no longer.
    """

    options: Sequence[float]
    of: str = ""
    thinned: bool = False

    def read(self, values: Sequence[str]) -> Reading:
        within = Number(self.options[0], self.options[-1], fraction=True, of=self.of).read(values)
        if within.values is None or within.wrong:
            return within
        number = float(within.values[0])
        (taken,) = nearest([number], self.options)
        if self.thinned or math.isclose(taken, number, rel_tol=1e-9, abs_tol=1e-12):
            return Reading([str(taken)])
        wrong = f"{named(values[-1])[1:-1]} is not one of its steps: {_said(taken)} is shown"
        return Reading([str(taken)], wrong)


@dataclass(frozen=True)
class Pair:
    """Two whole numbers from 1 on, such as "3-12"; none of them where one is more than `most`."""

    most: int

    def read(self, values: Sequence[str]) -> Reading:
        if self.pair(values[-1]):
            return Reading([values[-1]])
        first, _, second = values[-1].partition("-")
        if first.isdecimal() and second.isdecimal():  # such as of another number of clusters
            return Reading(None)
        return Reading(None, f"{named(values[-1])} is no pair such as 1-2: none is shown")

    def pair(self, value: str) -> tuple[int, int] | None:
        """Both, counted from 0."""
        first, _, second = value.partition("-")
        if not (first.isdecimal() and second.isdecimal()):
            return None
        both = int(first) - 1, int(second) - 1
        return both if all(0 <= each < self.most for each in both) else None


@dataclass(frozen=True)
class Flag:
    """Yes or no, as the widget or the page writes them."""

    yes: str = "true"
    no: str = "false"

    def read(self, values: Sequence[str]) -> Reading:
        value = values[-1].lower()
        if value in (self.yes, self.no):
            return Reading([value])
        wrong = f"{named(values[-1])} is neither {self.yes} nor {self.no}: {DEFAULT}"
        return Reading(None, wrong)


@dataclass(frozen=True)
class Text:
    """Words of the visitor's own."""

    longest: int
    lines: bool = False

    def read(self, values: Sequence[str]) -> Reading:
        value = values[-1]
        if len(value) > self.longest:
            wrong = f"{named(value)} has more than {self.longest:,} characters: it is left out"
            return Reading(None, wrong)
        if not all(c.isprintable() or (self.lines and c in "\r\n\t") for c in value):
            return Reading(None, f"{named(value)} cannot be shown: it is left out")
        return Reading([value])


def number_of(text: str) -> float | None:
    """The number that a text writes in ASCII digits; None for any other text.

    >>> number_of("1e3"), number_of("nan"), number_of("٣"), number_of("1e999")
    (1000.0, None, None, inf)
    """
    text = text.strip()
    if not NUMBER.fullmatch(text):
        return None
    if len(text) > LONGEST_NUMBER:
        return -math.inf if text.startswith("-") else math.inf
    return float(text)


def nearest(wanted: Iterable[float], options: Sequence[Any]) -> list[Any]:
    """The nearest of some numbers to each wanted one, ascending, each once."""
    return sorted({min(options, key=lambda option: abs(option - n)) for n in wanted})


def _said(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


# ------------------------------------------------------------------------------------- on a page


def read(name: str, values: Sequence[str], kind: Kind) -> list[str] | None:
    """What is left of a parameter; tells the visitor what was wrong with it, once."""
    reading = kind.read(values)
    if reading.wrong:
        _tell(name, values, reading.wrong)
    elif len(values) > 1 and not isinstance(kind, SeveralOf):
        _tell(name, values, f"{named(values[-1])} counts, the last of {len(values)}")
    return reading.values


def in_url(key: str, kind: Kind) -> dict[str, Any]:
    """The key of a widget that keeps its value in the URL; what the URL says is read first."""
    context = get_script_run_ctx()
    if context is not None:
        with context.session_state.query_params() as url:
            # Streamlit has no public way to change what a link says before its widget reads it
            linked = url._initial_query_params
            if values := linked.get(key):
                left = read(key, values, kind)
                linked.pop(key)
                if left is None:
                    url.remove_param(key)
                else:
                    linked[key] = left
    return {"key": key, "bind": "query-params"}


def _tell(name: str, values: Sequence[str], wrong: str) -> None:
    """In a toast: it outlives the run, in which a page may run again to show something slow."""
    told = st.session_state.setdefault("parameters told", set())
    if (name, *values) not in told:
        told.add((name, *values))
        st.toast(plain(f"{name} = {wrong}."), icon=":material/link_off:", duration="infinite")
