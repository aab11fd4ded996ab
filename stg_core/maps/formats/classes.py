"""A task of several classes as a task for each class against the rest."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from stg_core.maps.formats.answers import Question
from stg_core.maps.formats.numbers import Floats


def against_the_rest(values: Floats, gold: Floats, outputs: str | None) -> tuple[Floats, Floats]:
    """Confidences and labels, (B, C) each, of outputs (B, C) and classes (B, 1), NaN where missing.

    The confidence of class c is p_c where it is the true one, and else 1 − p_c.
    """
    probabilities = values if outputs == "probabilities" else softmax(values, axis=1)
    own = np.arange(values.shape[1], dtype=np.float32) == gold
    yes = np.where(np.isnan(gold), np.nan, own).astype(np.float32)
    return (1 - abs(yes - probabilities)).clip(0, 1).astype(np.float32), yes


def ask_for_tasks(count: int) -> Question:
    """Whether so many classes are one task."""
    return Question(
        "whole",
        f"The log is of one question with {count} classes: is that one task, or is each class a"
        " task against the rest?",
        ("whole", "each class"),
    )
