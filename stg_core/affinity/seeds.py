"""A table of groups, each trained with several seeds: what they score, and how far that is noise.

No points are set aside for validation, so the test points are split into two halves: what is chosen
on one half is scored on the other, both ways round. So is the epoch at which a model is stopped,
because single models overfit earlier than models of many tasks: after the last epoch all of them
together can look better than they are.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stg_core.affinity.selection import Floats, all_groups
from stg_core.affinity.table import DAMAGE, Groups, point_losses, write_arrays
from stg_core.results import store as store_module
from stg_core.results.store import TABLES, Store
from stg_core.system.errors import UserError
from stg_core.tasks.splits import stratified_split
from stg_core.training.spec import TrainingSpec
from stg_core.training.speed import total_seconds

if TYPE_CHECKING:
    from stg_core.training.loop import TrainingResult

SEEDS = "seeds"  # the folder of tables with several seeds, beside those with one
PARTS = 50  # of each half, which intervals over points are resampled from
HALF_SEED = 61
STOPS = ("model", "task", "last")  # at the epoch that is best for the model, for each task; never
MAX_BYTES = 10_000_000

Singles = NDArray[np.float32]


@dataclass
class SeedTable(Groups):
    """What is known of the R groups of n tasks, each trained with S seeds; NaN where not trained.

    The last axis of what is chosen and scored is the way round: 0 chooses on the first half of the
    test points and scores on the second, 1 the other way. NaN outside the mask. The first axis of
    the losses is where the training is stopped, see STOPS.

    chosen_losses  (3, S, R, n, 2): on the half that is chosen on
    losses         (3, S, R, n, 2): of the same model on the half that is scored
    auroc, f1      (S, R, n, 2): likewise, of models that are stopped as a whole
    part_losses    (S, R, n, 2, 50): sums of their losses in random parts of the half that is scored
    stopped        (S, R, 2): the epoch of the model, counted from 1
    seconds        (S, R): of each training, as `total_seconds` counts them
    counts         (n, 2, 50): labels in each part of the half that is scored
    positives      (n, 2, 50): those of them that are 1
    joint          by name, what the S joint trainings tell of tasks, (S, …)
    found          what the table tells of the methods: see `truth.note_truths`
    provenance     where and with what the trainings were made, and how the epochs were found
    """

    chosen_losses: Singles
    losses: Singles
    auroc: Singles
    f1: Singles
    part_losses: NDArray[np.float16]
    stopped: NDArray[np.int16]
    seconds: Singles
    counts: NDArray[np.int32]
    positives: NDArray[np.int32]
    joint: dict[str, Floats] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def n_seeds(self) -> int:
        return len(self.seconds)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which groups were trained with which seeds, (S, R)."""
        return np.asarray(~np.isnan(self.seconds))

    @property
    def whole_seeds(self) -> list[int]:
        """The seeds with which every group was trained."""
        return np.flatnonzero(self.known.all(axis=1)).tolist()

    def gains(self, stop: str = "model") -> Floats:
        """(loss alone − loss together) / loss alone on the half that is scored, (S, R, n, 2)."""
        return self._gains_of(self.losses[STOPS.index(stop)])

    def chosen_gains(self, stop: str = "model") -> Floats:
        """The same on the half that is chosen on, (S, R, n, 2): all that a choice may see."""
        return self._gains_of(self.chosen_losses[STOPS.index(stop)])

    def _gains_of(self, losses: Singles) -> Floats:
        tasks = np.arange(len(self.tasks))
        alone = losses[:, self.alone, tasks].astype(np.float64)
        return np.asarray(1 - losses / alone[:, None])

    def spec_with(self, seed: int, row: int) -> TrainingSpec:
        """What to train for a group with a seed; data maps are kept of all tasks together only."""
        from dataclasses import replace

        return replace(self.spec_of(row), seed=seed, recorded_epochs=())

    def add(self, seed: int, row: int, result: TrainingResult, halves: Halves) -> None:
        """Notes what a training of a group came to."""
        from sklearn.metrics import f1_score, roc_auc_score

        members = np.flatnonzero(self.masks[row])
        epochs = np.array(result.spec.logit_epochs)
        logits = result.test_logits.astype(np.float64)
        labels, weight = halves.labels[:, members], halves.pos_weight[members]
        each = np.stack([point_losses(one, labels, weight) for one in logits])
        known = labels >= 0
        means = np.stack(
            [each[:, half].sum(axis=1) / known[half].sum(axis=0) for half in halves.points], axis=-1
        )  # (E, members, 2)
        best = means.mean(axis=1).argmin(axis=0)  # of each half
        self.stopped[seed, row] = epochs[best]
        own, tasks = means.argmin(axis=0), np.arange(len(members))  # of each task and half
        for way, epoch in enumerate(best):
            for stop, at in enumerate((np.full(len(members), epoch), own[:, way], tasks * 0 - 1)):
                self.chosen_losses[stop, seed, row, members, way] = means[at, tasks, way]
                self.losses[stop, seed, row, members, way] = means[at, tasks, 1 - way]
            scored = halves.points[1 - way]
            sums = halves.parts[way].T @ each[epoch, scored]
            self.part_losses[seed, row, members, way] = sums.T
            for place, task in enumerate(members):
                there = known[scored, place]
                y, x = labels[scored, place][there], logits[epoch, scored, place][there]
                if 0 < y.sum() < len(y):
                    self.auroc[seed, row, task, way] = roc_auc_score(y, x)
                    self.f1[seed, row, task, way] = f1_score(y, x > 0)
        self.seconds[seed, row] = total_seconds(result.metrics)


