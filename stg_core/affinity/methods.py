"""Ways to choose groups of tasks, on one table: what each chooses, its true score, and its cost.

`prepare` trains what a method asks for; `choose` then is quick for any budget; `judge` says what
the chosen groups come to. Every method has the same tasks, data, training loop and unit of cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stg_core.affinity.branched import branches_of, n_branches
from stg_core.affinity.clustering import filled, settled
from stg_core.affinity.joint import affinity_of, counted_cost, datamap_similarity, gradtag_share
from stg_core.affinity.outputs import affinity_from
from stg_core.affinity.selection import (
    Bools,
    Floats,
    Integers,
    Selection,
    group_affinity,
    group_transfer,
    hoa_values,
    mean_over_others,
    select_by_sum,
    select_groups,
)
from stg_core.affinity.settings import EVERY, GRADTAG_DIRECTIONS
from stg_core.affinity.surrogates import GROUPS_PER_TASK, group_count, random_groups, surrogate
from stg_core.affinity.table import Groups, GroupTable, Tell, train_rows
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.training.spec import TrainingSpec

ETAP_GROUPS = 10  # that are trained to learn from
FEWEST_RECORDED = 50  # steps


@dataclass(frozen=True)
class Method:
    """title; how: one sentence on how it works; source: who published it; formula: trainings that
    it costs for n tasks and B chosen groups, T the steps from one recorded step to the next; p of N
    training points are looked at once they were trained on for E epochs."""

    title: str
    how: str
    source: str
    formula: str


METHODS: Mapping[str, Method] = {
    "together": Method(
        "All together", "One model learns all tasks.", "The usual multi-task model", "1"
    ),
    "alone": Method("All alone", "Every task has a model of its own.", "Single-task models", "n"),
    "random": Method(
        "Random", "The tasks are dealt out at random to as many groups as allowed.", "Chance", "B"
    ),
    "superclasses": Method(
        "Superclasses",
        "Tasks that people put together by meaning share a model.",
        "Krizhevsky 2009 (CIFAR-100); living or not (CIFAR-10)",
        "number of superclasses",
    ),
    "stg": Method(
        "STG-MTL",
        "One joint training keeps how confident the model was of every image; k-means groups tasks"
        " whose data maps look alike.",
        "Sherif et al. 2023",
        "1 + B",
    ),
    "labels": Method(
        "Label correlation",
        "Tasks whose labels go together, or exclude each other, share a model: |φ|. It needs no"
        " model, and is the baseline that all others should beat.",
        "The baseline",
        "B",
    ),
    "errors": Method(
        "Cross-task errors",
        "The outputs of one joint training are read as answers to every task; tasks that the same"
        " outputs tell, or tell the opposite of, share a model.",
        "RMB-CLE, 2026, here with balanced errors",
        "1 + B",
    ),
    "pvi": Method(
        "PVI",
        "One joint training keeps how confident the model was; tasks for whose points it adds as"
        " many bits to the prevalence share a model.",
        "Li et al. 2024",
        "1 + B",
    ),
    "cosine": Method(
        "Gradient cosine",
        "Tasks whose gradients point the same way during a joint training share a model.",
        "The CS baseline of Fifty et al. 2021",
        "1 + (2n − 2)/3T + B",
    ),
    "tag": Method(
        "TAG",
        "During a joint training, the shared weights take a trial step for one task, and the losses"
        " of all others tell whether it helped them.",
        "Fifty et al. 2021",
        "1 + (3n − 2)/3T + B",
    ),
    "transfer": Method(
        "Transfer gain",
        "During a joint training, the weights take a trial step for one task, and one for it and"
        " another: how much the second is better for it tells whether the other helps. Tasks that"
        " many chosen groups hold count in each.",
        "Wang, Pan, Yu 2024",
        "1 + (n² + 5n − 4)/6T + B",
    ),
    "gradtag": Method(
        "Grad-TAG",
        "Once a joint training is done, the model near its weights is taken for linear: so the"
        " losses of models fine-tuned on any few tasks are estimated without training them, and two"
        " tasks are near that gain in many such subsets.",
        "Li, Sharma, Zhang 2024",
        f"1 + {GRADTAG_DIRECTIONS}p/NE + B",
    ),
    "dmtg": Method(
        "DMTG",
        "As many copies of the model as the budget allows are trained at once, each with heads for"
        " all tasks; every task mixes their outputs by weights that are learned and harden, and"
        " ends with the copy that it weighs most. Each budget is a training of its own.",
        "Gao et al. 2024",
        "B + B",
    ),
    "hoa": Method(
        "HOA",
        "All pairs are trained; what a task gains in a group is taken as its mean gain over the"
        " pairs within it.",
        "Standley et al. 2020",
        "n(n − 1)/2 + n + B",
    ),
    "surrogates": Method(
        "Surrogates",
        "Random groups of a fixed size are trained; what a task gains in a group is taken as its"
        " mean gain in those with each of the others.",
        "Li et al. 2023",
        f"n + {GROUPS_PER_TASK}n + B",
    ),
    "etap": Method(
        "ETAP",
        "An affinity from the gradients of one joint training is mapped to gains by a spline and a"
        " ridge regression, learned from a few trained groups.",
        "Ayman et al. 2026",
        f"1 + (2n − 2)/3T + n + {ETAP_GROUPS} + B",
    ),
    "mtgnet": Method(
        "MTG-Net",
        "A small attention network learns the gains of groups from trained ones, and asks for the"
        " next groups to train.",
        "Song et al. 2022",
        "n(n − 1)/2 + n + 1 + B",
    ),
    "exhaustive": Method(
        "Exhaustive", "Every group is trained, and the best set is taken.", "The truth", "2ⁿ − 1"
    ),
}
FROM_OUTPUTS = ("labels", "errors", "pvi")  # what the joint training keeps; see `outputs`
AFFINITY_OF: Mapping[str, str] = {
    name: name for name in ("cosine", "tag", "transfer", "gradtag", "etap")
}
LEARNING = ("surrogates", "etap", "mtgnet")  # from groups that they have trained


def counted_trainings(method: str, n_tasks: int, budget: int, every: int = EVERY) -> float:
    """Trainings that a method costs for n tasks by the formulas of METHODS, groups included.

    "superclasses" counts as many groups as the budget allows. The chosen groups count although some
    may have been trained on the way. "gradtag" is counted for 50,000 points and 10 epochs.
    """
    n, pairs = n_tasks, n_tasks * (n_tasks - 1) / 2
    shares = {"gradtag": gradtag_share(50_000, 10)}
    joint = {
        kind: counted_cost([kind], n, shares.get(kind, 1 / every)) for kind in AFFINITY_OF.values()
    }
    chosen = min(budget, n)
    return {
        "together": 1.0,
        "alone": float(n),
        "random": float(chosen),
        "superclasses": float(chosen),
        "stg": 1.0 + chosen,
        "labels": float(chosen),
        "errors": 1.0 + chosen,
        "pvi": 1.0 + chosen,
        "cosine": joint["cosine"] + chosen,
        "tag": joint["tag"] + chosen,
        "transfer": joint["transfer"] + chosen,
        "gradtag": joint["gradtag"] + chosen,
        "dmtg": float(n_branches(n, budget) + chosen),
        "hoa": pairs + n + chosen,
        "surrogates": n + group_count(n) + chosen,
        "etap": joint["etap"] + n + min(ETAP_GROUPS, 2.0**n - 1 - n) + chosen,
        "mtgnet": pairs + n + 1 + chosen,
        "exhaustive": 2.0**n - 1,
    }[method]


# --------------------------------------------------------------------------------- what is trained


def prepare(
    table: GroupTable,
    store: Store,
    methods: Sequence[str],
    seed: int,
    tell: Tell,
    budgets: Iterable[int] = (),
) -> None:
    """Trains what methods learn from, and notes in the table what they learned.

    Single tasks and all tasks together are trained in any case: gains and costs refer to them.
    budgets: those that "dmtg" is trained for. Raises UserError for a method that there is not.
    """
    check_methods(methods)
    train_rows(table, store, [*table.alone, table.together], tell)
    if "stg" in methods and not table.clusters:
        note_clusters(table, store.run(table.spec.key))
    for method in FROM_OUTPUTS:
        if method in methods and method not in table.outputs:
            table.outputs[method] = affinity_from(store.run(table.spec.key), method)
    for method in methods:
        if method in AFFINITY_OF and method not in table.affinities:
            tell(f"Recording for {METHODS[method].title} during a joint training.")
            table.affinities[method] = affinity_of(
                store, table.spec, [AFFINITY_OF[method]], recorded_every(table.spec)
            )
    if "dmtg" in methods:
        for budget in sorted({1, *(min(one, len(table.tasks)) for one in budgets)}):
            if budget not in table.branched:
                if branches := n_branches(len(table.tasks), budget):
                    tell(f"{METHODS['dmtg'].title} learns groups of {branches} branches.")
                table.branched[budget] = branches_of(store, table.spec, budget)
    sizes = table.masks.sum(axis=1)
    if "hoa" in methods:
        train_rows(table, store, np.flatnonzero(sizes == 2).tolist(), tell)
    if "exhaustive" in methods:
        train_rows(table, store, range(len(sizes)), tell)
    for method in LEARNING:
        if method in methods and method not in table.predicted:
            tell(f"{METHODS[method].title} learns from trained groups.")
            learn(table, method, lambda rows: train_rows(table, store, rows, tell), seed)


def check_methods(methods: Sequence[str]) -> None:
    if unknown := [method for method in methods if method not in METHODS]:
        raise UserError(f"There is no method {unknown[0]!r}; choose from {', '.join(METHODS)}.")


def recorded_every(spec: TrainingSpec) -> int:
    """Every tenth step, or more often where fewer than 50 steps would be recorded."""
    steps = spec.epochs * -(-_points(spec) // spec.batch_size)
    return max(1, min(EVERY, steps // FEWEST_RECORDED))


def joint_cost(spec: TrainingSpec, method: str) -> float:
    """Trainings, by count, that the recorded joint one of a method costs; 0 if it has none."""
    if method not in AFFINITY_OF:
        return 0.0
    kind = AFFINITY_OF[method]
    by_steps = 1 / recorded_every(spec)
    share = gradtag_share(_points(spec), spec.epochs) if kind == "gradtag" else by_steps
    return counted_cost([kind], len(spec.tasks), share)


def _points(spec: TrainingSpec) -> int:
    from stg_core.tasks.data import counts_and_shape

    return spec.training_images or counts_and_shape(spec.group)[0]


def note_clusters(table: GroupTable, run: Run) -> None:
    """Notes how alike the data maps of a joint training are, and the groups of STG-MTL."""
    from stg_core.grouping.memberships import TaskSpace, group_tasks

    space = TaskSpace(run.summary)
    table.similarity = datamap_similarity(space)
    table.clusters = {1: np.zeros(len(table.tasks), dtype=np.int64)}
    for k in range(2, len(table.tasks) + 1):
        table.clusters[k] = group_tasks(space, k, 2.0, "hard").labels.astype(np.int64)


Train = Callable[[Sequence[int]], None]


def _learn_surrogates(table: GroupTable, train: Train, seed: int) -> None:
    """Gains of any group, from those of random ones: the mean over the pairs in it, as of HOA."""
    rows = surrogate_rows(table, seed)
    train(rows)
    affinity = surrogate(table.masks[rows], table.gains[rows])
    gains = mean_over_others(filled(affinity), table.masks)
    table.predicted["surrogates"] = np.where(table.masks, gains, np.nan)
    table.searched["surrogates"] = np.array([*table.alone, *rows], dtype=np.int64)


def surrogate_rows(groups: Groups, seed: int) -> list[int]:
    """The random groups that surrogates learn from."""
    return [
        groups.row(np.flatnonzero(mask).tolist()) for mask in random_groups(len(groups.tasks), seed)
    ]


def learn(table: GroupTable, method: str, train: Train, seed: int) -> None:
    """Has one of LEARNING learn from groups, which `train` is asked to train, by their rows."""
    learners = {"surrogates": _learn_surrogates, "etap": _learn_etap, "mtgnet": _learn_mtgnet}
    learners[method](table, train, seed)


def _learn_etap(table: GroupTable, train: Train, seed: int) -> None:
    from stg_core.affinity.etap import EtapPredictor, training_groups

    several = int((table.masks.sum(axis=1) > 1).sum())
    rows = training_groups(table.masks, min(ETAP_GROUPS, several), seed)
    train(rows.tolist())
    predictor = EtapPredictor().fit(
        table.affinities["etap"].affinity["etap"], table.masks[rows], table.gains[rows]
    )
    table.predicted["etap"] = predictor.predict(table.masks)
    table.searched["etap"] = np.concatenate([table.alone, rows])


def _learn_mtgnet(table: GroupTable, train: Train, seed: int) -> None:
    from stg_core.affinity.mtgnet import active_learning

    def gains_of(rows: Integers) -> Floats:
        train(rows.tolist())
        return np.asarray(table.gains[rows])

    sampled = active_learning(gains_of, table.masks, seed=seed)
    table.predicted["mtgnet"] = sampled.model.predict(table.masks)
    table.searched["mtgnet"] = np.concatenate([table.alone, sampled.rows]).astype(np.int64)


# ---------------------------------------------------------------------------------- what is chosen


@dataclass(frozen=True)
class Choice:
    """What a method chooses within a budget.

    groups: rows; routing (n,): the row that serves each task; values (R, n): what the method says
    of every group, gains or affinities, None where it says nothing; searched: the rows that it
    trained to find out; exact, gap: see `Selection`.
    """

    method: str
    groups: tuple[int, ...]
    routing: Integers
    values: Floats | None
    searched: Integers
    exact: bool = True
    gap: float = 0.0


def available(table: GroupTable, budget: int | None = None) -> tuple[str, ...]:
    """The methods for which the table has what they need: for that budget, or for any."""
    branched = table.branched if budget is None else table.branched_for(budget)
    has = {
        "dmtg": bool(branched),
        "superclasses": table.reference is not None,
        "stg": bool(table.clusters),
        "hoa": bool(table.known[table.masks.sum(axis=1) == 2].all()),
        "exhaustive": bool(table.known.all()),
        **{name: name in table.affinities for name in ("cosine", "tag", "transfer", "gradtag")},
        **{name: name in table.predicted for name in ("surrogates", "etap", "mtgnet")},
        **{name: name in table.outputs for name in FROM_OUTPUTS},
    }
    return tuple(method for method in METHODS if has.get(method, True))


def choose(table: GroupTable, method: str, budget: int, seed: int = 0) -> Choice:
    """The groups that a prepared method chooses, at most `budget` of them.

    "alone", and "superclasses" where there are more of them, take what they need and exceed it.
    Raises UserError for a budget below 1 and for a method that the table has nothing of.
    """
    check_methods([method])
    if budget < 1:
        raise UserError(f"At least one model serves the tasks, and the budget is {budget}.")
    if method not in available(table, budget):
        raise UserError(f"This table has nothing of the method {method}.")
    values, searched = told_of_groups(table, method)
    partition = partition_of(table, method, budget, seed)
    if partition is not None:
        rows = rows_of(table, partition)
        routing = np.array(rows)[np.unique(partition, return_inverse=True)[1]]
        return Choice(method, tuple(sorted(rows)), routing, values, searched)
    assert values is not None, "what deals no tasks out says something of groups"
    known = values.copy()
    known[searched] = table.gains[searched]  # what was trained need not be predicted
    known[:, ~table.counting] *= 0  # nothing is chosen by the luck of a coin
    found: Selection = (
        select_by_sum(table.masks, known, budget)
        if method == "transfer"
        else select_groups(table.masks, known, np.ones(len(known)), budget, maximise=True)
    )
    return Choice(method, found.groups, found.routing, values, searched, found.exact, found.gap)


def rows_of(groups: Groups, partition: Integers) -> list[int]:
    """The rows of the groups that tasks are dealt out to, in the order of their numbers."""
    members = [np.flatnonzero(partition == j).tolist() for j in np.unique(partition)]
    return [groups.row(tasks) for tasks in members]


def partition_of(groups: Groups, method: str, budget: int, seed: int) -> Integers | None:
    """The group of each task, (n,), where the method deals the tasks out; else None.

    "stg" needs a table with clusters, "dmtg" one with branches for that budget, and "superclasses"
    tasks with a reference.
    """
    n_tasks = len(groups.tasks)
    if method == "together":
        return np.zeros(n_tasks, dtype=np.int64)
    if method == "alone":
        return np.arange(n_tasks)
    if method == "random":
        rng, k = np.random.default_rng(seed), min(budget, n_tasks)
        dealt = np.concatenate([np.arange(k), rng.integers(0, k, n_tasks - k)])
        return np.asarray(rng.permutation(dealt))
    if method == "superclasses":
        return np.asarray(np.unique(np.array(groups.reference), return_inverse=True)[1])
    if method == "stg" and isinstance(groups, GroupTable):
        return groups.clusters[min(budget, n_tasks)]
    if method == "dmtg" and isinstance(groups, GroupTable):
        branched = groups.branched_for(budget)
        return branched.groups if branched else None
    return None


def told_of_groups(table: GroupTable, method: str) -> tuple[Floats | None, Integers]:
    """What a method says of every group, (R, n), and the rows that it trained to find out.

    None for a method that deals the tasks out and says nothing.
    """
    masks, gains = table.masks, table.gains
    nothing = np.array([], dtype=np.int64)
    if method in ("together", "alone", "random", "superclasses", "dmtg"):
        return None, nothing
    if method == "stg":
        known = table.similarity
        return None if known is None else group_affinity(known, masks), nothing
    if method in ("cosine", "tag", "transfer", "gradtag"):
        of_groups = group_transfer if method == "transfer" else group_affinity
        return of_groups(table.affinities[method].affinity[method], masks), nothing
    if method in FROM_OUTPUTS:
        return group_affinity(settled(table.outputs[method]), masks), nothing
    if method == "hoa":
        rows = np.flatnonzero(masks.sum(axis=1) <= 2)
        return hoa_values(masks[rows], gains[rows], masks), rows
    if method == "exhaustive":
        return gains, np.arange(len(masks))
    return table.predicted[method], table.searched[method]


# ------------------------------------------------------------------------------- what it comes to


@dataclass(frozen=True)
class Judged:
    """What a method's groups come to, on the test images.

    groups: the tasks of each; served_by: per task, the place of its group; score: mean true gain of
    the tasks with gain_interval, and mean_f1 with f1_interval, 95 % over test images; mean_loss;
    cost: seconds of all that was trained over those of one training of all tasks; counted: the same
    by count of trainings; within_budget: whether there are at most as many groups as allowed;
    exact, gap: see `Selection`; pearson, r2: of what it says of groups of two tasks or more that it
    did not train, None where it says nothing (r2 also where it says affinities, which have another
    unit).
    """

    method: str
    groups: tuple[tuple[str, ...], ...]
    served_by: tuple[int, ...]
    score: float
    gain_interval: tuple[float, float]
    mean_f1: float
    f1_interval: tuple[float, float]
    mean_loss: float
    cost: float
    counted: float
    within_budget: bool
    exact: bool
    gap: float
    pearson: float | None
    r2: float | None


def judge(table: GroupTable, choice: Choice, budget: int) -> Judged:
    """The true score and the whole cost of a choice; its groups must be trained."""
    score, gain_interval = table.mean_gain(choice.routing)
    mean_f1, f1_interval = table.mean_f1(choice.routing)
    pearson, r2 = foretold(table, choice)
    cost, counted = cost_of(table, choice.method, choice.groups, choice.searched, budget)
    return Judged(
        method=choice.method,
        groups=tuple(table.spec_of(row).tasks for row in choice.groups),
        served_by=tuple(choice.groups.index(row) for row in choice.routing.tolist()),
        score=score,
        gain_interval=gain_interval,
        mean_f1=mean_f1,
        f1_interval=f1_interval,
        mean_loss=table.mean_of(table.losses, choice.routing),
        cost=cost,
        counted=counted,
        within_budget=len(choice.groups) <= budget,
        exact=choice.exact,
        gap=choice.gap,
        pearson=pearson,
        r2=r2,
    )


def foretold(table: GroupTable, choice: Choice) -> tuple[float | None, float | None]:
    """Pearson's correlation and R² of what a method says of groups: see `Judged`."""
    if choice.values is None:
        return None, None
    held_out = np.setdiff1d(np.arange(len(table.masks)), choice.searched)
    told = _scores_of(table, choice.values, held_out)
    speaks_of_gains = choice.method in ("hoa", "surrogates", "etap", "mtgnet")
    return _or_none(told["pearson"]), _or_none(told["r2"]) if speaks_of_gains else None


