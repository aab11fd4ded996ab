"""What a table with several seeds says of the methods: scores, regrets, and how much is noise.

Every interval is of 95 %, over seeds and over test points: see `intervals.interval`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from stg_core.affinity.etap import scores as scores_of_predictions
from stg_core.affinity.methods import AFFINITY_OF, METHODS, cost_of, partition_of, rows_of
from stg_core.affinity.outputs import OUTPUTS
from stg_core.affinity.pair_part import (
    Foretold,
    foretell,
    own_part,
    p_in_words,
    pair_gains,
    relation,
)
from stg_core.affinity.seed_methods import (
    CHANCE_DRAWS,
    CHOSEN,
    chosen_by,
    learned_tasks,
    searched_by,
    seen,
    titles,
    values_of,
    ways,
)
from stg_core.affinity.seeds import PARTS, STOPS, SeedTable
from stg_core.affinity.selection import Floats, Integers
from stg_core.judging.intervals import interval

RESAMPLES = 1_000
RESAMPLING_SEED = 67
MANY_AT_END = 0.1  # of the models
UNRANKED = ("exhaustive", "alone")  # the one is the measure, the other exceeds the budget


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, with its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the interval is above or below 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True)
class Scores:
    """A mean gain: with each seed (S,), and likewise on resampled test points (B, S)."""

    seeds: Floats
    drawn: Floats

    def __sub__(self, other: Scores) -> Scores:
        return Scores(self.seeds - other.seeds, self.drawn - other.drawn)

    @property
    def estimate(self) -> Estimate:
        return estimated(self.seeds, self.drawn)


def estimated(seeds: Floats, drawn: Floats | None = None) -> Estimate:
    """The mean of values with each seed (S,), with an interval over seeds, and points if drawn.

    drawn (B, S): the same on resampled points. NaN as ends where neither has any variance to tell.
    """
    mean = float(np.mean(seeds))
    if len(seeds) < 2 and drawn is None:
        return Estimate(mean, np.nan, np.nan)
    low, high = interval(seeds, seeds[:, None] if drawn is None else drawn.T).tolist()
    return Estimate(mean, low, high)


# ------------------------------------------------------------------------------- scores of choices


@lru_cache(maxsize=4)
def _drawn_parts(n_drawn: int) -> Floats:
    """How often each part of either half is in each resample, (2, B, 50)."""
    rng = np.random.default_rng(RESAMPLING_SEED)
    return rng.multinomial(PARTS, np.full(PARTS, 1 / PARTS), (2, n_drawn)).astype(np.float64)


def scores(table: SeedTable, routing: Integers) -> Scores:
    """The mean gain of the learned tasks on the half that is scored, both ways round.

    routing (S, 2, n): the row that serves each task, by whole seed and way; or (D, S, 2, n) of
    several draws, whose mean is scored.
    """
    drawings = routing if routing.ndim == 4 else routing[None]
    tasks = np.flatnonzero(learned_tasks(table))
    gains, alone = table.gains(), table.alone[tasks]
    seeds = np.zeros((len(table.whole_seeds), 2))
    drawn = np.zeros((RESAMPLES, *seeds.shape))
    for place, seed in enumerate(table.whole_seeds):
        for way in (0, 1):
            rows = drawings[:, place, way][:, tasks]
            seeds[place, way] = gains[seed, rows, tasks, way].mean()
            of_rows = table.part_losses[seed, rows, tasks, way].astype(np.float64).mean(axis=0)
            of_alone = table.part_losses[seed, alone, tasks, way].astype(np.float64)
            parts = _drawn_parts(RESAMPLES)[way]
            lost = (parts @ of_rows.T) / (parts @ of_alone.T)
            drawn[:, place, way] = (1 - lost).mean(axis=1)
    return Scores(seeds.mean(axis=1), drawn.mean(axis=2))


def random_routings(table: SeedTable, budget: int) -> Integers:
    """Of random groups, (D, S, 2, n): the same ones with every seed."""
    drawn = []
    for draw in range(CHANCE_DRAWS):
        partition = partition_of(table, "random", budget, draw)
        assert partition is not None
        rows = np.array(rows_of(table, partition))
        drawn.append(rows[np.unique(partition, return_inverse=True)[1]])
    shape = (CHANCE_DRAWS, len(table.whole_seeds), 2, len(table.tasks))
    return np.broadcast_to(np.array(drawn)[:, None, None], shape)


# ------------------------------------------------------------------------------------ the methods


@dataclass(frozen=True)
class MethodTruth:
    """What a method comes to within a budget.

    score: mean gain of the learned tasks; regret: what exhaustive search scores more, chosen and
    scored alike; over_random: what it scores more than random groups; rank: among the methods, 1
    the best, with the 95 % of resampled seeds and points; cost: in trainings of all tasks, as
    measured; told: Pearson's correlation of what it says of groups that it did not train with what
    they truly gain; own: by way to stop, that of what it says of pairs with the own part of their
    gains, and how often one is as strong with the tasks in another order. None where it says none.
    """

    method: str
    title: str
    score: Estimate
    regret: Estimate
    over_random: Estimate
    rank: Estimate | None
    cost: float
    told: Estimate | None
    own: dict[str, tuple[float, float]] | None


def method_truths(table: SeedTable, budget: int) -> list[MethodTruth]:
    """Of every method whose choices within that budget are kept in the table."""
    known = {
        m: title for m, title in titles(table).items() if f"{CHOSEN} {m} {budget}" in table.joint
    }
    found = {m: scores(table, chosen_by(table, m, budget)) for m in known if m != "random"}
    found["random"] = scores(table, random_routings(table, budget))
    best, chance = found["exhaustive"], found["random"]
    ranks = _ranks({m: one for m, one in found.items() if m not in UNRANKED})
    answer = []
    for method, title in known.items():
        one = found[method]
        answer.append(
            MethodTruth(
                method=method,
                title=title,
                score=one.estimate,
                regret=(best - one).estimate,
                over_random=(one - chance).estimate,
                rank=ranks.get(method),
                cost=_cost(table, method, budget),
                told=_told(table, method),
                own=own_relations(table, method),
            )
        )
    return answer


def _ranks(found: Mapping[str, Scores]) -> dict[str, Estimate]:
    """The rank of each mean score, with the 95 % of resampled seeds and points."""
    rng = np.random.default_rng(RESAMPLING_SEED)
    n_seeds = len(next(iter(found.values())).seeds)
    picked = rng.integers(0, n_seeds, (RESAMPLES, n_seeds))
    drawn = np.stack(
        [np.take_along_axis(one.drawn, picked, axis=1).mean(axis=1) for one in found.values()]
    )
    means = np.array([one.seeds.mean() for one in found.values()])
    ranks = np.stack([_ranked(values) for values in drawn.T], axis=1)
    ends = np.percentile(ranks, (2.5, 97.5), axis=1).T
    return {
        method: Estimate(float(rank), float(low), float(high))
        for method, rank, (low, high) in zip(found, _ranked(means), ends, strict=True)
    }


def _ranked(values: Floats) -> Floats:
    """1 for the largest; those that are equal share their mean rank."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(-np.round(values, 12)), dtype=np.float64)