@dataclass(frozen=True)
class Halves:
    """How test points are halved, and what their labels are: of the data, and kept in no table.

    labels      (N, n): 1, 0 or, where it is missing, -1
    pos_weight  (n,): how often the loss of a positive counts
    points      the points of each half, ascending
    parts       for each way round, which part each point of the scored half is in, 0 or 1
    """

    labels: NDArray[np.int8]
    pos_weight: Singles
    points: tuple[NDArray[np.int64], NDArray[np.int64]]
    parts: tuple[Floats, Floats]


def halved(spec: TrainingSpec, labels: NDArray[np.float32], pos_weight: Singles) -> Halves:
    """Halves of the test points with labels (N, n): seeded, with a half of every answer in each."""
    from stg_core.training.loop import compact_labels

    tasks = [spec.group.task(name) for name in spec.tasks]
    second = stratified_split(labels, tasks, 0.5, HALF_SEED)
    points = np.flatnonzero(~second), np.flatnonzero(second)
    rng = np.random.default_rng(HALF_SEED)
    parts = tuple(np.eye(PARTS)[rng.permutation(len(half)) % PARTS] for half in points[::-1])
    return Halves(compact_labels(labels), pos_weight, points, (parts[0], parts[1]))


def empty_table(spec: TrainingSpec, n_seeds: int, halves: Halves) -> SeedTable:
    """A table in which nothing is trained yet."""
    masks = all_groups(len(spec.tasks))
    shape = (n_seeds, *masks.shape, 2)
    known, positive = ((halves.labels == 1) | (halves.labels == 0)), halves.labels == 1
    of_ways = [(halves.points[1 - way], halves.parts[way]) for way in (0, 1)]
    counts, positives = (
        np.stack([(parts.T @ found[points]).T for points, parts in of_ways], axis=1)
        for found in (known, positive)
    )

    def nothing(*shape: int) -> Singles:
        return np.full(shape, np.nan, dtype=np.float32)

    return SeedTable(
        spec=spec,
        masks=masks,
        chosen_losses=nothing(len(STOPS), *shape),
        losses=nothing(len(STOPS), *shape),
        auroc=nothing(*shape),
        f1=nothing(*shape),
        part_losses=nothing(*shape, PARTS).astype(np.float16),
        stopped=np.zeros((n_seeds, len(masks), 2), dtype=np.int16),
        seconds=nothing(n_seeds, len(masks)),
        counts=counts.astype(np.int32),
        positives=positives.astype(np.int32),
    )


def with_room(table: SeedTable, n_seeds: int, halves: Halves) -> SeedTable:
    """The same table with room for more seeds; what the joint trainings tell is left out."""
    wider = empty_table(table.spec, n_seeds, halves)
    for name in ("chosen_losses", "losses"):
        getattr(wider, name)[:, : table.n_seeds] = getattr(table, name)
    for name in OF_SEEDS:
        getattr(wider, name)[: table.n_seeds] = getattr(table, name)
    wider.provenance = table.provenance
    return wider


# --------------------------------------------------------------------------------------- the file

OF_SEEDS = ("auroc", "f1", "part_losses", "stopped", "seconds")
ARRAYS = (*OF_SEEDS, "chosen_losses", "losses", "counts", "positives")


def save_seed_table(table: SeedTable, path: Path, most: int = MAX_BYTES) -> None:
    """Writes one .npz; compressed, and UserError if larger, where it may have `most` bytes only."""
    about = {"spec": table.spec.to_json(), "provenance": table.provenance, "found": table.found}
    arrays: dict[str, Any] = {name: getattr(table, name) for name in ARRAYS}
    arrays |= {f"joint-{name}": found for name, found in table.joint.items()}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    write_arrays(arrays, path, most, compressed=bool(most))


def load_seed_table(path: Path, mend: str = "Restore assets/bundles.") -> SeedTable:
    """Reads what `save_seed_table` wrote; UserError, with how to mend it, where it is damaged."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = dict(file)
        about = json.loads(arrays["about"].tobytes())
        spec = TrainingSpec.from_json(about["spec"])
        table = SeedTable(
            spec=spec,
            masks=all_groups(len(spec.tasks)),
            joint={name[6:]: arrays[name] for name in arrays if name.startswith("joint-")},
            found=about.get("found", {}),
            provenance=about["provenance"],
            **{name: arrays[name] for name in ARRAYS},
        )
        if table.losses.shape[2:4] != table.masks.shape:
            raise ValueError("its groups are not those of its tasks")
    except (*DAMAGE, UserError) as error:
        raise UserError(f"The table {path.name} is damaged ({error}). {mend}") from error
    return table


def seed_table_path(name: str) -> Path:
    """Where a table of that name is, or belongs, among what comes with the project."""
    return store_module.BUNDLES / TABLES / SEEDS / f"{name}.npz"


def bundled_seed_tables() -> dict[str, Path]:
    """The tables with several seeds that come with the project, by name."""
    paths = sorted((store_module.BUNDLES / TABLES / SEEDS).glob("*.npz"))
    return {path.stem: path for path in paths}


def kept_seed_path(store: Store, name: str) -> Path:
    """Where a table that is being trained on this machine is kept."""
    return store.folder / TABLES / SEEDS / f"{name}.npz"
