"""A grouping against a reference: labels that people give the tasks, such as superclasses.

Every score stands beside what chance gives: its distribution when the clusters are dealt out anew
among the tasks, with the sizes of clusters and of labels as they are.
"""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import expected_mutual_information

from stg_core.grouping.memberships import Floats, Grouping, Labels, TaskSpace, group_tasks
from stg_core.system.errors import UserError
from stg_core.system.spreadsheets import as_written
from stg_core.tasks.groups import (
    TaskGroup,
    families_of_tasks,
    living_of_tasks,
    superclass_of_tasks,
)

SCORES = (
    "adjusted_rand_index",
    "adjusted_mutual_information",
    "homogeneity",
    "completeness",
    "purity",
)
RELABELLINGS, SEED = 1_000, 0
CELLS = 100_000  # of tables counted at once, so that they stay in the processor's cache
ROUNDING = 1e-9  # scores nearer to each other than this are equal
MAX_BINS = 15
MAX_K = 40
MAX_REFERENCE_BYTES = 200_000
DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Reference:
    """Known labels of the tasks, to hold a grouping against; another grouping's labels do as well.

    name says what they are; tasks (T,); labels (T,), None for a task that has none and is left out
    of the scores. Raises UserError unless two tasks have different labels.
    """

    name: str
    tasks: tuple[str, ...]
    labels: tuple[str | None, ...]

    def __post_init__(self) -> None:
        labelled = len(self.tasks) - len(self.left_out)
        if labelled < 2:
            raise UserError(f"A reference needs labels for two tasks or more, and has {labelled}.")
        if len(self.distinct) < 2:
            raise UserError(
                f"All tasks of the reference have the label {self.distinct[0]!r}:"
                " give at least two different ones."
            )

    @cached_property
    def distinct(self) -> tuple[str, ...]:
        """The different labels, (R,), in alphabetical order."""
        return tuple(sorted({label for label in self.labels if label is not None}))

    @property
    def left_out(self) -> tuple[str, ...]:
        """The tasks without a label."""
        pairs = zip(self.tasks, self.labels, strict=True)
        return tuple(task for task, label in pairs if label is None)


@dataclass(frozen=True)
class Score:
    """A score beside its distribution under 1,000 seeded random relabellings.

    p_value: (1 + relabellings that score as high) / (1 + 1,000), in (0, 1]. chance_mean,
    chance_low and chance_high: mean, 5th and 95th percentile of the relabellings. histogram (B,):
    how many of them lie between the edges (B+1,); B is at most 15.
    """

    value: float
    p_value: float
    chance_mean: float
    chance_low: float
    chance_high: float
    histogram: Labels
    edges: Floats


@dataclass(frozen=True)
class Part:
    """The tasks of one label that are in one cluster (numbered from 0); never empty."""

    label: str
    cluster: int
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Panel:
    """The tasks of one label with their rows of memberships, (n, k).

    coherence: mean over pairs a, b of the tasks of Σ_j min(W[a,j], W[b,j]), in [0, 1]; 1 where all
    rows are equal, 0 where no two share a cluster; None for a single task.
    """

    label: str
    tasks: tuple[str, ...]
    memberships: Floats
    coherence: float | None


@dataclass(frozen=True)
class Agreement:
    """How far a grouping agrees with a reference of R labels.

    scores: by name, as in `SCORES`. table (R, k): tasks by label and cluster, in the order of the
    best assignment, so that the largest overlaps start the diagonal; rows (R,) are its labels and
    columns (k,) its clusters, numbered from 0. assigned (R,): the cluster assigned to the label of
    each row, None where no cluster is left that holds one of its tasks.

    panels: one per label, most coherent first. whole: labels kept in one cluster; alone: those of
    them whose cluster holds nothing else. split: the parts of every label that is not kept whole,
    largest first. merged: the parts of every cluster that holds several labels, largest first.
    """

    reference: Reference
    scores: dict[str, Score]
    table: Labels
    rows: tuple[str, ...]
    columns: tuple[int, ...]
    assigned: tuple[int | None, ...]
    panels: tuple[Panel, ...]
    whole: tuple[Part, ...]
    alone: tuple[str, ...]
    split: tuple[tuple[Part, ...], ...]
    merged: tuple[tuple[Part, ...], ...]


# ------------------------------------------------------------------------------------ references


