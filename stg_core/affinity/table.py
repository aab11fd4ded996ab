"""A table of groups: what every task scores in each group that it can be trained in.

A group of tasks is one training of these tasks alone, so that a table of all groups of a few tasks
is the truth against which every way to choose groups can be judged.
"""

from __future__ import annotations

import dataclasses
import io
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from stg_core.affinity.branched import Branched
from stg_core.affinity.joint import AffinityResult
from stg_core.affinity.outputs import overlap_of_labels
from stg_core.affinity.selection import Bools, Floats, Integers, all_groups
from stg_core.engine.foreground import run_anywhere, train_all
from stg_core.judging.ensembles import (
    RESAMPLES,
    RESAMPLING_SEED,
    Resampling,
    Singles,
    Truth,
    scores_of_counts,
)
from stg_core.judging.verdict import coins_of
from stg_core.results import store as store_module
from stg_core.results.run import Run
from stg_core.results.store import TABLES, Store
from stg_core.system.errors import UserError
from stg_core.system.files import atomic
from stg_core.tasks.data import weight_of_counts
from stg_core.tasks.groups import GROUPS, families_of_tasks, living_of_tasks
from stg_core.training.spec import TrainingSpec
from stg_core.training.speed import total_seconds

MOST_TASKS = 12  # whose groups, 4,095, can still be looked at one by one
DIGITS_8 = ("1", "3", "8", "Odd", "Small", "Not small", "Downside", "Random")
G1_6 = ("airplane", "cat", "dog", "horse", "ship", "truck")
MAX_TABLE_BYTES = 10_000_000
PARTS = 100  # of the test images, which intervals of gains are resampled from
DAMAGE = (BadZipFile, zlib.error, OSError, ValueError, KeyError, TypeError, EOFError)
PROVENANCE = ("device", "precision", "threads", "images", "versions", "python")

BUILT_IN: Mapping[str, TrainingSpec] = {
    "digits-8": TrainingSpec(GROUPS["digits"], tasks=DIGITS_8),
    "g1-6": TrainingSpec(
        GROUPS["g1"], tasks=G1_6, model="small_cnn", epochs=3, training_images=10_000
    ),
}


@dataclass
class Groups:
    """All R = 2^n − 1 groups of the n tasks of a spec, and what to train for each.

    spec         the training of all tasks together, with data maps
    masks        (R, n): who is in each group, as `all_groups` orders them
    """

    spec: TrainingSpec
    masks: Bools

    @property
    def tasks(self) -> tuple[str, ...]:
        return self.spec.tasks

    @property
    def alone(self) -> Integers:
        """The rows of the single tasks, in the order of the tasks."""
        rows = np.flatnonzero(self.masks.sum(axis=1) == 1)
        return np.asarray(rows[self.masks[rows].argmax(axis=1).argsort()])

    @property
    def together(self) -> int:
        """The row of the group of all tasks."""
        return int(np.flatnonzero(self.masks.all(axis=1))[0])

    def row(self, tasks: Sequence[int]) -> int:
        """The row of a group, by its tasks counted from 0."""
        mask = np.isin(np.arange(len(self.tasks)), list(tasks))
        return int(np.flatnonzero((self.masks == mask).all(axis=1))[0])

    def spec_of(self, row: int) -> TrainingSpec:
        """What to train for a group."""
        members = tuple(t for t, there in zip(self.tasks, self.masks[row], strict=True) if there)
        if members == self.tasks:
            return self.spec
        return dataclasses.replace(self.spec, tasks=members, task_weights=(), recorded_epochs=())

    @property
    def reference(self) -> tuple[str, ...] | None:
        """What people know of each task, (n,): its family, or living or not; else None."""
        group = self.spec.group
        of_group = families_of_tasks(group) or living_of_tasks(group)
        if of_group is None:
            return None
        of_task = dict(zip(group.task_names, of_group, strict=True))
        known = tuple(of_task[task] for task in self.tasks)
        return None if None in known else tuple(map(str, known))