def _scores_of(table: GroupTable, values: Floats, rows: Integers | Bools) -> dict[str, float]:
    """How values (R, n) agree, in some of the groups, with the gains of the tasks that count."""
    from stg_core.affinity.etap import scores

    true = np.where(table.counting, table.gains, np.nan)
    return scores(true[rows], values[rows], table.masks[rows])


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def cost_of(
    table: GroupTable, method: str, groups: Iterable[int], searched: Integers, budget: int
) -> tuple[float, float]:
    """In trainings of all tasks together: as measured, and by count.

    What is trained on the way and chosen in the end counts once; so does the joint training that
    affinities and data maps come from, where all tasks together are chosen.
    """
    rows = {*map(int, groups), *searched.tolist()}
    if method in ("stg", "errors", "pvi"):
        rows.add(table.together)
    seconds = float(sum(table.seconds[row] for row in rows)) / float(table.seconds[table.together])
    counted = float(len(rows))
    if method in AFFINITY_OF:
        joint = table.affinities[method]
        again = table.together in rows
        seconds += joint.cost - again
        counted += joint.counted_cost - again
    if method == "dmtg" and (branched := table.branched_for(budget)):
        seconds += branched.cost
        counted += branched.branches
    return seconds, counted


# ---------------------------------------------------------------------------- affinities, compared