def _cost(table: SeedTable, method: str, budget: int) -> float:
    """Mean over seeds and ways, in trainings of all tasks; see `methods.cost_of`."""
    costs = []
    for place, (seed, way) in enumerate(ways(table)):
        view = seen(table, seed, way)
        groups = np.unique(chosen_by(table, method, budget)[place // 2, place % 2])
        if method in METHODS:
            searched = searched_by(table, method, seed, way)
            costs.append(cost_of(view, method, groups, searched, budget)[0])
        else:  # an affinity that the joint training tells, and label correlation without it
            rows = {*groups.tolist()} | ({table.together} if method != "labels" else set())
            costs.append(float(view.seconds[[*rows]].sum() / view.seconds[table.together]))
    return float(np.mean(costs))


def _told(table: SeedTable, method: str) -> Estimate | None:
    """Of what a method says of groups that it did not train, with what those truly gain."""
    learned, found = learned_tasks(table), np.full((len(table.whole_seeds), 2), np.nan)
    gains = table.gains()
    for place, (seed, way) in enumerate(ways(table)):
        values = values_of(table, method, seed, way)
        if values is None:
            return None
        held = np.setdiff1d(np.arange(len(table.masks)), searched_by(table, method, seed, way))
        told = scores_of_predictions(
            gains[seed, held, :, way], values[held], table.masks[held] & learned
        )
        found[place // 2, place % 2] = told["pearson"]
    return None if np.isnan(found).any() else estimated(found.mean(axis=1))


def own_relations(table: SeedTable, method: str) -> dict[str, tuple[float, float]] | None:
    """By way to stop, how what a method says of pairs goes with the own part of what they gain.

    See `relation`, of means over seeds. None for methods that say nothing of pairs, or train them.
    """
    said = said_of_pairs(table, method)
    learned, found = learned_tasks(table), {}
    for stop in STOPS:
        true = true_pair_gains(table, stop).mean(axis=(0, 1))
        related = relation(said[learned][:, learned], true[learned][:, learned])
        if related:
            found[stop] = related
    return found or None


def said_of_pairs(table: SeedTable, method: str) -> Floats:
    """What a method says of pairs that it did not train, [source, target], mean over seeds (n, n).

    NaN where it says nothing.
    """
    said = []
    for seed, way in ways(table):
        values = values_of(table, method, seed, way)
        untrained = np.full(table.masks.shape, np.nan) if values is None else values.copy()
        untrained[searched_by(table, method, seed, way)] = np.nan
        said.append(pair_gains(table, untrained))
    counts = np.isfinite(said).sum(axis=0)
    sums = np.where(counts, np.nansum(said, axis=0), np.nan)
    return np.asarray(sums / np.maximum(counts, 1))


# ----------------------------------------------------------------------------------- true gains


def true_pair_gains(table: SeedTable, stop: str = "model") -> Floats:
    """What each task gains next to each other one, [source, target], (S, 2, n, n)."""
    gains = table.gains(stop)
    found = [pair_gains(table, gains[seed, ..., way]) for seed, way in ways(table)]
    return np.reshape(found, (len(table.whole_seeds), 2, *found[0].shape))


@dataclass(frozen=True)
class Reliability:
    """How well a measurement agrees with itself: Pearson's correlation of two independent parts.

    half: of means over half of the seeds each, mean over all such splits; full: of means over all
    seeds, by the formula of Spearman and Brown; points: of half of the seeds on one half of the
    test points with the other half of the seeds on the other half of the points; points_full: the
    same of all seeds and points. NaN with a single seed.
    """

    half: float
    full: float
    points: float
    points_full: float


def reliability(values: Floats) -> Reliability:
    """Of values (S, 2, C): C cells measured with S seeds on two halves of the test points."""
    n_seeds = len(values)
    size = n_seeds // 2
    if not size:
        return Reliability(np.nan, np.nan, np.nan, np.nan)
    halves, crossed = [], []
    for one in combinations(range(n_seeds), size):
        for other in combinations([s for s in range(n_seeds) if s not in one], size):
            first, second = values[list(one)].mean(axis=0), values[list(other)].mean(axis=0)
            halves.append(_correlation(first.mean(axis=0), second.mean(axis=0)))
            crossed.append(_correlation(first[0], second[1]))
    half, points = float(np.mean(halves)), float(np.mean(crossed))
    return Reliability(
        half, spearman_brown(half, n_seeds / size), points, spearman_brown(points, 2)
    )


def spearman_brown(correlation: float, times: float) -> float:
    """The reliability of so many times the measurements, from that of one; what is below 0 stays.

    Noise has a reliability of 0, which is as often below it when it is measured.
    """
    if not correlation > 0:
        return correlation
    return times * correlation / (1 + (times - 1) * correlation)


def _correlation(a: Floats, b: Floats) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) > 0 and np.ptp(b) > 0 else np.nan


@dataclass(frozen=True)
class Pairs:
    """What pairs of learned tasks gain, mean of both tasks.

    mean: over all pairs; gaining, losing: pairs whose interval is above or below 0; positive: those
    whose mean is above 0; count: all.
    """

    count: int
    positive: int
    gaining: int
    losing: int
    mean: Estimate

    @property
    def all_gain(self) -> bool:
        """Whether there is nothing to group: every pair gains, as far as its mean tells."""
        return self.positive == self.count


def pairs(table: SeedTable) -> Pairs:
    learned = learned_tasks(table)
    pair_rows = np.flatnonzero(
        (table.masks.sum(axis=1) == 2) & ~(table.masks & ~learned).any(axis=1)
    )
    found = [_scores_of_pair(table, row) for row in pair_rows.tolist()]
    estimates = [one.estimate for one in found]
    whole = Scores(
        np.mean([one.seeds for one in found], axis=0), np.mean([one.drawn for one in found], axis=0)
    )
    return Pairs(
        count=len(found),
        positive=sum(one.mean > 0 for one in estimates),
        gaining=sum(one.sign > 0 for one in estimates),
        losing=sum(one.sign < 0 for one in estimates),
        mean=whole.estimate,
    )


def _scores_of_pair(table: SeedTable, row: int) -> Scores:
    """The mean gain of the two tasks of a pair."""
    tasks = np.flatnonzero(table.masks[row])
    gains, seeds = table.gains(), table.whole_seeds
    drawn = []
    for way in (0, 1):
        parts = _drawn_parts(RESAMPLES)[way]
        of_pair = table.part_losses[seeds][:, row, tasks, way].astype(np.float64)
        of_alone = table.part_losses[seeds][:, table.alone[tasks], tasks, way].astype(np.float64)
        lost = np.einsum("bp,stp->bst", parts, of_pair) / np.einsum("bp,stp->bst", parts, of_alone)
        drawn.append((1 - lost).mean(axis=2))
    return Scores(gains[seeds][:, row, tasks].mean(axis=(1, 2)), np.mean(drawn, axis=0))


@dataclass(frozen=True)
class Reading:
    """What gains are with trainings that are stopped in one of the ways of STOPS.

    together: the mean gain of all tasks in one model; pairs, positive: how many pairs there are,
    and how many of them have a mean gain above 0; gains: reliability of the gains of groups; own:
    that of the own part of pairs; own_share: of the variance of the gains of pairs, how much their
    own part is.
    """

    together: Estimate
    pairs: int
    positive: int
    gains: Reliability
    own: Reliability
    own_share: float


@dataclass(frozen=True)
class TableTruth:
    """What a table says of its own gains, whatever the method.

    n_seeds: those that are whole; left_out: tasks that are not learned, and in no mean; readings:
    by way to stop; pairs: see `Pairs`; at_end: share of models that are best after the last epoch,
    for which more epochs might be better; auroc_alone: mean AUROC of single models on the half that
    is scored; auroc_gain: what that of all tasks together is more, with an interval over seeds.
    """

    n_seeds: int
    left_out: tuple[str, ...]
    readings: dict[str, Reading]
    pairs: Pairs
    at_end: float
    auroc_alone: float
    auroc_gain: Estimate


def table_truth(table: SeedTable) -> TableTruth:
    learned, seeds = learned_tasks(table), table.whole_seeds
    tasks = np.flatnonzero(learned)
    auroc = table.auroc[seeds].astype(np.float64)
    alone = auroc[:, table.alone[tasks], tasks].mean(axis=(1, 2))
    together = auroc[:, table.together, tasks].mean(axis=(1, 2))
    return TableTruth(
        n_seeds=len(seeds),
        left_out=tuple(t for t, there in zip(table.tasks, learned, strict=True) if not there),
        readings={stop: _reading(table, stop) for stop in STOPS},
        pairs=pairs(table),
        at_end=float((table.stopped[seeds] == table.spec.epochs).mean()),
        auroc_alone=float(alone.mean()),
        auroc_gain=estimated(together - alone),
    )


def _reading(table: SeedTable, stop: str) -> Reading:
    learned, seeds = learned_tasks(table), table.whole_seeds
    cells = (table.masks & learned) & (table.masks.sum(axis=1, keepdims=True) > 1)
    gains = np.moveaxis(table.gains(stop)[seeds], -1, 1)  # (S, 2, R, n)
    of_pairs = true_pair_gains(table, stop)[:, :, learned][..., learned]
    own = np.stack([[own_part(matrix) for matrix in both] for both in of_pairs])
    off = ~np.eye(int(learned.sum()), dtype=np.bool_)
    mean = of_pairs.mean(axis=(0, 1))
    return Reading(
        together=estimated(gains[:, :, table.together, learned].mean(axis=(1, 2))),
        pairs=int(off.sum()) // 2,
        positive=int((np.triu(mean + mean.T, 1) > 0).sum()),
        gains=reliability(gains[:, :, cells]),
        own=reliability(own[:, :, off]),
        own_share=float(own_part(mean)[off].var() / mean[off].var()),
    )


def better_than_random(found: Sequence[MethodTruth]) -> list[str]:
    """Titles of the methods within the budget that beat random groups beyond the noise."""
    return [
        one.title
        for one in found
        if one.over_random.sign > 0 and one.method not in (*UNRANKED, "random")
    ]


# ----------------------------------------------------------------------------- foretelling pairs


def foretold(tables: Mapping[str, SeedTable], stop: str = "model") -> Foretold | None:
    """How well the own part of pairs is foretold by what costs no trained groups: see `foretell`.

    That are the OUTPUTS and the gradients of the joint training, means over seeds.
    """
    features: dict[str, dict[str, Floats]] = {}
    true: dict[str, Floats] = {}
    for name, table in tables.items():
        learned = np.ix_(*2 * [np.flatnonzero(learned_tasks(table))])
        features[name] = {
            feature: table.joint[feature].mean(axis=0)[learned]
            for feature in (*OUTPUTS, *AFFINITY_OF)
            if feature in table.joint
        }
        true[name] = true_pair_gains(table, stop).mean(axis=(0, 1))[learned]
    return foretell(features, true)


def foretelling(tables: Mapping[str, SeedTable]) -> dict[str, Foretold] | None:
    """`foretold` of gains that are stopped and of those after the last epoch, by their STOPS.

    None with fewer than two tables.
    """
    found = {stop: foretold(tables, stop) for stop in ("model", "last")}
    return {stop: one for stop, one in found.items() if one} or None


# ---------------------------------------------------------------------------------- what is kept


def note_truths(table: SeedTable, budgets: Sequence[int]) -> None:
    """Keeps in the table what it tells, which takes a minute to compute."""
    table.found = {
        "table": asdict(table_truth(table)),
        "methods": {str(b): [asdict(one) for one in method_truths(table, b)] for b in budgets},
    }


def kept_truth(table: SeedTable) -> TableTruth:
    """What `note_truths` kept of the table itself."""
    plain = table.found["table"]
    readings = {
        stop: Reading(
            **{
                **reading,
                "together": Estimate(**reading["together"]),
                "gains": Reliability(**reading["gains"]),
                "own": Reliability(**reading["own"]),
            }
        )
        for stop, reading in plain["readings"].items()
    }
    pairs = Pairs(**{**plain["pairs"], "mean": Estimate(**plain["pairs"]["mean"])})
    left_out = tuple(plain["left_out"])
    more = Estimate(**plain["auroc_gain"])
    known = {"left_out": left_out, "readings": readings, "pairs": pairs, "auroc_gain": more}
    return TableTruth(**{**plain, **known})


def kept_methods(table: SeedTable, budget: int) -> list[MethodTruth]:
    """What `note_truths` kept of the methods within a budget."""
    found = []
    for plain in table.found["methods"][str(budget)]:
        estimates = {
            name: Estimate(**plain[name]) if plain[name] else None
            for name in ("score", "regret", "over_random", "rank", "told")
        }
        own = plain["own"] and {stop: (float(r), float(p)) for stop, (r, p) in plain["own"].items()}
        found.append(MethodTruth(**{**plain, **estimates, "own": own}))
    return found


# -------------------------------------------------------------------------------------- in words


def sentences(truth: TableTruth, found: Sequence[MethodTruth]) -> list[str]:
    """What a table tells, a sentence each: of the methods, of how reliable it is, of pairs."""
    here, last = truth.readings["model"], truth.readings["last"]
    told = [_of_methods(found), _of_gains(here, truth.n_seeds), _of_pairs(truth), _of_own(here)]
    told += [_of_the_end(here, last), _of_auroc(truth)]
    if truth.at_end > MANY_AT_END:
        told.append(
            f"{100 * truth.at_end:.0f} % of the models are best after the last epoch: for them more"
            " epochs might be better."
        )
    if truth.left_out:
        none = "counts" if len(truth.left_out) == 1 else "count"
        told.append(
            f"{', '.join(truth.left_out)} {none} in no mean: not learned better than chance."
        )
    return told


def foretelling_sentence(found: Mapping[str, Foretold]) -> str:
    """What a ridge regression on the other tables says of each."""
    return (
        "Each table in turn is left out: from all others is learned which features tell the own"
        " part of what a pair gains, and it is told of the pairs of the table left out. A ridge"
        f" regression on all features reaches {_listed(found['model'])}. Without stopping, of gains"
        f" that are mostly those against overfitting: {_listed(found['last'])}."
    )


def _listed(found: Foretold) -> str:
    return ", ".join(
        f"{_number(r)} on {name} ({p_in_words(p)})" for name, (r, p) in found.ridge.items()
    )


def feature_titles() -> dict[str, str]:
    """What the features that foretell pairs are called, by name."""
    named = {name: method.title for name, method in METHODS.items()}
    return named | {name: output.title for name, output in OUTPUTS.items()}


def _of_methods(found: Sequence[MethodTruth]) -> str:
    better = better_than_random(found)
    if not better:
        return (
            "No method within the budget is better than random groups beyond the noise of seeds and"
            " test points."
        )
    return (
        "Of the methods within the budget, better than random groups beyond the noise of seeds and"
        f" points: {', '.join(better)}."
    )


def _of_gains(reading: Reading, n_seeds: int) -> str:
    gains = reading.gains
    if n_seeds < 2:
        return "Trained with one seed: how reliable the gains are cannot be told."
    return (
        f"Gains of half of the seeds correlate with those of the other half by"
        f" {_number(gains.half)} (so those of all {n_seeds} would by {_number(gains.full)}, after"
        f" Spearman and Brown), and by {_number(gains.points)} where the halves are scored on other"
        " points too: no method can be correlated with noise."
    )


def _of_pairs(truth: TableTruth) -> str:
    pairs = truth.pairs
    counts = (
        f"{pairs.positive} of {pairs.count} pairs gain in the mean of both tasks, {pairs.gaining}"
        f" of them beyond the noise; {pairs.losing} lose beyond it."
    )
    return f"{counts} Every pair gains: there is nothing to group." if pairs.all_gain else counts


def _of_own(reading: Reading) -> str:
    share = (
        f"A pair's own part, its gains less the effects of its two tasks, is"
        f" {_percent(reading.own_share)} of the variance of what pairs gain"
    )
    if np.isnan(reading.own.half):
        return f"{share}."
    return (
        f"{share}; half of the seeds tell it as the other half does by"
        f" {_number(reading.own.half)}, on other points by {_number(reading.own.points)}."
    )


def _of_the_end(here: Reading, last: Reading) -> str:
    gains, own = last.gains, last.own
    told = (
        f"After the last epoch, without stopping, all tasks together gain"
        f" {_percent(last.together.mean)} (stopped: {_percent(here.together.mean)}), and"
        f" {last.positive} of {last.pairs} pairs gain."
    )
    if not np.isnan(gains.half):
        told += (
            f" Half of the seeds tell gains as the other half does by {_number(gains.half)}, on"
            f" other points by {_number(gains.points)}; the own part of pairs by"
            f" {_number(own.half)} and {_number(own.points)}."
        )
    return f"{told} What is more there than above is how far company prevents overfitting."


def _of_auroc(truth: TableTruth) -> str:
    more = truth.auroc_gain
    mean, *ends = (f"{end:+.3f}".replace("-", "−") for end in (more.mean, more.low, more.high))
    interval = "" if np.isnan(more.low) else " ({} to {}, over seeds)".format(*ends)
    return (
        f"Mean AUROC of single models is {truth.auroc_alone:.3f}; that of all tasks together"
        f" differs by {mean}{interval}."
    )


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %".replace("-", "−")


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}".replace("-", "−")
