"""What each column of a table is taken for: as it is said, and guessed where nothing is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as arrow
import pyarrow.compute as compute

from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.choices import Choices, Part, Role, listed, matching, no_such
from stg_core.tasks.labels import MISSING
from stg_core.tasks.rows import is_text
from stg_core.tasks.splits import TEST_WORDS, TRAIN_WORDS

TASK_PREFIXES = ("task:", "target:", "label:")
ID_NAMES = ("id", "name", "index", "", "unnamed: 0", "__index_level_0__")
ID_ENDING = re.compile(r"(?:(?i:[_\W]id)|[a-z]I[dD])$")
TASK_NAMES = ("label", "labels", "target", "class", "y", "outcome")
SPLIT_NAMES = ("split", "subset", "set", "fold", "partition")
TEXT_NAMES = (
    *("smiles", "text", "sentence", "sequence", "comment", "abstract", "message", "document"),
    *("review", "title", "description", "question", "tweet"),
)
NO_OR_YES = {"0", "1", "0.0", "1.0", "false", "true", "no", "yes"}
EXAMPLES = 3


@dataclass
class Roles:
    """The parts of a table, in its order, and what their first cells show; which column's text
    becomes features, if any; what was guessed, and what is still to be said."""

    parts: list[Part]
    samples: list[Sample]
    hashed: int | None = None
    notes: list[str] = field(default_factory=list)
    problem: str = ""

    def of(self, role: Role) -> list[Part]:
        return [part for part in self.parts if part.role == role]


@dataclass(frozen=True)
class Sample:
    """What the first cells of a column show.

    kind: numbers, vectors (`width` numbers in each cell), words, nothing, or other.
    """

    kind: str
    distinct: tuple[str, ...]
    n_distinct: int
    n_cells: int
    width: int = 1

    @property
    def is_yes_or_no(self) -> bool:
        return bool(self.distinct) and {value.lower() for value in self.distinct} <= NO_OR_YES

    @property
    def differs(self) -> bool:
        """Whether no two cells are alike, as those of an identifier."""
        return self.n_distinct == self.n_cells

    @classmethod
    def of(cls, column: Any) -> Sample:
        if arrow.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if arrow.types.is_nested(column.type):
            width = _width(column)
            return cls("vectors" if width else "other", (), 0, len(column), width)
        distinct = compute.unique(column).drop_null()
        texts = distinct
        if is_text(column.type):
            distinct = compute.utf8_trim_whitespace(distinct)
            empty = compute.is_in(compute.utf8_lower(distinct), arrow.array(sorted(MISSING)))
            distinct = texts = distinct.filter(compute.invert(empty))
        shown = tuple(str(value) for value in texts.slice(0, 24).to_pylist())
        kind = "numbers" if _are_numbers(distinct) else "words"
        return cls(kind if len(distinct) else "nothing", shown, len(distinct), len(column))


def _width(column: Any) -> int:
    """How many numbers each list of a column holds; 0 where they differ, or hold anything else."""
    kind = column.type
    if not (hasattr(kind, "value_type") and not arrow.types.is_map(kind)):
        return 0
    if not (arrow.types.is_integer(kind.value_type) or arrow.types.is_floating(kind.value_type)):
        return 0
    widths: list[int] = compute.unique(compute.list_value_length(column)).to_pylist()
    return widths[0] or 0 if len(widths) == 1 else 0


def _are_numbers(values: Any) -> bool:
    if arrow.types.is_boolean(values.type) or arrow.types.is_decimal(values.type):
        return True
    if not is_text(values.type):
        return bool(arrow.types.is_integer(values.type) or arrow.types.is_floating(values.type))
    try:
        compute.cast(values, arrow.float64())
    except arrow.ArrowInvalid:
        return False
    return True


def assign(names: Sequence[str], head: Sequence[Any], choices: Choices, points: bool) -> Roles:
    """The role of every column, by its name and its first cells.

    points: whether the points are in the table too, and not images beside it. Raises UserError
    where what is said does not fit; `problem` says what is still to be said.
    """
    samples = [Sample.of(column) for column in head]
    return _Assignment(list(names), samples, choices, points).roles()


class _Assignment:
    def __init__(
        self, names: list[str], samples: list[Sample], choices: Choices, points: bool
    ) -> None:
        self.names, self.samples, self.choices, self.points = names, samples, choices, points
        self.parts: dict[int, Part] = {}
        self.notes: list[str] = []
        self.places: dict[str, list[int]] = {}  # of each name: it may stand there twice
        for i, name in enumerate(names):
            self.places.setdefault(name, []).append(i)

    def roles(self) -> Roles:
        self._take_what_is_said()
        self._guess_tasks()
        self._guess_split()
        self._guess_id()
        text = self._guess_text()
        hints = self._hints()
        self._guess_features(hints)
        hashed = self._hashed(text)
        whole = [self.parts[i] for i in range(len(self.names))]
        roles = Roles(whole, self.samples, hashed, self.notes)
        roles.problem = self._problem(roles)
        self._tell_of_what_is_left_out(roles)
        return roles

    # ------------------------------------------------------------------------------ what is said

    def _take_what_is_said(self) -> None:
        said = self.choices
        many: list[tuple[Role, str]] = [("left out", name) for name in said.left_out]
        many += [("task", name) for name in said.tasks]
        many += [("feature", name) for name in said.features]
        text = said.text or said.hash_text
        single: list[tuple[Role, str]] = [("id", said.id), ("text", text), ("split", said.split)]
        for _, name in single:
            if name and name not in self.places:
                raise no_such(name, self.names)
        for role, name in [*single, *many]:
            if name in self.places and (name or role in ("task", "feature")):
                self._take_one(name, role)
        for role, pattern in many:
            if pattern not in self.places:
                for name in self._matching(pattern, role):
                    if self.places[name][0] not in self.parts:
                        self._take_one(name, role)

    def _matching(self, pattern: str, role: Role) -> list[str]:
        try:
            return matching(pattern, self.names)
        except UserError as error:
            if role != "feature":
                raise
            raise UserError(
                f"{error} Without --feature, all other columns of numbers are taken, or else pieces"
                " of a text."
            ) from None

    def _take_one(self, name: str, role: Role) -> None:
        places = self.places[name]
        if len(places) > 1 and role != "left out":
            raise UserError(
                f"The column {named(name)} stands there {len(places)} times: rename one of"
                " them, since it cannot be said which is meant."
            )
        for index in places:
            if (old := self.parts.get(index)) and old.role != role:
                raise UserError(
                    f"The column {named(name)} cannot be {old.role} and {role} at once."
                )
            self._set(index, role, "as you said")

    def _set(self, index: int, role: Role, why: str, name: str = "", hint: str = "") -> None:
        own = self.names[index]
        examples = self.samples[index].distinct[:EXAMPLES]
        self.parts[index] = Part(index, own, role, why, name or own, hint, examples)

    def _rest(self) -> list[int]:
        return [i for i in range(len(self.names)) if i not in self.parts]

    def _has(self, role: Role) -> bool:
        return any(part.role == role for part in self.parts.values())

    # ------------------------------------------------------------------------------ what is guessed

    def _guess_tasks(self) -> None:
        if self._has("task"):
            return
        taken: dict[str, list[int]] = {}
        for i in self._rest():
            for prefix in TASK_PREFIXES:
                name = self.names[i][len(prefix) :].strip()
                if name and self.names[i].lower().startswith(prefix):
                    self._set(i, "task", f"begins with {prefix}", name)
                    taken.setdefault(prefix, []).append(i)
        for prefix, those in taken.items():
            names = "name begins" if len(those) == 1 else "names begin"
            count = counted(len(those), "column")
            self.notes.append(f"Tasks: {count} whose {names} with “{prefix}”.")

    def _guess_split(self) -> None:
        if self._has("split"):
            return
        for i in self._rest():
            words = {word.strip().lower() for word in self.samples[i].distinct}
            if self.names[i].lower() in SPLIT_NAMES:
                if words and words <= {*TRAIN_WORDS, *TEST_WORDS}:
                    self._set(i, "split", "its name and its words")
                    also = " and validation" if words & set(TRAIN_WORDS[3:]) else ""
                    self.notes.append(
                        f"Split: column {named(self.names[i])} says which points are for training"
                        f"{also} and which for testing."
                    )
                    return
                self._set(i, "left out", "named like a split, but does not say train and test")

    def _guess_id(self) -> None:
        if self._has("id"):
            return
        for i in self._rest():
            name = self.names[i]
            if name.lower() in ID_NAMES or ID_ENDING.search(name):
                if not self._has("id") and self.samples[i].differs:
                    self._set(i, "id", "its name, and no two of its cells are alike")
                    self.notes.append(f"Id: column {named(self.names[i])}, by its name.")
                else:
                    self._set(i, "left out", "named like an id")

    def _guess_text(self) -> int | None:
        if not self._has("text"):
            for i in self._rest():
                if self.names[i].lower() in TEXT_NAMES and self.samples[i].kind == "words":
                    self._set(i, "text", "its name")
                    self.notes.append(f"Text of a point: column {named(self.names[i])}.")
                    break
        return next((i for i, part in self.parts.items() if part.role == "text"), None)

    def _hints(self) -> list[int]:
        """Columns that look like tasks, where none is said: by name, or 0 and 1 beside features."""
        if self._has("task"):
            return []
        rest = self._rest()
        yes_or_no = [i for i in rest if self.samples[i].is_yes_or_no]
        others = any(self.samples[i].kind == "numbers" for i in rest if i not in yes_or_no)
        by_name = [i for i in rest if self.names[i].lower() in TASK_NAMES]
        features = others or self._has("text") or self._has("feature") or not self.points
        return sorted({*by_name, *(yes_or_no if features else ())})

    def _guess_features(self, hints: Sequence[int]) -> None:
        said = self._has("feature") or not self.points
        taken = 0
        for i in self._rest():
            sample = self.samples[i]
            if i in hints:
                self._set(i, "left out", "perhaps a task", hint="task")
            elif len(self.places[self.names[i]]) > 1:
                self._set(i, "left out", "its name stands there twice")
            elif sample.kind == "numbers" and not said:
                self._set(i, "feature", "holds numbers")
                taken += 1
            elif sample.kind == "vectors" and not said:
                self._set(i, "feature", f"holds {sample.width:,} numbers in each cell")
                self.notes.append(
                    f"Features: column {named(self.names[i])}, {sample.width:,} numbers a point."
                )
            elif sample.kind == "words":
                many = counted(sample.n_distinct, "different one")
                self._set(i, "left out", f"holds words, {many}")
            elif sample.kind in ("nothing", "other"):
                what = "is empty" if sample.kind == "nothing" else "holds lists that differ"
                self._set(i, "left out", what)
            elif sample.kind == "vectors":
                self._set(i, "left out", "holds lists of numbers")
            else:
                hint = "" if self.points or self._has("task") else "task"
                self._set(i, "left out", "holds numbers", hint=hint)
        if taken:
            self.notes.append(
                f"Features: {'all other ' * (taken > 1)}{counted(taken, 'column')} of numbers."
            )

    def _hashed(self, text: int | None) -> int | None:
        if not self.points:
            return None
        if self.choices.hash_text:
            [name] = matching(self.choices.hash_text, self.names)[:1]
            index = self.places[name][0]
            if self.parts[index].role == "left out":
                self.parts[index] = replace(self.parts[index], role="feature", why="as you said")
            return index
        return None if self._has("feature") else text

    # ------------------------------------------------------------------------------ what is told

    def _problem(self, roles: Roles) -> str:
        if not roles.of("task"):
            hints = [part.column for part in roles.parts if part.hint == "task"]
            if hints:
                return (
                    f"Which columns are the tasks? Perhaps {listed(hints)}: say"
                    f" {_suggestion(hints)}."
                )
            return (
                "Which columns are the tasks? Name each with --task NAME, or several with a"
                f" pattern such as --task 'label_*'. There are {listed(self.names)}."
            )
        if self.points and not roles.of("feature") and roles.hashed is None:
            return (
                "No column is left for the features: a model needs numbers to learn from. Name"
                " some with --feature, or a column of words with --hash-text."
            )
        return ""

    def _tell_of_what_is_left_out(self, roles: Roles) -> None:
        reasons: dict[str, list[str]] = {}
        for part in roles.of("left out"):
            if part.why != "as you said":
                reasons.setdefault(part.why.partition(",")[0], []).append(part.column)
        for why, names in reasons.items():
            hint = " --feature NAME makes a number of each word." if "words" in why else ""
            self.notes.append(f"Left out: {listed(names)} ({why}).{hint}")


def _suggestion(names: Sequence[str]) -> str:
    """Options that take all of the names, as patterns where many begin alike.

    >>> _suggestion(["NR-AR", "NR-ER", "SR-p53", "SR-ARE"])
    "--task 'NR-*' --task 'SR-*'"
    """
    begins = Counter(_beginning(name) for name in names)
    patterns = [f"{b}*" for b in begins if b] if "" not in begins and len(begins) <= 3 else names
    shown = [f"--task '{pattern}'" for pattern in patterns[:3]]
    return " ".join(shown) + (" and so on" if len(patterns) > 3 else "")


def _beginning(name: str) -> str:
    for i, character in enumerate(name):
        if character in "-_:." and i:
            return name[: i + 1]
    return ""