MATRICES: Mapping[str, str] = {
    "tag": "TAG",
    "transfer": "Transfer gain",
    "gradtag": "Grad-TAG",
    "cosine": "Gradient cosine",
    "etap": "ETAP's score",
    "datamaps": "Data-map similarity",
    "labels": "Label correlation",
    "errors": "Cross-task errors",
    "pvi": "PVI",
}


def matrices(table: GroupTable, epoch: int = 0) -> dict[str, Floats]:
    """The affinities of a table, [source, target], and "gains", what pairs truly gain; (n, n).

    Without "gains" where not all pairs are trained.

    epoch: counted from 1, that of the joint training which the affinities are the means of; 0 for
    the whole training, whose end data maps and gains are of in any case.
    """
    found = {
        name: found.history[name][epoch - 1] if epoch else found.affinity[name]
        for name, found in table.affinities.items()
    }
    found |= table.outputs
    if table.similarity is not None:
        found["datamaps"] = table.similarity
    ordered = {name: found[name] for name in MATRICES if name in found}
    pairs = np.flatnonzero(table.masks.sum(axis=1) == 2)
    if not table.known[pairs].all():
        return ordered
    gains = np.zeros((len(table.tasks),) * 2)
    for row in pairs:
        one, other = np.flatnonzero(table.masks[row])
        gains[one, other], gains[other, one] = table.gains[row, other], table.gains[row, one]
    return ordered | {"gains": gains}


