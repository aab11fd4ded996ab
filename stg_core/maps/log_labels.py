"""The labels of a log: whatever holds numbers, and which kind of task each column is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.outputs import filled
from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.groups import KINDS_OF_TASKS, Kind, Task
from stg_core.tasks.labels import MOST_CLASSES, MOST_CLASSES_GUESSED, POINTS_PER_CLASS
from stg_core.tasks.names import check_names

Labels = NDArray[np.float32]
Kinds = Kind | Mapping[str, Kind]


def label_matrix_of(labels: Any, tasks: Sequence[str] | None) -> tuple[tuple[str, ...], Labels]:
    """Names (T,) and labels (N, T), NaN where one is missing, of arrays, tensors or a data frame.

    A data frame, or a mapping of names to columns, has the names of its tasks. Without any they are
    "task 1" and so on. Raises UserError for another number of names, and for what is no number.
    """
    if isinstance(labels, Mapping):
        own: Sequence[str] = [str(name) for name in labels]
        columns = [_plain(column) for column in labels.values()]
        if not columns or any(c.shape != columns[0].shape or c.ndim != 1 for c in columns):
            raise UserError("The labels by name should be columns of the same length, (N,) each.")
        array = _numbers(np.stack(columns, axis=1))
    else:
        own = [str(name) for name in getattr(labels, "columns", ())]
        array = _numbers(_plain(labels))
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or not array.size:
        raise UserError(
            f"The labels are {' × '.join(map(str, array.shape)) or 'a single number'} and should"
            " be points × tasks, (N, T)."
        )
    if isinstance(tasks, (set, frozenset)):
        raise UserError("A set of names has no order: give a list, in the order of the columns.")
    names = tuple(map(str, tasks)) if tasks is not None else tuple(own) or default_names(array)
    if len(names) != array.shape[1]:
        turned = " They may lie on their side." * (len(names) == array.shape[0])
        raise UserError(
            f"There are {counted(len(names), 'name')} of tasks, and the labels have"
            f" {counted(array.shape[1], 'column')}: give one name for each.{turned}"
        )
    check_names(names)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"Names of tasks must differ, and {_listed(twice)} stands there twice.")
    return names, array


def default_names(labels: Labels) -> tuple[str, ...]:
    """Of tasks (N, T) that nobody named."""
    return tuple(f"task {t + 1}" for t in range(labels.shape[1]))


def tasks_of(
    names: Sequence[str],
    labels: Labels,
    kinds: Kinds | None = None,
    classes: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Task, ...]:
    """The tasks of labels (N, T), their kinds guessed where they are not said.

    kinds: one for all, or some by name; classes: what the numbers of a multi-class task stand for,
    else "0", "1" and so on up to the largest label. Raises UserError for labels that are not of
    their kind, and where it should be asked what they mean.
    """
    if kinds is not None and not isinstance(kinds, (str, Mapping)):
        raise UserError('Say kinds="binary", or of which kind each is: kinds={name: "regression"}.')
    said = dict.fromkeys(names, kinds) if isinstance(kinds, str) else dict(kinds or {})
    classes = classes or {}
    if unknown := [name for name in (*said, *classes) if name not in names]:
        raise UserError(f"There is no task {named(unknown[0])}; the tasks are {_listed(names)}.")
    for kind in said.values():
        if kind not in KINDS_OF_TASKS:
            raise UserError(f"A task is one of {', '.join(KINDS_OF_TASKS)}, and not {kind!r}.")
    return tuple(
        _task(name, column, said.get(name), classes.get(name))
        for name, column in zip(names, labels.T, strict=True)
    )


def _task(name: str, column: Labels, kind: Kind | None, classes: Sequence[str] | None) -> Task:
    known = np.unique(column[~np.isnan(column)])
    if kind is None and classes is not None:
        kind = "multiclass"
    kind = kind or _guessed(name, known, int((~np.isnan(column)).sum()))
    if kind == "binary" and not np.isin(known, (0, 1)).all():
        raise _strange(name, known, "0 or 1")
    if kind == "regression" and not np.isfinite(known).all():
        raise UserError(f"A label of {named(name)} is infinite: put NaN where one is missing.")
    if kind != "multiclass":
        return Task(name, rule="column", kind=kind)
    most = len(classes) if classes else MOST_CLASSES
    whole = np.isfinite(known).all() and (known == np.rint(known)).all()
    if not whole or (len(known) and (known[0] < 0 or known[-1] >= most)):
        raise _strange(name, known, f"whole numbers from 0 to {most - 1}")
    count = len(classes or ()) or max(int(known.max(initial=1)) + 1, 2)
    values = tuple(map(str, classes or range(count)))
    return Task(name, rule="column", kind="multiclass", values=values)


def with_all_classes(
    tasks: Sequence[Task], outputs: Any, said: Collection[str] = ()
) -> tuple[Task, ...]:
    """The tasks, those of several classes with as many as there are outputs for.

    A model may know classes of which no point is. outputs: (B, O), or a list of T heads; said:
    names of tasks whose classes are known. Where it cannot be told whose the further columns are,
    the tasks are as they were.
    """
    widths = {}
    open_ = [t for t, k in enumerate(tasks) if k.kind == "multiclass" and k.name not in said]
    if isinstance(outputs, list | tuple) and len(outputs) == len(tasks):
        widths = {t: np.shape(outputs[t])[-1] for t in open_ if np.ndim(outputs[t]) == 2}
    elif len(open_) == 1 and getattr(outputs, "ndim", 0) == 2:
        others = sum(task.width for t, task in enumerate(tasks) if t != open_[0])
        widths = {open_[0]: outputs.shape[1] - others}
    return tuple(_with_classes(task, widths.get(t, 0)) for t, task in enumerate(tasks))


def _with_classes(task: Task, count: int) -> Task:
    """A multi-class task of so many classes, if its labels know fewer."""
    if count <= task.width:
        return task
    more = tuple(map(str, range(len(task.values), count)))
    return Task(task.name, rule="column", kind="multiclass", values=task.values + more)


def check_labels(tasks: Sequence[Task], labels: Labels, of: str) -> None:
    """Raises UserError where labels (N, T) are not of the kinds of the tasks."""
    for task, column in zip(tasks, labels.T, strict=True):
        known = np.unique(column[~np.isnan(column)])
        answers = np.arange(2 if task.kind == "binary" else task.width)
        if task.kind != "regression" and not np.isin(known, answers).all():
            expected = "0 or 1" if task.kind == "binary" else f"whole numbers to {answers[-1]}"
            raise _strange(f"{task.name} ({of})", known, expected)


def _guessed(name: str, known: NDArray[np.float32], n_labels: int) -> Kind:
    """From the distinct labels (V,), ascending, and how many labels there are."""
    if np.isin(known, (0, 1)).all():
        return "binary"
    if -1 in known and len(known) <= 3 and np.isin(known, (-1, 0, 1)).all():
        raise _strange(name, known, "0 or 1")
    if len(known) == 2 and 0 < known[0] < known[1] < 1 and abs(known.sum() - 1) < 1e-3:
        raise UserError(
            f"The labels of {named(name)} are {known[0]:g} and {known[1]:g}, as smoothed ones: give"
            ' 0 and 1, or say kinds="regression" where they are numbers to predict.'
        )
    classes = (known == np.rint(known)).all() and known[0] >= 0 and known[-1] < MOST_CLASSES
    if classes and len(known) <= min(MOST_CLASSES_GUESSED, n_labels / POINTS_PER_CLASS):
        return "multiclass"
    return "regression"


def _strange(name: str, known: NDArray[np.float32], expected: str) -> UserError:
    missing = (
        " If −1 stands for a missing label, put NaN there: labels[labels == -1] = nan."
        if -1 in known
        else ""
    )
    examples = ", ".join(f"{value:g}" for value in known[:4])
    return UserError(
        f"The labels of {named(name)} should be {expected}, and NaN where one is missing, and are"
        f" {examples}{' …' * (len(known) > 4)}.{missing}"
    )


def _plain(values: Any) -> NDArray[Any]:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":
            values = values.float()
    if hasattr(values, "to_numpy"):  # pandas: its NA is no number
        try:
            return np.asarray(values.astype("Float64").to_numpy(dtype=float, na_value=np.nan))
        except (TypeError, ValueError):
            return np.asarray(values)
    try:
        return filled(values)
    except ValueError as error:
        raise UserError(f"The labels cannot be read as an array ({error}).") from error


def _numbers(array: NDArray[Any]) -> Labels:
    try:
        if array.dtype.kind in "cmM":
            raise TypeError(f"they are {array.dtype}")
        with np.errstate(over="ignore"):  # what becomes infinite is told
            return array.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"The labels cannot be read as numbers ({error}): give 0 and 1, the number of the"
            " class, or the number itself, and NaN where one is missing."
        ) from error


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + f" and {len(names) - 5} more" * (len(names) > 5)
