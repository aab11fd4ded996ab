"""Training dynamics as Dataset Cartography writes them (Swayamdipta et al. 2020), and variants.

A folder of JSON lines, `{"guid": …, "logits_epoch_<e>": [C numbers], "gold": int}`, a file or
more for each epoch, in any order. Variants: other names of the id and of the label, labels as texts
or as a list of yes and no, probabilities under either name, one number in place of a list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from stg_core.maps.formats.answers import Answers, Numbers, Question
from stg_core.maps.formats.classes import against_the_rest, ask_for_tasks
from stg_core.maps.formats.keeping import Keeper, shares_nothing
from stg_core.maps.formats.label_files import LabelFile
from stg_core.maps.formats.lines import (
    LOOKED_AT,
    Lines,
    Record,
    Tell,
    beginning,
    count_of,
    id_name,
    ids_of,
    read_lines,
    shown,
)
from stg_core.maps.formats.numbers import Floats
from stg_core.maps.formats.splitting import has_several, of_first_epoch, outputs_of, parted
from stg_core.maps.formats.unlabelled import UNKNOWN, renamed, unlabelled
from stg_core.maps.log_labels import check_labels
from stg_core.maps.outputs import SLACK, OutputReader
from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.groups import Task

FORMAT = "training dynamics of Dataset Cartography (JSON lines)"
GOLDS = ("gold", "label", "labels", "target", "gold_label", "y")
SUM_SLACK = 1e-2  # by which probabilities may miss 1 together


def output_name(record: Record) -> re.Match[str] | None:
    """The name of what a model answered, such as "logits_epoch_3"; None where there is none."""
    return next(iter(outputs_of(record)), None)


def is_one(record: Record) -> bool:
    """Whether a line of JSON is of this format."""
    return output_name(record) is not None


@dataclass(frozen=True)
class Dynamics:
    """The log of one folder: the files of each epoch, and what their first records show.

    prefix: such as "logits"; id, gold: names, gold "" where there is no label; width: numbers of an
    output, 0 for one that is no list; outputs: what those are; mixed: files of several epochs.
    """

    name: str
    files: Mapping[int, list[Path]]
    first: Mapping[Path, Lines]
    prefix: str
    id: str
    gold: str
    width: int
    outputs: Numbers
    golds: list[Any] = field(repr=False)
    mixed: tuple[Path, ...] = ()

    @property
    def kind_of_gold(self) -> str:
        """ "number", "text", "list" or ""."""
        known = [gold for gold in self.golds if gold is not None]
        if any(isinstance(gold, list) for gold in known):
            return "list"
        if any(isinstance(gold, str) and _whole(gold) is None for gold in known):
            return "text"
        return "number" if known else ""

    @property
    def texts(self) -> list[str]:
        """Labels that are texts, as far as they were seen."""
        return sorted({str(gold) for gold in self.golds if gold not in (None, "", "-1")})

    @property
    def n_classes(self) -> int:
        """Of a single task; 2 where it asks for yes or no."""
        return max(self.width, 2)


def dynamics_of(name: str, first: Mapping[Path, Lines], said: Numbers | None) -> Dynamics:
    """From the beginnings of a folder's files; raises UserError for what cannot be read."""
    mixed = tuple(path for path, lines in first.items() if has_several(lines))
    first = {path: of_first_epoch(ls) if path in mixed else ls for path, ls in first.items()}
    files: dict[int, list[Path]] = {}
    for path, lines in sorted(first.items(), key=lambda item: item[0].name):
        found = _output_of(lines, 0)
        files.setdefault(int(found[2]), []).append(path)
    files = dict(sorted(files.items()))
    lines = first[next(iter(files.values()))[0]]
    record, prefix = lines.records[0], _output_of(lines, 0)[1]
    own_id = id_name(record, lines.where(0))
    gold = next((name for name in GOLDS if any(name in each for each in lines.records)), "")
    value = record[_output_of(lines, 0)[0]]
    width = len(value) if isinstance(value, list) else 0
    found_here = Dynamics(
        name,
        files,
        first,
        prefix,
        own_id,
        gold,
        width,
        said or "logits",
        [each.get(gold) for lines in first.values() for each in lines.records] if gold else [],
        mixed,
    )
    return found_here if said else replace(found_here, outputs=_told_apart(found_here, lines))