@dataclass
class GroupTable(Groups):
    """What is known of the R groups of n tasks; NaN where a group was not trained.

    losses, f1   (R, n): on the test images after the last epoch, NaN outside the mask
    part_losses  (R, n, 100): sum of the losses in each of 100 random parts of the test images
    seconds      (R,): of each training, as `total_seconds` counts them
    positive     (R, n, N/8): the test images that each task is said yes to, eight to a byte
    labels       (N, n): of the test images, 1, 0 or, where it is missing, -1
    pos_weight   (n,): how often the loss of a positive counts
    affinities   of joint trainings, by method: see `AffinityResult`
    similarity   (n, n): `datamap_similarity`
    outputs      of what the joint training keeps, by method: (n, n), see `affinity_from`
    clusters     per number of clusters, from 1 to n: the hard groups of STG-MTL, (n,)
    predicted    per method that learns from groups: gains (R, n)
    searched     per method that learns from groups: the rows that it trained
    branched     per budget: the groups that tasks chose among branches
    provenance   where and with what the trainings were made
    """

    losses: Floats
    f1: Floats
    part_losses: Singles
    seconds: Floats
    positive: np.ndarray[Any, np.dtype[np.uint8]]
    labels: np.ndarray[Any, np.dtype[np.int8]]
    pos_weight: Singles
    affinities: dict[str, AffinityResult] = field(default_factory=dict)
    similarity: Floats | None = None
    outputs: dict[str, Floats] = field(default_factory=dict)
    clusters: dict[int, Integers] = field(default_factory=dict)
    predicted: dict[str, Floats] = field(default_factory=dict)
    searched: dict[str, Integers] = field(default_factory=dict)
    branched: dict[int, Branched] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def known(self) -> Bools:
        """Which groups were trained, (R,)."""
        return np.asarray(~np.isnan(self.seconds))

    @cached_property
    def left_out(self) -> tuple[str, ...]:
        """The coin flips, which no model learns: they count in no mean, and no choice."""
        return tuple(coins_of(self.spec.group, self.tasks))

    @cached_property
    def counting(self) -> Bools:
        """Which tasks count, (n,): those that are not left out."""
        return np.array([task not in self.left_out for task in self.tasks])

    @property
    def gains(self) -> Floats:
        """(loss alone − loss together) / loss alone, (R, n); NaN outside the mask or if unknown."""
        alone = np.diag(self.losses[self.alone])
        return np.asarray(1 - self.losses / alone)

    def branched_for(self, budget: int) -> Branched | None:
        """What tasks chose among as many branches as a budget allows; None if unknown."""
        return self.branched.get(min(budget, len(self.tasks)))

    @property
    def overlap(self) -> Floats:
        """Share of labelled test points that tasks have in common, (n, n), in [0, 1]."""
        return overlap_of_labels(self.labels >= 0)

    # ---------------------------------------------------------------------------- what is trained

    def add(self, row: int, run: Run) -> None:
        """Notes what the training of a group came to."""
        members = np.flatnonzero(self.masks[row])
        metrics = run.metrics
        self.losses[row, members] = metrics["test"]["loss"][-1]
        self.f1[row, members] = metrics["test"]["f1"][-1]
        logits = run.logits("test")[-1]
        self.positive[row, members] = np.packbits(logits > 0, axis=0).T
        losses = point_losses(logits, self.labels[:, members], self.pos_weight[members])
        self.part_losses[row, members] = losses.T @ self._parts
        self.seconds[row] = total_seconds(metrics)

    # ------------------------------------------------------------------------------ what it scores

    @cached_property
    def _truth(self) -> Truth:
        return Truth(self.labels)

    @cached_property
    def _resampling(self) -> Resampling:
        return Resampling(self._truth)

    @cached_property
    def _parts(self) -> Floats:
        """Which part each test image is in, (N, 100), 0 or 1; all parts of about the same size."""
        places = np.random.default_rng(RESAMPLING_SEED).permutation(len(self.labels)) % PARTS
        return np.asarray(np.eye(PARTS)[places])

    @cached_property
    def _drawn_parts(self) -> Floats:
        """How often each part is in each resample, (B, 100)."""
        rng = np.random.default_rng(RESAMPLING_SEED)
        return rng.multinomial(PARTS, np.full(PARTS, 1 / PARTS), RESAMPLES).astype(np.float64)

    def mean_gain(self, routing: Integers) -> tuple[float, tuple[float, float]]:
        """Mean gain of the tasks that count, each served by a row (n,), with its 95 % interval.

        The interval is over test images, as that of `mean_f1`, and of this one training per group.
        """
        low, high = np.percentile(self.drawn_gain(routing), (2.5, 97.5))
        return self.mean_of(self.gains, routing), (float(low), float(high))

    def mean_of(self, values: Floats, routing: Integers) -> float:
        """Mean of values (R, n) of the tasks that count, each served by a row (n,)."""
        tasks = np.flatnonzero(self.counting)
        return float(values[routing[tasks], tasks].mean())

    def drawn_gain(self, routing: Integers) -> Floats:
        """The same mean on resampled test images, (B,): of every routing on the same ones.

        Hundredths of the images are drawn instead of images: of so many random parts the variance
        of a mean is the same, and a table need not keep the loss of every image.
        """
        tasks = np.flatnonzero(self.counting)
        alone = self._drawn_parts @ self.part_losses[self.alone[tasks], tasks].T
        served = self._drawn_parts @ self.part_losses[routing[tasks], tasks].T
        return np.asarray((1 - served / alone).mean(axis=1))

    def mean_f1(self, routing: Integers) -> tuple[float, tuple[float, float]]:
        """Mean test F1 of the tasks that count, each served by a row (n,), with its 95 % interval.

        The interval is over test images, by bootstrap; of all choices with the same resamples.
        """
        low, high = np.percentile(self.drawn_f1(routing), (2.5, 97.5))
        return self.mean_of(self.f1, routing), (float(low), float(high))

    def drawn_f1(self, routing: Integers) -> Floats:
        """The same mean on resampled test images, (B,): of every routing on the same ones."""
        bits = np.stack([self.positive[row, t] for t, row in enumerate(routing)], axis=1)
        said = np.unpackbits(bits, axis=0, count=len(self.labels)).astype(np.float32)
        predicted, right = self._truth.predicted(said - 0.5)
        drawn = scores_of_counts(
            self._resampling.count(right),
            self._resampling.count(predicted),
            self._resampling.totals.positives,
            self._resampling.totals.negatives,
        )
        return np.asarray(np.nanmean(drawn["f1"][:, self.counting], axis=1))


