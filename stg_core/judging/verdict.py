"""What the comparison of schemes says, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from stg_core.system.words import counted
from stg_core.tasks.groups import GROUPS, TaskGroup

SCHEME_NAMES: Mapping[str, str] = {
    "mtl": "MTL",
    "stl": "STL",
    "specialists": "the specialists",
    "plain": "the plain ensemble",
    "random": "the random grouping",
    "superclass": "the superclass grouping",
    "longer": "one model trained longer",
    "wider": "one wider model",
    "warm": "the warm specialists",
    "plain_warm": "the plain warm ensemble",
    "random_warm": "the warm random grouping",
}
CONTROLS: Mapping[str, Mapping[str, str]] = {  # of whom: who decides, and at which equal cost
    "specialists": {
        "longer": "at equal training cost",
        "plain": "at equal training cost",
        "wider": "at equal serving cost",
        "random": "of the grouping itself",
    },
    "warm": {"plain_warm": "at equal training cost", "random_warm": "of the grouping itself"},
}
OF_THE_GROUPING = ("random", "random_warm")  # in the order of CONTROLS
MEASURE_NAMES: Mapping[str, str] = {  # within a sentence
    "auroc": "AUROC",
    "average_precision": "average precision",
    "f1": "F1",
    "f1_tuned": "F1 at a tuned threshold",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "r2": "R²",
}
NAMED = 6  # tasks, in a sentence
SLACK = 1.1  # of a budget: multiply-adds as counted are within 10 % of those that torch counts


@dataclass(frozen=True)
class Words:
    """What a judgement calls things: those of classes of images are the defaults.

    score: what every task is scored with by epoch, F1, R², or "score" where some have one and some
    the other; answers: whose recalls balanced accuracy is the mean of; family: what people count
    tasks to; point: what is in the test set.
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

    def measure(self, name: str) -> str:
        """Within a sentence; in a mixture of kinds "AUROC or R²"."""
        return MEASURE_NAMES[name] + " or R²" * (self.score == "score")

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


def verdict_in(report: Mapping[str, Any], variant: str, measure: str = "") -> Verdict:
    """The verdict of one variant of a report of version 2, by one of its measures or the first.

    One scheme is better than another where the 95 % interval of the difference of their means lies
    on one side of 0; where the intervals are over points only, no seed may say the opposite. The
    grouping pays where the specialists are better than every control that was tried.
    """
    return _Judgement(report, variant, measure or report["measures"][0]).verdict()


def coins_of(group: TaskGroup | None, tasks: Iterable[str]) -> list[str]:
    """Those of the tasks that are coin flips."""
    rules = {task.name: task.rule for task in group.tasks} if group else {}
    return [task for task in tasks if rules.get(task) == "random"]


def say_coins(coins: Sequence[str]) -> str:
    """That these count in no mean; nothing where there are none."""
    return f"{_and(coins)} {_is_coin(coins)}: left out." if coins else ""


@dataclass(frozen=True)
class Difference:
    """Of the means of two schemes. sign: 1 better, -1 worse, 0 cannot be told."""

    mean: float
    low: float | None
    high: float | None
    sign: int

    def reversed(self) -> Difference:
        low, high = (None if end is None else 0 - end for end in (self.high, self.low))
        return Difference(0 - self.mean, low, high, -self.sign)

    @property
    def none(self) -> bool:
        """Whether both are the same to the last digit, whichever points are drawn."""
        return (self.mean, self.low, self.high) == (0, 0, 0)

    @property
    def leaning(self) -> int:
        """The sign; where no interval was kept, that of the mean."""
        if self.low is None:
            return (self.mean > 0) - (self.mean < 0)
        return self.sign

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.mean:+.4f}, its interval was not kept"
        return f"{self.mean:+.4f}, 95 % interval {self.low:+.4f} to {self.high:+.4f}"


def told_apart(
    differences: Sequence[Mapping[str, Any]], over_seeds: bool
) -> dict[tuple[str, str], Difference]:
    """The difference of each two schemes, either way round; over_seeds: what intervals hold."""
    told = {}
    for d in differences:
        (low, high), sign = d["ci"], 0
        if low is not None and (low > 0 or high < 0):
            sign = 1 if low > 0 else -1
            if not over_seeds and any(seed * sign <= 0 for seed in d["seeds"]):
                sign = 0
        difference = Difference(d["mean"], low, high, sign)
        told[d["scheme"], d["other"]] = difference
        told[d["other"], d["scheme"]] = difference.reversed()
    return told


