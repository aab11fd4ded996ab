"""Who decided: how several models came to one answer about one point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stg_core.tasks.groups import Kind

Floats = NDArray[np.float64]

NEAREST = 1e-7  # to 0 and to 1 that a probability in single precision comes


def averaged(each: ArrayLike, weights: ArrayLike, kind: Kind, average: str = "logits") -> Floats:
    """The weighted average, (width,), of what k models say of one task, (k, width).

    A binary task has the probability of a yes, a multi-class one those of its classes, a regression
    a number; weights: (k,), which sum to 1. For "logits" these are averaged, as `ensemble_output`
    does it, and are found again from the probabilities: those of classes but for a constant, which
    makes no difference.
    """
    said, shares = np.asarray(each, np.float64), np.asarray(weights, np.float64)
    if kind == "regression" or average == "probabilities":
        return np.asarray(shares @ said)
    inside = said.clip(NEAREST, 1 - NEAREST)
    if kind == "binary":
        return np.asarray(1 / (1 + np.exp(-(shares @ (np.log(inside) - np.log1p(-inside))))))
    logits = shares @ np.log(inside)
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def answer_to(said: Floats, kind: Kind, threshold: float = 0.5) -> float:
    """An answer, as labels write it, of what is said of one task, (width,): see `averaged`."""
    if kind == "binary":
        return float(said[0] > threshold)
    return float(said.argmax()) if kind == "multiclass" else float(said[0])


@dataclass(frozen=True)
class Decision:
    """How k models came to the answer to one task.

    said: their average, (width,); strongest: the model of the largest weight, of ties the first,
    which hard routing asks alone; hard: what that one says, (width,); without: what they would say
    without each of them, the weights of the others sharing the whole, (k, width), NaN where no
    other has any; moves: how far that is from what they say, (k,), of classes for the one that they
    chose; decisive: those without whom the answer would be another one, the largest move first.
    A regression has a number for an answer, which everybody moves: there nobody is decisive.
    """

    said: Floats
    strongest: int
    hard: Floats
    without: Floats
    moves: Floats
    decisive: tuple[int, ...]

    @property
    def alone(self) -> bool:
        """Whether no other model than the strongest has any weight."""
        return bool(np.isnan(self.without[self.strongest]).all())

    @property
    def moves_most(self) -> int:
        """Whose absence would change most: of a model that answers alone, itself."""
        return self.strongest if self.alone else int(np.nan_to_num(self.moves).argmax())


def decision(
    each: ArrayLike,
    weights: ArrayLike,
    kind: Kind,
    average: str = "logits",
    threshold: float = 0.5,
) -> Decision:
    """How k models came to the answer to one task: what each says, (k, width), and weights (k,).

    A model that does not answer the task says NaN, and has no weight.
    """
    said, shares = np.asarray(each, np.float64), np.asarray(weights, np.float64)
    asked = np.flatnonzero(shares > 0)
    whole = averaged(said[asked], shares[asked], kind, average)
    chosen = int(whole.argmax())
    without = np.tile(whole, (len(said), 1))
    for j in asked.tolist():
        others = asked[asked != j]
        rest = shares[others].sum()
        without[j] = (
            averaged(said[others], shares[others] / rest, kind, average) if len(others) else np.nan
        )
    moves = np.abs(without[:, chosen] - whole[chosen])
    answer = answer_to(whole, kind, threshold)
    turns = [
        j
        for j in np.argsort(-np.nan_to_num(moves), kind="stable").tolist()
        if kind != "regression"
        and not np.isnan(without[j]).any()
        and answer_to(without[j], kind, threshold) != answer
    ]
    strongest = int(shares.argmax())
    return Decision(whole, strongest, said[strongest], without, moves, tuple(turns))