def _about_outputs(log: Dynamics) -> str:
    """What the numbers were taken for, where their name says something else, or nothing is sure."""
    agrees = log.prefix.startswith(log.outputs[:4])
    if agrees and log.width > 1:
        return ""
    why = {
        "logits": "some of the first are no probabilities",
        "probabilities": "all of the first lie from 0 to 1"
        + ", and those of a point sum to 1" * (log.width > 1 and log.kind_of_gold != "list"),
    }[log.outputs]
    return f"The outputs called {named(log.prefix)} were taken for {log.outputs}: {why}."


def _output_of(lines: Lines, i: int) -> re.Match[str]:
    found = output_name(lines.records[i])
    if found is None:
        raise UserError(
            f"{lines.where(i)} has no output: a list of numbers called such as “logits_epoch_0”."
        )
    return found


def _told_apart(log: Dynamics, lines: Lines) -> Numbers:
    """Rows that are not negative and sum to 1 are probabilities, whatever they are called."""
    epoch = next(iter(log.files))
    values = _values(log, lines, f"{log.prefix}_epoch_{epoch}")
    within = bool(((values >= 0) & (values <= 1 + SLACK)).all())
    if log.width < 2 or log.kind_of_gold == "list":
        return "probabilities" if within else "logits"
    to_one = np.allclose(values.sum(axis=1), 1, atol=SUM_SLACK)
    return "probabilities" if within and to_one else "logits"