class _Judgement:
    """One measure of one variant of a report, and the sentences about it."""

    def __init__(self, report: Mapping[str, Any], variant: str, measure: str) -> None:
        self.report, self.words = report, Words.of(report)
        self.measure, self.name = measure, self.words.measure(measure)
        self.found = report["variants"][variant]["measures"]
        self.scores = self.found[measure]["schemes"]
        self.schemes = [s for s in report["schemes"] if s in self.scores]
        self.over_seeds = report.get("intervals") == "points and seeds"
        self.judged = next((scheme for scheme in CONTROLS if scheme in self.schemes), None)
        self.controls = CONTROLS[self.judged] if self.judged else {}
        self.tried = [scheme for scheme in self.controls if scheme in self.schemes]
        self.missing = [scheme for scheme in self.controls if scheme not in self.schemes]

    def verdict(self) -> Verdict:
        if any(scores["mean"] is None for scores in self.scores.values()):
            return Verdict(self._undefined(), self._left_out())
        self.told = told_apart(self.found[self.measure]["differences"], self.over_seeds)
        same = self._same_groupings()
        self.schemes = [scheme for scheme in self.schemes if scheme not in same]
        self.tried = [scheme for scheme in self.tried if scheme not in same]
        details = [
            *self._against_controls(),
            self._about_same(same),
            self._against_the_rest(),
            self._warm_beside(),
            self._choice(),
            self._not_tried(),
            self._disagreement(),
            self._left_out(),
            self._of_seeds(),
        ]
        return Verdict(self._headline(), " ".join(filter(None, details)))

    # ------------------------------------------------------------------------------ the first line

    def _undefined(self) -> str:
        left_out = self.report["left_out"]
        if left_out and len(left_out) == len(self.report["tasks"]):
            return "Nothing can be told: no task is learned better than chance."
        return f"Nothing can be told: {self.name} is not defined for any of the tasks."

    def _headline(self) -> str:
        if self.judged is None:
            return "No specialists were trained, so nothing is said about the grouping."
        if not self.tried:
            lacking = self.missing or list(self.controls)
            return (
                "It cannot be told whether the grouping pays: none of its controls was tried. Add"
                f" the scheme{'s' * (len(lacking) > 1)} {_and(lacking)}."
            )
        by_sign = {
            sign: [c for c in self.tried if self.told[self.judged, c].sign == sign]
            for sign in (-1, 0, 1)
        }
        worse, open_ = ([c for c in by_sign[s] if c not in OF_THE_GROUPING] for s in (-1, 0))
        if worse:
            sentence = self._loss(max(worse, key=self._mean))
        elif open_:
            sentence = self._tie(by_sign[0])
        elif by_sign[-1] or by_sign[0]:
            sentence = self._owed_to_chance(by_sign)
        else:
            sentence = self._win()
        return sentence + " Measures disagree about it." * bool(self._opposites(self.tried))

    def _loss(self, best: str) -> str:
        return (
            f"The grouping does not pay: {self._of(best)} is better, with a mean {self.name} of"
            f" {self._versus(best)}."
        )

    def _tie(self, controls: Sequence[str]) -> str:
        assert self.judged
        best = max(controls, key=self._mean)
        return (
            f"It cannot be told whether the grouping pays: {self._of(self.judged)} cannot be told"
            f" apart from {_and([self._of(c) for c in controls])} (mean {self.name}"
            f" {self._versus(best, own_first=True)})."
        )

    def _owed_to_chance(self, by_sign: Mapping[int, Sequence[str]]) -> str:
        """Where all controls are beaten but the same weights on the wrong tasks."""
        [random] = by_sign[-1] or by_sign[0]
        than = "is better" if by_sign[-1] else "cannot be told apart from them"
        but = f"{self._of(random)} {than} (mean {self.name} {self._versus(random)})."
        if not by_sign[1]:
            known = "does not pay" if by_sign[-1] else "is not known to pay"
            return f"The grouping {known}: {but}"
        not_this = (
            "not this grouping" if by_sign[-1] else "it cannot be told that this grouping does"
        )
        beaten = _and([self._of(c) for c in by_sign[1]])
        return f"Specialists pay, but {not_this}: they are better than {beaten}, but {but}"

    def _win(self) -> str:
        assert self.judged
        missing = [self._of(c) for c in self.missing]
        untried = f"; {_and(missing)} {_was(missing)} not tried" if missing else ""
        best = max(self.tried, key=self._mean)
        return (
            f"The grouping pays: {self._of(self.judged)} are better than"
            f" {_and([self._of(c) for c in self.tried])}, with a mean {self.name} of"
            f" {self._versus(best, own_first=True)}{untried}."
        )

    def _versus(self, control: str, own_first: bool = False) -> str:
        """The means of a control and of what is judged."""
        assert self.judged
        pair = [control, self.judged]
        means = [self._mean(scheme) for scheme in (pair[::-1] if own_first else pair)]
        digits = 3 if f"{means[0]:.3f}" != f"{means[1]:.3f}" else 4
        return " to ".join(f"{mean:.{digits}f}" for mean in means)

    # ----------------------------------------------------------------------------------- the rest

    def _against_controls(self) -> list[str]:
        """A sentence for each kind of control: at equal training cost, at equal serving cost, …"""
        if self.judged is None:
            return []
        kinds: dict[str, list[str]] = {}
        for control in self.tried:
            kinds.setdefault(self.controls[control], []).append(control)
        beginnings = {"of the grouping itself": "The grouping itself"}
        return [
            f"{beginnings.get(kind, kind[0].upper() + kind[1:])}:"
            f" {self._compared(self.judged, controls)}."
            for kind, controls in kinds.items()
        ]

    def _same_groupings(self) -> list[str]:
        """The same weights on the wrong tasks, where no order of the tasks is another grouping."""
        return [
            scheme
            for scheme, own in zip(OF_THE_GROUPING, CONTROLS, strict=True)
            if (own, scheme) in self.told and self.told[own, scheme].none
        ]

    def _about_same(self, schemes: Sequence[str]) -> str:
        own = {random: self._of(own) for random, own in zip(OF_THE_GROUPING, CONTROLS, strict=True)}
        parts = [f"{self._of(scheme)} answers exactly as {own[scheme]}" for scheme in schemes]
        if not parts:
            return ""
        return (
            f"No control here: {_and(parts)}, as where every task has a cluster of its own, and no"
            " order of the tasks is another grouping."
        )

    def _against_the_rest(self) -> str:
        known = {self.judged, *self.controls, *CONTROLS["warm"], "warm"}
        rest = [scheme for scheme in self.schemes if scheme not in known]
        if self.judged is None or not rest:
            return ""
        return f"Beside that: {self._compared(self.judged, rest)}."

    def _warm_beside(self) -> str:
        """What is said of warm specialists, where others are judged."""
        tried = [control for control in CONTROLS["warm"] if control in self.schemes]
        if "warm" not in self.schemes or self.judged == "warm":
            return ""
        others = [*tried, self.judged] if self.judged else tried
        return f"Warm ones: {self._compared('warm', others)}."

    def _compared(self, scheme: str, others: Sequence[str]) -> str:
        """Such as "the specialists are better than MTL (…) and are worse than STL (…)"."""
        parts = []
        for sign, verb in ((1, "are better than"), (-1, "are worse than"), (0, "")):
            names = [
                f"{self._of(other)} ({self.told[scheme, other]})"
                for other in others
                if self.told[scheme, other].sign == sign
            ]
            if names:
                parts.append(f"{verb or 'cannot be told apart from'} {_and(names)}")
        return f"{self._of(scheme)} {_and(parts)}"

    def _choice(self) -> str:
        """Which scheme somebody with the budget of the specialists should take."""
        costs = self.report["costs"]
        budget = costs[self.judged]["training"] if self.judged else None
        if budget is None:
            return ""
        affordable = [
            scheme
            for scheme in self.schemes
            if (cost := costs[scheme]["training"]) is not None
            and (cost <= budget * SLACK or scheme in self.controls)
        ]
        best = max(affordable, key=self._mean)
        as_good = [
            scheme
            for scheme in affordable
            if all(self.told[o, scheme].leaning <= 0 for o in affordable if o != scheme)
        ] or [best]
        taken = min(
            as_good,
            key=lambda s: (costs[s]["serving"] or 0, costs[s]["training"], -self._mean(s)),
        )
        price = (
            f"it costs {_number(costs[taken]['training'])} to train and"
            f" {_number(costs[taken]['serving'])} to serve"
        )
        sentence = f"Who can train for {_number(budget)} times MTL should take {self._of(taken)}:"
        if taken == best:
            return f"{sentence} the best mean {self.name}, {self._interval(best)}; {price}."
        return (
            f"{sentence} {price}, and cannot be told apart from the best, {self._of(best)}"
            f" ({self._interval(taken)} to {self._interval(best)}), which costs"
            f" {_number(costs[best]['serving'])} to serve."
        )

    def _not_tried(self) -> str:
        if not self.missing:
            return ""
        return f"Not tried: {_and([f'{self._of(c)} ({c})' for c in self.missing])}."

    def _opposites(self, others: Iterable[str]) -> dict[str, list[str]]:
        """By every other measure: of whom it says the opposite of what this one can tell."""
        found: dict[str, list[str]] = {}
        for name, other in self.found.items():
            if name == self.measure or any(
                scores["mean"] is None for scores in other["schemes"].values()
            ):
                continue
            told = told_apart(other["differences"], self.over_seeds)
            pairs = ((self.judged, scheme) for scheme in others if self.judged)
            opposite = [
                scheme
                for judged, scheme in pairs
                if (judged, scheme) in told
                and self.told[judged, scheme].leaning * told[judged, scheme].leaning < 0
            ]
            if opposite:
                found[name] = opposite
        return found

    def _disagreement(self) -> str:
        """Which measure puts whom in the opposite order."""
        if self.judged is None:
            return ""
        others = [scheme for scheme in self.schemes if scheme != self.judged]
        groups: dict[tuple[str, ...], list[str]] = {}
        for name, opposite in self._opposites(others).items():
            groups.setdefault(tuple(opposite), []).append(MEASURE_NAMES[name])
        parts = []
        for schemes, names in groups.items():
            better = [s for s in schemes if self.told[self.judged, s].leaning < 0]
            worse = [s for s in schemes if s not in better]
            sides = [
                f"{word} than {_and([self._of(s) for s in side])}"
                for word, side in (("better", better), ("worse", worse))
                if side
            ]
            parts.append(f"by {_and(names)} {self._of(self.judged)} are {_and(sides)}")
        if not parts:
            return ""
        return f"Measures disagree: {'; '.join(parts)}, the opposite of what {self.name} says."

    def _left_out(self) -> str:
        """Which tasks are in no mean; and coin flips that are, in reports of the first version."""
        left_out, tasks = self.report["left_out"], self.report["tasks"]
        coins = coins_of(GROUPS.get(self.report["group"]), tasks)
        flipped = [task for task in left_out if task in coins]
        unlearned = [task for task in left_out if task not in coins]
        still_in = [task for task in coins if task not in left_out]
        sentences = []
        if flipped:
            sentences.append(say_coins(flipped))
        if unlearned:
            are = "is" if len(unlearned) == 1 else "are"
            named = _some(unlearned, len(tasks))
            sentences.append(f"{named} {are} not learned better than chance: left out.")
        if still_in:
            sentences.append(
                f"{_and(still_in)} {_is_coin(still_in)}, and still in these means, which come from"
                " an earlier version."
            )
        return " ".join(sentences)

    def _of_seeds(self) -> str:
        points, seeds = f"test {self.words.point}s", len(self.report["seeds"])
        if seeds == 1:
            return (
                f"All this is of one seed, and its intervals are over {points} only: how much the"
                " scores change from seed to seed is not seen."
            )
        if not self.over_seeds:
            return (
                f"Each figure is a mean over {counted(seeds, 'seed')}; intervals are over {points}"
                " only, and where the seeds disagree about a sign, nothing is told."
            )
        wide = ", which 2 seeds make very wide" * (seeds == 2)
        return (
            f"Each figure is a mean over {counted(seeds, 'seed')}, and intervals are over {points}"
            f" and seeds{wide}."
        )

    # ------------------------------------------------------------------------------------ wording

    def _of(self, scheme: str) -> str:
        return self.words.scheme(scheme)

    def _mean(self, scheme: str) -> float:
        return float(self.scores[scheme]["mean"])

    def _interval(self, scheme: str) -> str:
        low, high = self.scores[scheme]["ci"]
        return f"{self._mean(scheme):.3f} ({low:.3f}–{high:.3f})"


def _number(value: float) -> str:
    """A cost; two digits behind the point at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _is_coin(tasks: Sequence[str]) -> str:
    return "is a coin flip" if len(tasks) == 1 else "are coin flips"


def _some(names: Sequence[str], of: int) -> str:
    """All of them, or how many and the first few."""
    if len(names) <= NAMED:
        return _and(names)
    return f"{len(names)} of {of} tasks ({', '.join(names[:NAMED])} and others)"


def _was(names: Sequence[str]) -> str:
    return "was" if len(names) == 1 else "were"


def _and(parts: Sequence[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last