def point_losses(
    logits: NDArray[np.float16], labels: NDArray[np.int8], pos_weight: Singles
) -> Floats:
    """Binary cross-entropy of each point and task, (N, n); 0 where the label is missing (-1).

    pos_weight (n,): how often the loss of a positive counts.
    """
    x = logits.astype(np.float64)
    of_positive, of_negative = np.logaddexp(0, -x) * pos_weight, np.logaddexp(0, x)
    return np.select([labels == 1, labels == 0], [of_positive, of_negative], 0.0)


# ------------------------------------------------------------------------------------- filling it

Tell = Callable[[str], None]


def groups_of(spec: TrainingSpec) -> Groups:
    """All groups of the tasks of a spec; UserError where ways to choose cannot be compared on them.

    That is: fewer than 2 tasks or more than 12, others than yes-or-no ones, weights, no data maps.
    """
    n_tasks = len(spec.tasks)
    if not 2 <= n_tasks <= MOST_TASKS:
        raise UserError(
            f"Ways to choose groups are compared on 2 to {MOST_TASKS} tasks, and there"
            f" {'is' if n_tasks == 1 else 'are'} {n_tasks}: choose that many."
        )
    if not spec.all_binary:
        raise UserError(
            "Ways to choose groups are compared on yes-or-no tasks only: choose those alone, or"
            " have --cluster-by make groups, which are then trained and judged."
        )
    if spec.single_task_models or set(spec.task_weights) != {1.0} or not spec.recorded:
        raise UserError("Groups are compared from one model of all tasks, alike, with data maps.")
    return Groups(spec, all_groups(n_tasks))


