"""What the comparison of schemes says, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

SCHEME_NAMES: Mapping[str, str] = {
    "mtl": "MTL",
    "stl": "STL",
    "specialists": "the specialists",
    "plain": "the plain ensemble",
    "random": "the random grouping",
    "superclass": "the superclass grouping",
    "longer": "the longer model",
    "wider": "the wider model",
    "warm": "the warm specialists",
    "plain_warm": "the plain warm ensemble",
    "random_warm": "the warm random grouping",
}


@dataclass(frozen=True)
class Words:
    """What a judgement calls things: those of classes of images are the defaults.

    score: what every task is scored with, F1, R², or "score" where some have one and some the
    other; answers: whose recalls balanced accuracy is the mean of; family: what people count tasks
    to; point: what is in the test set.
    """

    score: str = "F1"
    answers: str = "yes and no"
    family: str = "superclass"
    point: str = "image"

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Words:
        return cls(**{f.name: report.get(f.name, f.default) for f in fields(cls)})

    def told(self) -> dict[str, str]:
        """What a report holds of them: those that are not the defaults."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {f.name: found[f.name] for f in fields(self) if found[f.name] != f.default}

    @property
    def title(self) -> str:
        """The score at the beginning of a sentence or of a column."""
        return self.score[0].upper() + self.score[1:]

    def scheme(self, name: str) -> str:
        """Within a sentence."""
        return SCHEME_NAMES[name].replace("superclass", self.family)


AS_EVER = Words()


@dataclass(frozen=True)
class Verdict:
    """What a comparison of schemes says: one line, and all the rest behind it."""

    headline: str
    details: str

    @property
    def text(self) -> str:
        return " ".join(filter(None, (self.headline, self.details)))


def verdict_of(
    variant: Mapping[str, Any],
    schemes: Sequence[str],
    seeds: Sequence[int],
    tasks: Sequence[str],
    coins: Sequence[str] = (),
    words: Words = AS_EVER,
) -> Verdict:
    """The verdict of one variant of a report, by F1 (or R²) and by balanced accuracy.

    coins: those of the tasks that no model can learn better than chance. F1 decides; where balanced
    accuracy says the opposite, the headline says so, and nothing is decided. Where no task has
    a balanced accuracy, as regressions have none, nothing is said about it.
    """
    by_score = verdict(variant["differences"], schemes, seeds, words)
    if any(variant["schemes"][scheme]["mean_f1"] is None for scheme in schemes):
        return Verdict(by_score, "")
    details = [
        "Score is F1 of yes or no and of classes, R² of numbers." * (words.score == "score"),
        f"By {words.score}: {by_score}",
        _by_balanced_accuracy(variant, schemes, words),
        _without_coins(variant, schemes, tasks, coins, words),
    ]
    headline = _headline(variant, schemes, by_score, words)
    return Verdict(headline, " ".join(filter(None, details)))


def _headline(
    variant: Mapping[str, Any], schemes: Sequence[str], by_score: str, words: Words
) -> str:
    if not {"specialists", "plain"} <= {*schemes}:
        return by_score.partition(". ")[0].rstrip(".") + "."
    found = variant["schemes"]
    score, other = (
        (found["specialists"][name], found["plain"][name])
        for name in ("mean_f1", "balanced_accuracy")
    )
    if _reversed(variant, "specialists", "plain"):
        better, worse = ("better", "worse") if score[0] > score[1] else ("worse", "better")
        return (
            f"Whether the grouping pays depends on the measure: by {words.score} the specialists"
            f" are {better} than the plain ensemble ({score[0]:.3f} to {score[1]:.3f}), by balanced"
            f" accuracy {worse} ({other[0]:.3f} to {other[1]:.3f})."
        )
    balanced = ""
    if None not in other:
        balanced = f", a balanced accuracy of {other[0]:.3f} and {other[1]:.3f}"
    return (
        f"{by_score.partition(':')[0]}: specialists and plain ensemble have a mean {words.score} of"
        f" {score[0]:.3f} and {score[1]:.3f}{balanced}."
    )


def _reversed(variant: Mapping[str, Any], a: str, b: str) -> bool:
    """Whether balanced accuracy puts two schemes in the opposite order of what F1 can tell."""
    by_f1 = _told(variant["differences"])[a, b].sign
    one, other = (variant["schemes"][scheme]["balanced_accuracy"] for scheme in (a, b))
    return None not in (one, other) and bool(by_f1 * (one - other) < 0)