@dataclass(frozen=True)
class CartographyLog:
    """One folder of training dynamics or several, of which each is a task."""

    logs: Sequence[Dynamics]
    answers: Answers
    format: str = FORMAT

    # ---------------------------------------------------------------------------- what is asked

    @property
    def questions(self) -> list[Question]:
        found = []
        log, said = self.logs[0], self.answers
        if self._several_classes and len(self.logs) == 1 and said.whole is None:
            found.append(ask_for_tasks(log.n_classes))
        for one in self.logs:
            if one.kind_of_gold == "text" and said.classes is None:
                found.append(
                    Question(
                        "classes",
                        f"The labels are texts ({', '.join(map(named, one.texts[:6]))}): which one"
                        f" does each of the {one.n_classes} outputs stand for, in their order?",
                        tuple(one.texts),
                    )
                )
                break
        if any(not one.gold for one in self.logs) and not (
            said.labels or said.outputs == "confidences"
        ):
            found.append(
                Question(
                    "labels",
                    "The log has no labels: give a file of them, or say that its numbers are"
                    " confidences, the probabilities of the true class.",
                )
            )
        return found

    @property
    def _several_classes(self) -> bool:
        return any(log.width > 2 and log.kind_of_gold != "list" for log in self.logs)

    @property
    def _each_class(self) -> bool:
        return self.answers.whole == "each class" and self.logs[0].n_classes > 2

    # ------------------------------------------------------------------------- what it is made of

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """Of all folders; raises UserError for names or classes that do not fit."""
        if len(self.logs) > 1:
            parts = [self._tasks_of(log, several=True) for log in self.logs]
        else:
            parts = [self._tasks_of(self.logs[0], several=False)]
        found = [task for part in parts for task in part]
        return renamed(found, self.answers.tasks)

    def _tasks_of(self, log: Dynamics, several: bool) -> tuple[Task, ...]:
        classes = self._classes_of(log)
        if log.kind_of_gold == "list":
            names = self.answers.classes or [str(c) for c in range(log.width)]
            names = [f"{log.name}: {name}" for name in names] if several else names
            return tuple(Task(name, rule="column") for name in names)
        if self._each_class:
            names = [f"{log.name}: {name}" for name in classes] if several else list(classes)
            return tuple(Task(name, rule="column") for name in names)
        if not log.gold and self.answers.outputs == "confidences":
            return (unlabelled(log.name),)
        if log.width <= 2:
            return (Task(log.name, rule="column"),)
        return (Task(log.name, rule="column", kind="multiclass", values=classes),)

    def _classes_of(self, log: Dynamics) -> tuple[str, ...]:
        said = self.answers.classes
        if said is None:
            return tuple(map(str, range(log.n_classes)))
        if len(said) != max(log.width, 2):
            raise UserError(
                f"{counted(len(said), 'name')} of classes for the"
                f" {counted(log.n_classes, 'class', 'classes')} of {named(log.name)}: give one for"
                " each, in the order of the outputs."
            )
        return tuple(said)

    @property
    def epochs(self) -> list[int]:
        """Their numbers in the log."""
        return sorted({epoch for log in self.logs for epoch in log.files})

    @property
    def n_epochs(self) -> int | None:
        return None if self._mixed else len(self.epochs)

    @property
    def _mixed(self) -> bool:
        return any(log.mixed for log in self.logs)

    @property
    def files(self) -> list[Path]:
        return [path for log in self.logs for paths in log.files.values() for path in paths]

    @property
    def points(self) -> tuple[int, bool]:
        """How many there are, and whether that is an estimate from the sizes of the files."""
        counts = []
        for log in self.logs:
            for paths in log.files.values():
                counts.append([count_of(log.first[path]) for path in paths])
        sums = [(sum(n for n, _ in each), any(rough for _, rough in each)) for each in counts]
        return max(sums, default=(0, False))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Of a preview: the first records."""
        return shown(self.logs[0].first[self.files[0]])

    @property
    def notes(self) -> list[str]:
        found = []
        epochs = self.epochs
        if epochs != list(range(epochs[0], epochs[0] + len(epochs))):
            numbers = ", ".join(map(str, epochs[:12])) + " …" * (len(epochs) > 12)
            found.append(
                f"The epochs of the log are numbered {numbers}; they are counted 1 to"
                f" {len(epochs)}."
            )
        if self.answers.outputs == "confidences":
            found.append(UNKNOWN)
        if self.answers.outputs is None:
            found += [note for log in self.logs[:1] if (note := _about_outputs(log))]
        if self.answers.whole == "each class" and self.logs[0].n_classes == 2:
            found.append("Of two classes, each against the rest is the same: they are one task.")
        return found

    @property
    def problem(self) -> str:
        """What the beginnings show already, in a sentence."""
        if self._mixed:
            return ""
        for log in self.logs:
            whole = [len(lines.records) < LOOKED_AT for lines in log.first.values()]
            ids = [
                {own for path in paths for own in ids_of(log.first[path], log.id)}
                for paths in log.files.values()
            ]
            if all(whole) and len(ids) > 1 and sum(map(len, ids)) == len(set().union(*ids)):
                return shares_nothing(len(ids), len(set().union(*ids)))
        if len(self.epochs) < 2:
            return (
                "The log is of 1 epoch: variability is that of a confidence over the epochs, so two"
                " or more are needed."
            )
        return ""

    # ------------------------------------------------------------------------------- reading it

    def prepared(self, scratch: Path, tell: Tell) -> CartographyLog:
        """The same with a file for each epoch."""
        if not self._mixed:
            return self
        logs = []
        for i, log in enumerate(self.logs):
            files = [path for path in log.first if path not in log.mixed]
            for j, path in enumerate(log.mixed):
                files += parted(path, scratch / f"{i}-{j}", tell).values()
            first = {path: beginning(path, LOOKED_AT) for path in files}
            logs.append(dynamics_of(log.name, first, log.outputs))
        return replace(self, logs=logs)

    def read(self, keeper: Keeper, tell: Tell) -> None:
        """Adds all epochs, those of several folders side by side."""
        columns, start = [], 0
        for log in self.logs:
            width = len(self._tasks_of(log, len(self.logs) > 1))
            columns.append(slice(start, start + width))
            start += width
        labels = LabelFile.read(self.answers.labels) if self.answers.labels else None
        readers = [
            _Reader(log, self.tasks[own], self, labels)
            for log, own in zip(self.logs, columns, strict=True)
        ]
        for number, epoch in enumerate(self.epochs, 1):
            for reader, own in zip(readers, columns, strict=True):
                for path in reader.log.files.get(epoch, []):
                    for lines in read_lines(path):
                        tell(f"Epoch {number} of {len(self.epochs)}", lines.bytes)
                        keeper.note_cut(lines)
                        if lines.records:
                            ids, confidence, found = reader.batch(lines, epoch)
                            keeper.add(keeper.places_of(ids), own, confidence, found)
            keeper.end_epoch()


class _Reader:
    """Reads the records of one folder: confidences and labels of its tasks."""

    def __init__(
        self,
        log: Dynamics,
        tasks: Sequence[Task],
        whole: CartographyLog,
        labels: LabelFile | None,
    ) -> None:
        self.log, self.tasks, self._labels = log, tuple(tasks), labels
        self._classes = {name: i for i, name in enumerate(whole.answers.classes or ())}
        self._against_rest = len(tasks) > 1 and log.kind_of_gold != "list"
        outputs = log.outputs
        self._one = OutputReader(
            self.tasks[:1] if self._against_rest else self.tasks,
            np.empty((0, 1 if self._against_rest else len(self.tasks)), np.float32),
            None if outputs == "confidences" else outputs,
        )

    def batch(self, lines: Lines, epoch: int) -> tuple[list[str], Floats, Floats | None]:
        """Ids (B,), confidences (B, t) and labels (B, t) of some records."""
        log = self.log
        name = f"{log.prefix}_epoch_{epoch}"
        ids = ids_of(lines, log.id)
        values = _values(log, lines, name)
        if log.outputs == "confidences":
            return ids, _checked_confidences(values, lines), None
        if log.outputs == "probabilities":
            _check_probabilities(values, lines, log)
        gold = self._gold(lines, ids)
        if not self._against_rest:
            seen = self._one.read(values)
            found = self._one.confidences(seen, gold)
            return ids, np.asarray(found, np.float32).clip(0, 1), gold
        return ids, *against_the_rest(values, gold, log.outputs)

    def _gold(self, lines: Lines, ids: list[str]) -> Floats:
        """Labels, (B, 1) or (B, C) of a list; NaN where one is missing."""
        if self._labels is not None:
            names = (self.log.name,) if self._against_rest else [t.name for t in self.tasks]
            found = self._labels.of(ids, names, self._classes)
            check_labels(self._one.tasks if not self._against_rest else (), found, "labels file")
            return found
        golds = [record.get(self.log.gold) for record in lines.records]
        if self.log.kind_of_gold == "list":
            return np.array([self._list(gold, lines, i) for i, gold in enumerate(golds)])
        known: dict[Any, float] = {}
        found = np.empty((len(golds), 1), np.float32)
        for i, gold in enumerate(golds):
            if isinstance(gold, list | dict):
                raise UserError(f"{lines.where(i)}: the label is {gold!r}, and no class.")
            if gold not in known:
                known[gold] = self._class(gold, lines, i)
            found[i] = known[gold]
        return found

    def _class(self, gold: Any, lines: Lines, i: int) -> float:
        if gold is None or gold == "":
            return np.nan
        number = self._classes.get(str(gold)) if isinstance(gold, str) else None
        if number is None:
            number = _whole(gold)
        if number == -1 or gold != gold:
            return np.nan
        if number is None:
            raise UserError(self._strange(gold, lines.where(i)))
        if not 0 <= number < self.log.n_classes:
            raise UserError(
                f"{lines.where(i)}: the label is {gold!r}, and there are"
                f" {self.log.n_classes} classes, 0 to {self.log.n_classes - 1}."
            )
        return float(number)

    def _strange(self, gold: Any, where: str) -> str:
        if isinstance(gold, str):
            known = ", ".join(map(named, self._classes)) or "none were named"
            return f"{where}: the label {named(gold)} is none of the classes ({known})."
        return (
            f"{where}: the label is {gold!r}, and should be the number of a class. If labels were"
            " smoothed, log the class itself."
        )

    def _list(self, gold: Any, lines: Lines, i: int) -> list[float]:
        if gold is None:
            return [np.nan] * self.log.width
        if not isinstance(gold, list) or len(gold) != self.log.width:
            raise UserError(
                f"{lines.where(i)}: the labels are {gold!r}, and should be a list of"
                f" {self.log.width}, one for each output."
            )
        found = [np.nan if v is None or v == -1 else v for v in gold]
        if any(v not in (0, 1) and v == v for v in found):
            raise UserError(
                f"{lines.where(i)}: the labels are {gold!r}, and should be 0 or 1, −1 where one is"
                " missing. If they were smoothed, log 0 and 1."
            )
        return cast("list[float]", found)


def _values(log: Dynamics, lines: Lines, name: str) -> Floats:
    """Outputs (B, width or 1); raises UserError, with file and line, for what is no number."""
    width = max(log.width, 1)
    try:
        with np.errstate(over="ignore"):
            found = np.array([record[name] for record in lines.records], np.float32)
        found = found.reshape(len(lines.records), -1)
        if found.shape[1] == width and np.isfinite(found).all():
            return found
    except (KeyError, ValueError, TypeError, OverflowError):
        pass
    for i, record in enumerate(lines.records):
        _check_value(record, name, width, lines.where(i))
    raise UserError(f"{lines.path.name} has outputs that are no numbers.")


def _check_value(record: Record, name: str, width: int, where: str) -> None:
    if name not in record:
        other = output_name(record)
        told = f" and has {named(other[0])}" if other else ""
        raise UserError(
            f"{where} has no {named(name)}{told}: the outputs of a log have one name, and a file is"
            " of one epoch."
        )
    value = record[name]
    values = value if isinstance(value, list) else [value]
    if len(values) != width:
        raise UserError(
            f"{where} has {counted(len(values), 'output')}, and the records before have {width}."
        )
    for each in values:
        if isinstance(each, bool) or not isinstance(each, int | float):
            raise UserError(f"{where} has the output {each!r}, which is no number.")
        if not abs(each) < float(np.finfo(np.float32).max):
            raise UserError(
                f"{where} has the output {each!r}: the training may have diverged. Give the epochs"
                " before it, or leave out that line."
            )


def _check_probabilities(values: Floats, lines: Lines, log: Dynamics) -> None:
    wrong = ((values < -SLACK) | (values > 1 + SLACK)).any(axis=1)
    if log.width > 1 and log.kind_of_gold != "list":
        wrong |= np.abs(values.sum(axis=1) - 1) > SUM_SLACK
    if wrong.any():
        i = int(wrong.argmax())
        raise UserError(
            f"{lines.where(i)} has the outputs {np.round(values[i], 4).tolist()}, which are no"
            " probabilities as those of the first lines are: say that they are logits if that is"
            " what they are."
        )


def _checked_confidences(values: Floats, lines: Lines) -> Floats:
    wrong = ((values < -SLACK) | (values > 1 + SLACK)).any(axis=1)
    if values.shape[1] > 1 or wrong.any():
        i = int(wrong.argmax())
        raise UserError(
            f"{lines.where(i)} has the outputs {np.round(values[i], 4).tolist()}: a confidence is"
            " one number from 0 to 1, the probability of the true class."
        )
    return values.clip(0, 1)


def _whole(gold: Any) -> int | None:
    """The number of a class; None for what is none."""
    if isinstance(gold, bool):
        return int(gold)
    try:
        number = float(gold)
        return int(number) if number == int(number) else None
    except (TypeError, ValueError, OverflowError):
        return None