def built_in_reference(group: TaskGroup, tasks: Sequence[str]) -> Reference | None:
    """CIFAR-100's superclasses, families of one's own, or living or not; None where none apply.

    Of CIFAR's tasks only one that is a single class has a label: a union may mix them, and Downside
    and Random have none. None also where fewer than two labels are left.
    """
    superclasses = superclass_of_tasks(group)
    known: dict[str, tuple[str | None, ...] | None] = {
        "superclasses": superclasses,
        "families": None if superclasses else families_of_tasks(group),
        "living or not": living_of_tasks(group),
    }
    for name, labels in known.items():
        if labels is not None:
            label_of = dict(zip(group.task_names, labels, strict=True))
            chosen = tuple(label_of[task] for task in tasks)
            if len({*chosen} - {None}) > 1:
                return Reference(name, tuple(tasks), chosen)
    return None


def read_reference(content: str | bytes, tasks: Sequence[str]) -> Reference:
    """A reference from CSV with the columns task and label, in UTF-8; a header is optional.

    Commas, semicolons and tabs may separate the columns. Tasks that it does not name, or names
    without a label, are left out. Raises UserError that names the line of an unknown task, of a
    task that stands there twice, or of a missing one, and for what is no such table.
    """
    labels: dict[str, str | None] = {}
    for number, row in _table_rows(_text(content), tasks):
        task, label = row[0], row[1] if len(row) > 1 else ""
        if len(row) > 2 or "\n" in task + label:
            raise UserError(
                f"Line {number} is not a task and a label: write task,label, and close every"
                " quotation mark."
            )
        if not (task and label) and task not in tasks:
            raise UserError(
                f"Line {number} ({_shortened(task or label)}) has no task or no label: write"
                " task,label, or leave the line out."
            )
        if task not in tasks:
            near = difflib.get_close_matches(task, tasks, n=1)
            hint = f"; is {near[0]!r} meant?" if near else f"; tasks are {_shortened(tasks[0])}, …"
            raise UserError(f"Line {number}: there is no task {_shortened(task)}{hint}")
        if task in labels:
            raise UserError(f"Line {number}: the task {task!r} stands there twice; keep one.")
        labels[task] = label or None
    return Reference("your labels", tuple(tasks), tuple(labels.get(task) for task in tasks))


def _text(content: str | bytes) -> str:
    if len(content) > MAX_REFERENCE_BYTES:
        raise UserError(
            f"The reference is longer than {MAX_REFERENCE_BYTES:,} bytes: give a CSV file with one"
            " line per task, task,label."
        )
    try:
        text = content.decode() if isinstance(content, bytes) else content
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError("The reference is not a text in UTF-8: save it as CSV (UTF-8).")
    return text.removeprefix("\ufeff")