def similarity_and_gains(table: GroupTable) -> tuple[float, float] | None:
    """Pearson's correlation of data-map similarity with true gains: whether it tells them.

    Over every task in every trained group of two or more, whose similarity is the mean to the
    others; and over pairs alone. None where the table has no similarity or no such group.
    """
    sizes = table.masks.sum(axis=1)
    pairs = table.known & (sizes == 2)
    if table.similarity is None or pairs.sum() < 2:
        return None
    values = group_affinity(table.similarity, table.masks)
    groups, of_pairs = (
        _scores_of(table, values, rows)["pearson"] for rows in (table.known & (sizes > 1), pairs)
    )
    return float(groups), float(of_pairs)


def rank_correlations(affinities: Mapping[str, Floats], by_target: bool = False) -> Floats:
    """Spearman's correlation of each two matrices, (m, m), off their diagonals; NaN if constant.

    by_target: takes the mean of each target off first. TAG's values differ much more from target to
    target than among the sources of one, which is what groups are chosen by.
    """
    from scipy.stats import spearmanr

    off = []
    for matrix in affinities.values():
        others = ~np.eye(len(matrix), dtype=np.bool_)
        if by_target:
            matrix = matrix - np.where(others, matrix, 0).sum(axis=0) / (len(matrix) - 1)
        off.append(matrix[others])
    answer = np.full((len(off), len(off)), np.nan)
    for i, a in enumerate(off):
        for j, b in enumerate(off):
            if np.ptp(a) > 0 and np.ptp(b) > 0:
                answer[i, j] = spearmanr(a, b).statistic
    return answer


