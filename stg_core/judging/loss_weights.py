"""The memberships of a grouping as loss weights, for specialists in a loop of one's own."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stg_core.judging.ensembles import Floats
from stg_core.judging.plan import WEIGHT_DECIMALS
from stg_core.system.errors import UserError
from stg_core.system.spreadsheets import as_text

if TYPE_CHECKING:
    from stg_core.grouping.memberships import Grouping

FORMATS = ("json", "csv", "npy")
MARK = "loss weights "  # begins the source of a log that says what it was trained with


def loss_weights(grouping: Grouping) -> Floats:
    """Of every task in the loss of every specialist, (T, k), as the own engine trains with them.

    A row sums to 1. Raises UserError for a grouping with a problem, or a task without labels.
    """
    if grouping.left_out:
        raise UserError(
            f"No training point has a label for {', '.join(grouping.left_out)}: there are no"
            " weights for them. Log a run without them, and group that."
        )
    if grouping.problem:
        raise UserError(grouping.problem)
    weights: Floats = grouping.memberships.round(WEIGHT_DECIMALS)
    return weights


def mark_of(tasks: Sequence[str], weights: Sequence[float]) -> str:
    """What a log gives as its source to say with which weights, (T,), it was trained."""
    each = sorted(zip(tasks, (round(float(w), WEIGHT_DECIMALS) for w in weights), strict=True))
    return MARK + hashlib.blake2b(json.dumps(each).encode(), digest_size=4).hexdigest()


def weights_file(grouping: Grouping, form: str, run: str) -> bytes:
    """The loss weights as one of FORMATS; run: the title of what was grouped.

    "json" has {"run", "k", "fuzzifier", "method", "tasks", "weights" (T, k)}; "csv" a row for each
    task and a column for each cluster; "npy" the array (T, k) alone, in the order of the tasks.
    Raises UserError for another format, and as `loss_weights`.
    """
    weights = loss_weights(grouping)
    match form:
        case "npy":
            return _as_npy(weights)
        case "csv":
            return _as_csv(grouping, weights)
        case "json":
            about = {
                "run": run,
                "k": grouping.k,
                "fuzzifier": grouping.fuzzifier,
                "method": grouping.method,
                "tasks": list(grouping.tasks),
                "weights": weights.tolist(),
            }
            return json.dumps(about, indent=1, ensure_ascii=False).encode()
    raise UserError(f"Weights are written as .{', .'.join(FORMATS)}, and not as .{form}.")


def _as_npy(weights: Floats) -> bytes:
    file = io.BytesIO()
    np.save(file, weights, allow_pickle=False)
    return file.getvalue()


def _as_csv(grouping: Grouping, weights: Floats) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["task", *(f"cluster {j + 1}" for j in range(grouping.k))])
    for task, row in zip(grouping.tasks, weights.tolist(), strict=True):
        rows.writerow([as_text(task), *row])
    return text.getvalue().encode("utf-8-sig")  # by its mark Excel knows the encoding
