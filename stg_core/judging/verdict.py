"""What the comparison of schemes says, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SCHEME_NAMES: Mapping[str, str] = {
    "mtl": "MTL",
    "stl": "STL",
    "specialists": "the specialists",
    "plain": "the plain ensemble",
    "random": "the random grouping",
    "superclass": "the superclass grouping",
}


def verdict(
    differences: Sequence[Mapping[str, Any]], schemes: Sequence[str], seeds: Sequence[int]
) -> str:
    """What the intervals say, in plain words: what is better than what, and what is not known.

    One scheme is better than another where the 95 % interval of the difference of the mean F1 lies
    on one side of 0 and, with several seeds, no seed says the opposite. The grouping pays where the
    specialists are better than as many models without any grouping, and than the same weights on
    the wrong tasks, if those were tried.
    """
    told = {}
    for d in differences:
        told[d["scheme"], d["other"]] = _Difference(d["mean"], d["ci"][0], d["ci"][1], d["seeds"])
        told[d["other"], d["scheme"]] = told[d["scheme"], d["other"]].reversed()
    sentences = [_deciding_sentence(told, schemes)]
    sentences += _against_the_rest(told, schemes)
    if ("plain", "mtl") in told:
        sentences.append(_of_plain_alone(told["plain", "mtl"]))
    sentences.append(_of_seeds(told, seeds))
    return " ".join(sentence for sentence in sentences if sentence)


@dataclass(frozen=True)
class _Difference:
    mean: float
    low: float
    high: float
    seeds: Sequence[float]

    def reversed(self) -> _Difference:
        return _Difference(-self.mean, -self.high, -self.low, [-d for d in self.seeds])

    @property
    def sign(self) -> int:
        """1 better, -1 worse, 0 cannot be told."""
        if self.low > 0 and all(d > 0 for d in self.seeds):
            return 1
        if self.high < 0 and all(d < 0 for d in self.seeds):
            return -1
        return 0

    @property
    def is_disputed(self) -> bool:
        """Whether the interval says what a seed contradicts."""
        return self.sign == 0 and not self.low <= 0 <= self.high

    def __str__(self) -> str:
        return f"{self.mean:+.4f}, 95 % interval {self.low:+.4f} to {self.high:+.4f}"


def _deciding_sentence(told: Mapping[tuple[str, str], _Difference], schemes: Sequence[str]) -> str:
    if "specialists" not in schemes:
        return "No specialists were trained, so nothing is said about the grouping."
    if "plain" not in schemes:
        return (
            "Without the plain ensemble it cannot be told whether the grouping or merely the number"
            " of models makes a difference: add the scheme plain."
        )
    d = told["specialists", "plain"]
    if d.sign > 0:
        better = (
            f"better than the plain ensemble, the same number of models without any grouping"
            f" ({d} in mean F1)"
        )
        return _of_specialists_that_win(better, told.get(("specialists", "random")))
    if d.sign < 0:
        return (
            f"The grouping does not pay: the plain ensemble, the same number of models without any"
            f" grouping, is better than the specialists ({d.reversed()} in mean F1)."
        )
    return (
        f"It cannot be told whether the grouping pays: between the specialists and the plain"
        f" ensemble, the same number of models without any grouping, {_why_not(d)}"
    )


def _of_specialists_that_win(better: str, to_random: _Difference | None) -> str:
    """Whether it is the grouping that pays, or any weights like these: what random weights tell."""
    if to_random is None:
        return (
            f"The grouping pays: the specialists are {better}. Whether the wrong tasks would do as"
            " well is not known: add the scheme random."
        )
    random = f"the random grouping, the same weights on the wrong tasks ({to_random}"
    if to_random.sign > 0:
        return f"The grouping pays: the specialists are {better}, and than {random})."
    if to_random.sign < 0:
        return (
            f"Specialists pay, but not this grouping: they are {better}, but worse than {random})."
        )
    return (
        "Specialists pay, but it cannot be told that this grouping does: they are"
        f" {better}, but cannot be told apart from {random}"
        f"{', but the seeds disagree' * to_random.is_disputed})."
    )


def _why_not(d: _Difference) -> str:
    if not d.is_disputed:
        return (
            f"the interval of the difference in mean F1 contains 0 ({d}); differences this small"
            " mean nothing."
        )
    return f"the seeds disagree about the sign of the difference in mean F1 ({d})."


def _against_the_rest(
    told: Mapping[tuple[str, str], _Difference], schemes: Sequence[str]
) -> list[str]:
    told_before = {"specialists", "plain"}
    if ("specialists", "plain") in told and told["specialists", "plain"].sign > 0:
        told_before.add("random")
    others = [other for other in schemes if other not in told_before]
    if "specialists" not in schemes or not others:
        return []
    parts = []
    for sign, words in ((1, "are better than"), (-1, "are worse than"), (0, "")):
        names = [
            f"{SCHEME_NAMES[other]} ({d}{', but the seeds disagree' * d.is_disputed})"
            for other in others
            if (d := told["specialists", other]).sign == sign
        ]
        if names:
            words = words or "cannot be told apart from"
            parts.append(f"{words} {_and(names)}")
    return [f"The specialists {_and(parts)}."]


def _of_plain_alone(d: _Difference) -> str:
    if d.sign > 0:
        return f"The plain ensemble alone gains over MTL ({d})."
    if d.sign < 0:
        return f"The plain ensemble is even worse than MTL ({d})."
    return (
        "The plain ensemble and MTL cannot be told apart"
        f" ({d}{', but the seeds disagree' * d.is_disputed})."
    )


def _of_seeds(told: Mapping[tuple[str, str], _Difference], seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return (
            "All this is of one seed, and its intervals are over test images only: how much the"
            " scores change from seed to seed is not seen."
        )
    if ("specialists", "plain") not in told:
        return f"Each figure is a mean over {len(seeds)} seeds."
    each = told["specialists", "plain"].seeds
    listed = ", ".join(f"{d:+.4f} with seed {s}" for s, d in zip(seeds, each, strict=True))
    return f"Specialists minus plain ensemble: {listed}."


def _and(parts: Sequence[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last