# ------------------------------------------------------------------------- what is only noise


def beaten(
    table: GroupTable, judged: Sequence[Judged], measure: str = "gain", counted: bool = False
) -> list[bool]:
    """Whether some method of no more cost has a better gain or F1 than each, beyond the noise.

    That is: the 95 % interval of the difference, over the same resampled test images, is above 0.
    Methods that cannot be told apart do not beat each other.
    """
    drawn_of = {"gain": table.drawn_gain, "f1": table.drawn_f1}[measure]
    drawn = [drawn_of(_routing_of(table, one)) for one in judged]
    costs = [one.counted if counted else one.cost for one in judged]
    return [
        any(
            other_cost <= cost and np.percentile(other - own, 2.5) > 0
            for other, other_cost in zip(drawn, costs, strict=True)
        )
        for own, cost in zip(drawn, costs, strict=True)
    ]


def _routing_of(table: GroupTable, one: Judged) -> Integers:
    rows = [table.row([table.tasks.index(task) for task in group]) for group in one.groups]
    return np.array([rows[j] for j in one.served_by], dtype=np.int64)


@dataclass(frozen=True)
class Chance:
    """What 90 % of random groupings come to: from and to, of the mean gain and of the mean F1."""

    gain: tuple[float, float]
    f1: tuple[float, float]


def chance(table: GroupTable, budget: int, draws: int = 500) -> Chance | None:
    """Of tasks that are dealt out at random, always the same way; None where groups are missing."""
    if not table.known.all():
        return None
    routings = [choose(table, "random", budget, seed).routing for seed in range(draws)]
    ends = [
        np.percentile([table.mean_of(values, routing) for routing in routings], (5, 95))
        for values in (table.gains, table.f1)
    ]
    (a, b), (c, d) = (end.tolist() for end in ends)
    return Chance((a, b), (c, d))
