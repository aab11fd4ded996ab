"""Runs that train, or were interrupted: what they have after their last whole epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stg_core.results.growing import GrowingRun
from stg_core.results.run import Run
from stg_core.system.errors import UserError
from stg_core.system.files import is_held
from stg_core.training.spec import TrainingSpec
from stg_core.training.work_folder import LOOKED_BACK, PROGRESS, Progress, WorkFolder


@dataclass(frozen=True)
class TrainingRun(GrowingRun):
    """A training that has not ended, in its work folder. From its second epoch on it has data maps.

    id: the key of the whole training, by which its result is found later; spec: that of a training
    ended now (see `TrainingSpec.ended_after`); whole: of all of it; elsewhere: whether it is
    trained on a machine with another disk.
    """

    whole: TrainingSpec = field(kw_only=True)
    progress: Progress = field(kw_only=True)
    stamp: int = field(kw_only=True)
    elsewhere: bool = field(kw_only=True, default=False)

    @property
    def title(self) -> str:
        return self.whole.title

    @property
    def called(self) -> str:
        return f"The training {self.title}"

    @property
    def live(self) -> bool:
        return self.elsewhere or is_held(self.folder.with_name(f"{self.id}.lock"))

    @property
    def ended(self) -> bool:
        return False

    @property
    def outdated(self) -> bool:
        return stamp_of(self.folder) != self.stamp

    @property
    def going_on(self) -> str:
        return "training"

    @property
    def how_far(self) -> str:
        return f"epoch {self.progress.epoch} of {self.whole.epochs}"

    @property
    def has_data_maps(self) -> bool:
        return bool(self.spec.recorded)

    def require_data_maps(self) -> None:
        if not self.has_data_maps:
            raise UserError(f"{self.called} can be opened from its second epoch on.")

    def maps_after(self, epoch: int) -> tuple[int, ...]:
        wanted = self.whole.ended_after(epoch).recorded if epoch >= 1 else ()
        return wanted if set(wanted) <= set(self.progress.maps) else ()

    @property
    def last_epochs(self) -> tuple[int, ...]:
        found = [e for e in self.progress.maps if self.maps_after(e)]
        return tuple(found[-LOOKED_BACK - 1 :])

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def kept(self) -> Run:
        raise UserError(
            f"{self.called} has not ended: end it here, or wait for it, and then export the run."
        )


def read_training(folder: Path, elsewhere: bool = False) -> TrainingRun | None:
    """The training of a work folder; None where it has no epoch yet, or is damaged.

    One that is damaged is begun anew when it is trained again.
    """
    stamp = stamp_of(folder)  # first: what is read after it may be newer
    try:
        progress = WorkFolder(folder).progress()
        whole = TrainingSpec.from_json(progress.spec)
        if whole.key != folder.name:  # it is a part of something else
            return None
        provenance = {
            **progress.provenance,
            **{"versions": {}, "python": "", "command": whole.command()},
            "created": progress.updated,
        }
        metrics = {
            "test": {name: [scores] for name, scores in progress.test.items()},
            "train": {},
            "scored_epochs": [progress.epoch],
        }
        spec = whole.ended_after(progress.epoch)
        return TrainingRun(
            *(folder.name, folder, spec, provenance, metrics, {}),
            whole=whole,
            progress=progress,
            stamp=stamp,
            elsewhere=elsewhere,
        )
    except (OSError, ValueError, TypeError, KeyError, UserError):
        return None


def stamp_of(folder: Path) -> int:
    """Another one once a training has gone on; 0 where it has ended, or has no epoch yet."""
    try:
        return (folder / PROGRESS).stat().st_mtime_ns
    except OSError:
        return 0