def _by_balanced_accuracy(variant: Mapping[str, Any], schemes: Sequence[str], words: Words) -> str:
    found = variant["schemes"]
    if any(found[scheme]["balanced_accuracy"] is None for scheme in schemes):
        return ""
    best_first = sorted(schemes, key=lambda scheme: -found[scheme]["balanced_accuracy"])
    listed = [
        f"{words.scheme(scheme)} {found[scheme]['balanced_accuracy']:.3f}"
        f" ({found[scheme]['balanced_accuracy_ci'][0]:.3f}–"
        f"{found[scheme]['balanced_accuracy_ci'][1]:.3f})"
        for scheme in best_first
    ]
    without = ", which numbers do not have," if words.score == "score" else ","
    sentences = [
        f"By balanced accuracy, the mean of the recalls of {words.answers}{without} the best first:"
        f" {', '.join(listed)}."
    ]
    others = [s for s in schemes if "specialists" in schemes and s != "specialists"]
    if reversed_ := [words.scheme(s) for s in others if _reversed(variant, "specialists", s)]:
        thresholds = ", which says more about thresholds than about what was learned"
        sentences.append(
            f"That reverses the order of the specialists and {_and(reversed_)} by {words.score}"
            f"{thresholds if words.score == 'F1' else ''}."
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
    variant: Mapping[str, Any],
    schemes: Sequence[str],
    tasks: Sequence[str],
    coins: Sequence[str],
    words: Words,
) -> str:
    found = variant["schemes"]
    scores = {scheme: found[scheme]["per_task_f1"] for scheme in schemes}
    learned = [
        t
        for t, task in enumerate(tasks)
        if task not in coins and all(each[t] is not None for each in scores.values())
    ]
    if not coins or not learned:
        return ""
    means = {s: sum(each[t] for t in learned) / len(learned) for s, each in scores.items()}
    listed = ", ".join(f"{words.scheme(scheme)} {means[scheme]:.3f}" for scheme in schemes)
    flips = "is a coin flip" if len(coins) == 1 else "are coin flips"
    sentences = [
        f"{_and(coins)} {flips}: no model can learn that, and its F1 says only how often it is"
        f" answered with yes. Without it the mean {words.score} is: {listed}."
    ]
    if {"specialists", "mtl"} <= {*schemes}:
        gain, whole = (
            each["specialists"] - each["mtl"]
            for each in (means, {s: found[s]["mean_f1"] for s in schemes})
        )
        sentences.append(
            f"The specialists' gain over MTL is {gain:+.4f} then, and not {whole:+.4f}."
        )
    return " ".join(sentences)


def verdict(
    differences: Sequence[Mapping[str, Any]],
    schemes: Sequence[str],
    seeds: Sequence[int],
    words: Words = AS_EVER,
) -> str:
    """What the intervals of F1 say, in plain words: what is better than what, what is not known.

    One scheme is better than another where the 95 % interval of the difference of the mean F1 lies
    on one side of 0 and, with several seeds, no seed says the opposite. The grouping pays where the
    specialists are better than as many models without any grouping, and than the same weights on
    the wrong tasks, if those were tried.
    """
    if any(d["mean"] is None for d in differences):
        return f"Nothing can be told: {words.score} is not defined for any of the tasks."
    told = _told(differences)
    sentences = [_deciding_sentence(told, schemes, words)]
    sentences += _against_the_rest(told, schemes, words)
    if ("plain", "mtl") in told:
        sentences.append(_of_plain_alone(told["plain", "mtl"]))
    sentences.append(_of_seeds(told, seeds, words))
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


def _deciding_sentence(
    told: Mapping[tuple[str, str], _Difference], schemes: Sequence[str], words: Words
) -> str:
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
            f" ({d} in mean {words.score})"
        )
        return _of_specialists_that_win(better, told.get(("specialists", "random")))
    if d.sign < 0:
        return (
            f"The grouping does not pay: the plain ensemble, the same number of models without any"
            f" grouping, is better than the specialists ({d.reversed()} in mean {words.score})."
        )
    return (
        f"It cannot be told whether the grouping pays: between the specialists and the plain"
        f" ensemble, the same number of models without any grouping, {_why_not(d, words)}"
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


def _why_not(d: _Difference, words: Words) -> str:
    if not d.is_disputed:
        return (
            f"the interval of the difference in mean {words.score} contains 0 ({d}); differences"
            " this small mean nothing."
        )
    return f"the seeds disagree about the sign of the difference in mean {words.score} ({d})."


def _against_the_rest(
    told: Mapping[tuple[str, str], _Difference], schemes: Sequence[str], words: Words
) -> list[str]:
    told_before = {"specialists", "plain"}
    if ("specialists", "plain") in told and told["specialists", "plain"].sign > 0:
        told_before.add("random")
    others = [other for other in schemes if other not in told_before]
    if "specialists" not in schemes or not others:
        return []
    parts = []
    for sign, compared in ((1, "are better than"), (-1, "are worse than"), (0, "")):
        names = [
            f"{words.scheme(other)} ({d}{', but the seeds disagree' * d.is_disputed})"
            for other in others
            if (d := told["specialists", other]).sign == sign
        ]
        if names:
            parts.append(f"{compared or 'cannot be told apart from'} {_and(names)}")
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


def _of_seeds(
    told: Mapping[tuple[str, str], _Difference], seeds: Sequence[int], words: Words
) -> str:
    if len(seeds) == 1:
        return (
            f"All this is of one seed, and its intervals are over test {words.point}s only: how"
            " much the scores change from seed to seed is not seen."
        )
    if ("specialists", "plain") not in told:
        return f"Each figure is a mean over {len(seeds)} seeds."
    each = told["specialists", "plain"].seeds
    listed = ", ".join(f"{d:+.4f} with seed {s}" for s, d in zip(seeds, each, strict=True))
    return f"Specialists minus plain ensemble: {listed}."


def _and(parts: Sequence[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last