def _table_rows(text: str, tasks: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Rows with the number of their first line, without the header and without empty cells behind.

    The delimiter is the one with which most rows begin with a task.
    """
    readings = [_parsed(text, delimiter, tasks) for delimiter in DELIMITERS]
    rows = max(readings, key=lambda rows: sum(row[0] in tasks for _, row in rows))
    has_header = rows and rows[0][1][0].casefold() == "task" and rows[0][1][0] not in tasks
    return rows[1:] if has_header else rows


def _parsed(text: str, delimiter: str, tasks: Sequence[str]) -> list[tuple[int, list[str]]]:
    lines = io.StringIO(text, newline=None)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    rows, first_line = [], 1
    try:
        for cells in reader:
            stripped = (cell.strip() for cell in cells)
            row = [cell if cell in tasks else as_written(cell) for cell in stripped]
            while row and not row[-1]:
                row.pop()
            if row:
                rows.append((first_line, row))
            first_line = reader.line_num + 1
    except csv.Error:
        raise UserError(f"Line {first_line} is not CSV: write one task,label per line.") from None
    return rows


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")


# ---------------------------------------------------------------------------------------- scores


def agreement_with(reference: Reference, grouping: Grouping) -> Agreement:
    """Holds a grouping against a reference; UserError where that is of other tasks."""
    _check_tasks(reference, grouping.tasks)
    scores = score_labels(reference, grouping.labels)
    names = reference.distinct
    parts = _parts(grouping, reference)
    table = np.zeros((len(names), grouping.k), dtype=np.int64)
    for part in parts:
        table[names.index(part.label), part.cluster] = len(part.tasks)
    rows, columns, pairs = _best_assignment(table)
    by_label = [_largest_first(p for p in parts if p.label == name) for name in names]
    by_cluster = [_largest_first(p for p in parts if p.cluster == j) for j in range(grouping.k)]
    whole = tuple(own[0] for own in by_label if len(own) == 1)
    # unlabelled tasks are company too
    sizes = np.bincount(grouping.labels, minlength=grouping.k)
    return Agreement(
        reference=reference,
        scores=scores,
        table=table[np.ix_(rows, columns)],
        rows=tuple(names[i] for i in rows),
        columns=tuple(columns),
        assigned=tuple(pairs.get(i) for i in rows),
        panels=_panels(grouping, reference),
        whole=whole,
        alone=tuple(part.label for part in whole if len(part.tasks) == sizes[part.cluster]),
        split=tuple(own for own in by_label if len(own) > 1),
        merged=tuple(held for held in by_cluster if len(held) > 1),
    )


def scores_by_k(
    reference: Reference,
    space: TaskSpace,
    fuzzifier: float = 2.0,
    method: str = "soft",
    largest: int = MAX_K,
) -> Iterator[tuple[int, dict[str, Score]]]:
    """The scores of the groupings with k = 2, 3, … up to `largest`, or T: each k with its scores.

    As in `score_labels`; UserError where the reference is of other tasks.
    """
    _check_tasks(reference, space.tasks)
    for k in range(2, min(largest, len(space.tasks)) + 1):
        yield k, score_labels(reference, group_tasks(space, k, fuzzifier, method).labels)


def _check_tasks(reference: Reference, tasks: tuple[str, ...]) -> None:
    if reference.tasks != tasks:
        raise UserError(
            "The reference is of other tasks than the grouping: give one of the same tasks, in the"
            " same order."
        )


def score_labels(reference: Reference, labels: Labels) -> dict[str, Score]:
    """The scores of clusters, `labels` (T,), against a reference, each beside chance.

    By name: "adjusted_rand_index" (Hubert & Arabie 1985), "adjusted_mutual_information" (Vinh et
    al. 2010, normalised by the mean entropy), both 1 for equal partitions and about 0 by chance;
    "homogeneity" and "completeness" (Rosenberg & Hirschberg 2007) and "purity", 0 to 1. All are
    scikit-learn's, which has no purity: the share of tasks with the commonest label of their
    cluster. The order of `labels` is that of the tasks of the reference.
    """
    labelled = np.array([label is not None for label in reference.labels])
    places = {label: place for place, label in enumerate(reference.distinct)}
    known = np.array([places[label] for label in reference.labels if label is not None])
    found = np.unique(labels[labelled], return_inverse=True)[1]
    random = np.random.default_rng(SEED)
    orders = random.permuted(np.tile(np.arange(len(found)), (RELABELLINGS, 1)), axis=1)
    values = _values(known, np.vstack([found, found[orders]]))
    return {name: _beside_chance(scores) for name, scores in values.items()}


def _values(known: Labels, partitions: Labels) -> dict[str, Floats]:
    """Scores (P,) of partitions (P, n) with the same cluster sizes, by name."""
    n_tasks = len(known)
    multiples = np.arange(n_tasks + 1)
    n_log_n = multiples * np.log(np.maximum(multiples, 1))

    def entropy(counts: Labels) -> Floats:
        return np.asarray(np.log(n_tasks) - n_log_n[counts].sum(axis=-1) / n_tasks)

    def pairs(counts: Labels) -> Floats:
        return np.asarray((counts * (counts - 1) / 2).sum(axis=-1))

    shape = known.max() + 1, partitions.max() + 1
    joint_entropy, joint_pairs, commonest = [], [], []
    batch = max(1, CELLS // (shape[0] * shape[1]))
    for start in range(0, len(partitions), batch):
        tables = _tables(known, partitions[start : start + batch], shape)
        cells = tables.reshape(len(tables), -1)
        joint_entropy.append(entropy(cells))
        joint_pairs.append(pairs(cells))
        commonest.append(tables.max(axis=1).sum(axis=1))

    # tables of relabellings have the margins of the first one, and so the same expected values
    table = _tables(known, partitions[:1], shape)[0]
    sizes = table.sum(axis=1), table.sum(axis=0)
    entropies = [float(entropy(margin)) for margin in sizes]
    margin_pairs = [float(pairs(margin)) for margin in sizes]
    information = np.maximum(sum(entropies) - np.concatenate(joint_entropy), 0)
    return {
        "adjusted_rand_index": _adjusted(
            np.concatenate(joint_pairs),
            expected=margin_pairs[0] * margin_pairs[1] / (n_tasks * (n_tasks - 1) / 2),
            most=sum(margin_pairs) / 2,
        ),
        "adjusted_mutual_information": _adjusted(
            information,
            expected=expected_mutual_information(table, n_tasks),
            most=sum(entropies) / 2,
        ),
        "homogeneity": _share(information, entropies[0]),
        "completeness": _share(information, entropies[1]),
        "purity": np.concatenate(commonest) / n_tasks,
    }


def _tables(known: Labels, partitions: Labels, shape: tuple[int, int]) -> Labels:
    """Contingency tables (P, R, C) of labels (n,) and partitions (P, n), in one count."""
    n_labels, n_clusters = shape
    table = np.arange(len(partitions))[:, None]
    cell = (table * n_labels + known) * n_clusters + partitions
    counts = np.bincount(cell.ravel(), minlength=len(partitions) * n_labels * n_clusters)
    return counts.reshape(-1, n_labels, n_clusters)


def _adjusted(values: Floats, expected: float, most: float) -> Floats:
    """What the values have above the expected one, as a share of the most there can be."""
    return _share(values - expected, most - expected)


def _share(part: Floats, whole: float) -> Floats:
    """part / whole, and 1 where the whole is nothing: there was nothing to miss."""
    return part / whole if abs(whole) > ROUNDING else np.ones_like(part)


def _beside_chance(scores: Floats) -> Score:
    """The first score beside all others, which are of relabellings."""
    rounded = scores.round(12) + 0.0  # and never −0
    value, null = float(rounded[0]), rounded[1:]
    # no more bins than values, or else scores that only take a few would make a comb
    histogram, edges = np.histogram(null, bins=min(MAX_BINS, len(np.unique(null))))
    low, high = np.percentile(null, [5, 95])
    as_high = int((null >= value - ROUNDING).sum())
    return Score(
        value=value,
        p_value=(1 + as_high) / (1 + len(null)),
        chance_mean=float(null.mean()),
        chance_low=float(low),
        chance_high=float(high),
        histogram=histogram,
        edges=edges,
    )


# ---------------------------------------------------------------------------- labels and clusters


def _parts(grouping: Grouping, reference: Reference) -> list[Part]:
    tasks: dict[tuple[str, int], list[str]] = {}
    for task, label, cluster in zip(
        grouping.tasks, reference.labels, grouping.labels.tolist(), strict=True
    ):
        if label is not None:
            tasks.setdefault((label, cluster), []).append(task)
    return [Part(*where, tuple(names)) for where, names in tasks.items()]


def _largest_first(parts: Iterable[Part]) -> tuple[Part, ...]:
    return tuple(sorted(parts, key=lambda part: (-len(part.tasks), part.cluster, part.label)))


def _best_assignment(table: Labels) -> tuple[list[int], list[int], dict[int, int]]:
    """Rows and columns (largest assigned overlap first, then the rest), and cluster by row.

    The assignment of clusters to labels with the largest total overlap (Kuhn 1955, the Hungarian
    method); a pair that shares no task is none.
    """
    pairs = [(i, j) for i, j in zip(*linear_sum_assignment(-table), strict=True) if table[i, j]]
    pairs = sorted(((int(i), int(j)) for i, j in pairs), key=lambda pair: -table[pair])
    rows, columns = [i for i, _ in pairs], [j for _, j in pairs]
    rows += [i for i in range(len(table)) if i not in rows]
    columns += [j for j in range(table.shape[1]) if j not in columns]
    return rows, columns, dict(pairs)


def _panels(grouping: Grouping, reference: Reference) -> tuple[Panel, ...]:
    panels = []
    for name in reference.distinct:
        own = [t for t, label in enumerate(reference.labels) if label == name]
        rows = grouping.memberships[own]
        panels.append(Panel(name, tuple(grouping.tasks[t] for t in own), rows, _coherence(rows)))
    # a label of one task comes last: its coherence is not defined
    return tuple(
        sorted(
            panels,
            key=lambda panel: -1.0 if panel.coherence is None else panel.coherence,
            reverse=True,
        )
    )


def _coherence(memberships: Floats) -> float | None:
    n_tasks = len(memberships)
    if n_tasks < 2:
        return None
    # in ascending order, each share is the smaller one in its pairs with all that follow
    smaller = np.sort(memberships, axis=0) * np.arange(n_tasks - 1, -1, -1)[:, None]
    return min(1.0, float(smaller.sum() / (n_tasks * (n_tasks - 1) / 2)))