def begin_table(spec: TrainingSpec, store: Store, tell: Tell) -> GroupTable:
    """A table in which all tasks together are trained, and nothing else yet.

    Raises UserError as `groups_of`.
    """
    masks = groups_of(spec).masks
    tell(f"All {len(spec.tasks)} tasks together.")
    run = run_anywhere(store, spec, lambda record: _tell_why(record, tell))
    labels = np.array(run.labels("test"))
    negatives, positives = run.summary.histogram[-1].sum(axis=(2, 3), dtype=np.int64).T
    table = GroupTable(
        spec=spec,
        masks=masks,
        losses=np.full(masks.shape, np.nan),
        f1=np.full(masks.shape, np.nan),
        part_losses=np.full((*masks.shape, PARTS), np.nan, dtype=np.float32),
        seconds=np.full(len(masks), np.nan),
        positive=np.zeros((*masks.shape, -(-len(labels) // 8)), dtype=np.uint8),
        labels=labels,
        pos_weight=weight_of_counts(positives, negatives),
        provenance={name: run.provenance[name] for name in PROVENANCE},
    )
    table.add(table.together, run)
    return table


def train_rows(table: GroupTable, store: Store, rows: Sequence[int], tell: Tell) -> None:
    """Trains the groups that are not known yet, through `train`, and notes what they came to."""
    missing = [row for row in dict.fromkeys(map(int, rows)) if not table.known[row]]
    specs = {table.spec_of(row).key: table.spec_of(row) for row in missing}
    done: set[str] = set()

    def told(spec: TrainingSpec, record: Mapping[str, Any]) -> None:
        _tell_why(record, tell)
        if record.get("fraction") == 1 and spec.key not in done:
            done.add(spec.key)
            tell(f"{len(done)} of {len(specs)} groups trained: {', '.join(spec.tasks)}.")

    train_all(store, list(specs.values()), told)
    for row in missing:
        table.add(row, store.run(table.spec_of(row).key))


def _tell_why(record: Mapping[str, Any], tell: Tell) -> None:
    """Says why nothing is trained on a cluster."""
    if "waits" in record:
        tell(record["waits"])


# --------------------------------------------------------------------------------------- the file


def save_table(table: GroupTable, path: Path, most: int = MAX_TABLE_BYTES) -> None:
    """Writes one compressed .npz; UserError where it would have more bytes than `most`, if any."""
    about = {
        "spec": table.spec.to_json(),
        "affinities": {name: found.to_json() for name, found in table.affinities.items()},
        "branched": {budget: found.to_json() for budget, found in table.branched.items()},
        "provenance": table.provenance,
    }
    arrays: dict[str, Any] = {
        "about": np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
        "losses": table.losses,
        "f1": table.f1,
        "part_losses": table.part_losses,
        "seconds": table.seconds,
        "positive": table.positive,
        "labels": table.labels,
        "pos_weight": table.pos_weight,
    }
    if table.similarity is not None:
        arrays["similarity"] = table.similarity
    arrays |= {f"outputs-{name}": affinity for name, affinity in table.outputs.items()}
    arrays |= {f"clusters-{k}": labels for k, labels in table.clusters.items()}
    arrays |= {f"predicted-{name}": gains for name, gains in table.predicted.items()}
    arrays |= {f"searched-{name}": rows for name, rows in table.searched.items()}
    write_arrays(arrays, path, most)


def write_arrays(arrays: Mapping[str, Any], path: Path, most: int, compressed: bool = True) -> None:
    """Writes one .npz; UserError where it would have more bytes than `most`, if any."""
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    if most and buffer.tell() > most:
        raise UserError(
            f"The table has {buffer.tell() / 1e6:.1f} MB; a bundled one has at most"
            f" {most / 1e6:.0f} MB."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        file.write(buffer.getbuffer())


def load_table(path: Path, mend: str = "Restore assets/bundles.") -> GroupTable:
    """Reads what `save_table` wrote; UserError, with how to mend it, where it is damaged."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(arrays.pop("about").tobytes())
        spec = TrainingSpec.from_json(about["spec"])
        kinds = ("outputs", "clusters", "predicted", "searched")
        named: dict[str, Any] = {kind: {} for kind in kinds}
        for name in list(arrays):
            kind, dash, rest = name.partition("-")
            if dash:
                named[kind][rest] = arrays.pop(name)
        named["clusters"] = {int(k): labels for k, labels in named["clusters"].items()}
        table = GroupTable(
            spec=spec,
            masks=all_groups(len(spec.tasks)),
            affinities={
                name: AffinityResult.from_json(plain) for name, plain in about["affinities"].items()
            },
            branched={
                int(budget): Branched.from_json(plain)
                for budget, plain in about.get("branched", {}).items()
            },
            provenance=about["provenance"],
            **named,
            **arrays,
        )
        if table.losses.shape != table.masks.shape:
            raise ValueError("its groups are not those of its tasks")
    except (*DAMAGE, UserError) as error:
        raise UserError(f"The table {path.name} is damaged ({error}). {mend}") from error
    return table


def table_path(name: str) -> Path:
    """Where a table of that name is, or belongs, among what comes with the project."""
    return store_module.BUNDLES / TABLES / f"{name}.npz"


def bundled_tables() -> dict[str, Path]:
    """The tables that come with the project, by name."""
    return {path.stem: path for path in sorted((store_module.BUNDLES / TABLES).glob("*.npz"))}


def bundled_table(name: str) -> GroupTable:
    """A table that comes with the project; UserError where there is none of that name."""
    known = bundled_tables()
    if name not in known:
        raise UserError(f"There is no table {name!r}; choose from {', '.join(known) or 'none'}.")
    return load_table(known[name])


def kept_path(store: Store, key: str) -> Path:
    """Where the table of a spec of that key is, or belongs, among what this machine keeps."""
    return store.folder / TABLES / f"{key}.npz"


def kept_tables(store: Store) -> dict[str, Path]:
    """The tables that were made on this machine, by the key of their spec, newest first."""
    paths = (store.folder / TABLES).glob("*.npz")
    made = sorted(((path.stat().st_mtime, path) for path in paths), reverse=True)
    return {path.stem: path for _, path in made}


def delete_table(path: Path) -> None:
    """Of a table, or a comparison, of this machine. Raises UserError where it cannot be."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be deleted ({error.strerror}).") from error


def kept_table(store: Store, key: str) -> GroupTable | None:
    """A table of this machine; None where there is none. Raises UserError where it is damaged."""
    path = kept_path(store, key)
    return load_table(path, f"Delete {path} and train its groups again.") if path.exists() else None


def spec_in(path: Path) -> TrainingSpec | None:
    """Of a table's file, without reading the rest; None where it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return TrainingSpec.from_json(json.loads(file["about"].tobytes())["spec"])
    except (*DAMAGE, UserError):
        return None
