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


@dataclass(frozen=True)
class Verdict:
    """What a comparison of schemes says: one line, and all the rest behind it."""

    headline: str
    details: str


def verdict_of(
    variant: Mapping[str, Any],
    schemes: Sequence[str],
    seeds: Sequence[int],
    tasks: Sequence[str],
    coins: Sequence[str] = (),
) -> Verdict:
    """The verdict of one variant of a report, by F1 and by balanced accuracy.

    coins: those of the tasks that no model can learn better than chance. F1 decides; where balanced
    accuracy says the opposite, the headline says so, and nothing is decided.
    """
    by_f1 = verdict(variant["differences"], schemes, seeds)
    details = [
        f"By F1: {by_f1}",
        _by_balanced_accuracy(variant, schemes),
        _without_coins(variant, schemes, tasks, coins),
    ]
    return Verdict(_headline(variant, schemes, by_f1), " ".join(filter(None, details)))


def _headline(variant: Mapping[str, Any], schemes: Sequence[str], by_f1: str) -> str:
    if not {"specialists", "plain"} <= {*schemes}:
        return by_f1.partition(". ")[0].rstrip(".") + "."
    found = variant["schemes"]
    f1, other = (
        (found["specialists"][name], found["plain"][name])
        for name in ("mean_f1", "balanced_accuracy")
    )
    if _reversed(variant, "specialists", "plain"):
        better, worse = ("better", "worse") if f1[0] > f1[1] else ("worse", "better")
        return (
            "Whether the grouping pays depends on the measure: by F1 the specialists are"
            f" {better} than the plain ensemble ({f1[0]:.3f} to {f1[1]:.3f}), by balanced accuracy"
            f" {worse} ({other[0]:.3f} to {other[1]:.3f})."
        )
    return (
        f"{by_f1.partition(':')[0]}: specialists and plain ensemble have a mean F1 of {f1[0]:.3f}"
        f" and {f1[1]:.3f}, a balanced accuracy of {other[0]:.3f} and {other[1]:.3f}."
    )


def _reversed(variant: Mapping[str, Any], a: str, b: str) -> bool:
    """Whether balanced accuracy puts two schemes in the opposite order of what F1 can tell."""
    by_f1 = _told(variant["differences"])[a, b].sign
    one, other = (variant["schemes"][scheme]["balanced_accuracy"] for scheme in (a, b))
    return bool(by_f1 * (one - other) < 0)


def _by_balanced_accuracy(variant: Mapping[str, Any], schemes: Sequence[str]) -> str:
    found = variant["schemes"]
    best_first = sorted(schemes, key=lambda scheme: -found[scheme]["balanced_accuracy"])
    listed = [
        f"{SCHEME_NAMES[scheme]} {found[scheme]['balanced_accuracy']:.3f}"
        f" ({found[scheme]['balanced_accuracy_ci'][0]:.3f}–"
        f"{found[scheme]['balanced_accuracy_ci'][1]:.3f})"
        for scheme in best_first
    ]
    sentences = [
        "By balanced accuracy, the mean of the recalls of yes and no, the best first: "
        f"{', '.join(listed)}."
    ]
    others = [s for s in schemes if "specialists" in schemes and s != "specialists"]
    if reversed_ := [SCHEME_NAMES[s] for s in others if _reversed(variant, "specialists", s)]:
        sentences.append(
            f"That reverses the order of the specialists and {_and(reversed_)} by F1, which says"
            " more about thresholds than about what was learned."
        )
    if others and any("balanced_accuracy" not in d for d in variant["differences"]):
        sentences.append(
            "These intervals are of each scheme alone: those of the differences in balanced"
            " accuracy were not kept."
        )
    for d in variant["differences"]:
        if "balanced_accuracy" in d and {d["scheme"], d["other"]} == {"specialists", "plain"}:
            told = d["balanced_accuracy"]
            low, high = told["ci"]
            difference = _Difference(told["mean"], low, high, told["seeds"])
            if d["scheme"] == "plain":
                difference = difference.reversed()
            sentences.append(f"Specialists minus plain ensemble in it: {difference}.")
    return " ".join(sentences)


def _without_coins(
    variant: Mapping[str, Any], schemes: Sequence[str], tasks: Sequence[str], coins: Sequence[str]
) -> str:
    learned = [t for t, task in enumerate(tasks) if task not in coins]
    if not coins or not learned:
        return ""
    found = variant["schemes"]
    means = {s: sum(found[s]["per_task_f1"][t] for t in learned) / len(learned) for s in schemes}
    listed = ", ".join(f"{SCHEME_NAMES[scheme]} {means[scheme]:.3f}" for scheme in schemes)
    flips = "is a coin flip" if len(coins) == 1 else "are coin flips"
    sentences = [
        f"{_and(coins)} {flips}: no model can learn that, and its F1 says only how often it is"
        f" answered with yes. Without it the mean F1 is: {listed}."
    ]
    if {"specialists", "mtl"} <= {*schemes}:
        gain, whole = (
            scores["specialists"] - scores["mtl"]
            for scores in (means, {s: found[s]["mean_f1"] for s in schemes})
        )
        sentences.append(
            f"The specialists' gain over MTL is {gain:+.4f} then, and not {whole:+.4f}."
        )
    return " ".join(sentences)


def verdict(
    differences: Sequence[Mapping[str, Any]], schemes: Sequence[str], seeds: Sequence[int]
) -> str:
    """What the intervals of F1 say, in plain words: what is better than what, what is not known.

    One scheme is better than another where the 95 % interval of the difference of the mean F1 lies
    on one side of 0 and, with several seeds, no seed says the opposite. The grouping pays where the
    specialists are better than as many models without any grouping, and than the same weights on
    the wrong tasks, if those were tried.
    """
    told = _told(differences)
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


def _told(differences: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], _Difference]:
    """The difference of each two schemes, either way round."""
    told = {}
    for d in differences:
        told[d["scheme"], d["other"]] = _Difference(d["mean"], d["ci"][0], d["ci"][1], d["seeds"])
        told[d["other"], d["scheme"]] = told[d["scheme"], d["other"]].reversed()
    return told


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
