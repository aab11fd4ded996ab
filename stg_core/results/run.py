"""A finished training, as it is kept: what it was, its scores, and its arrays on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.summary import DataMapSummary
from stg_core.system.errors import UserError
from stg_core.training.metrics import mean_scores, score_name
from stg_core.training.spec import TrainingSpec
from stg_core.training.usage import Usage

BUNDLED = "bundled:"
WEIGHTS = "model.safetensors"
HASHED_UP_TO = 32 * 2**20  # larger arrays are checked by their size, small files by their digest


@dataclass(frozen=True)
class Run:
    """A finished training in the store, or a bundled one.

    id: its key, or "bundled:<name>"; provenance: device, precision, threads, seconds, images,
    versions, command, created (ISO 8601); metrics: as in `Training.metrics`; own_title: the user's
    own, or empty.
    """

    id: str
    folder: Path
    spec: TrainingSpec
    provenance: Mapping[str, Any]
    metrics: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]
    own_title: str = ""

    @property
    def bundled(self) -> bool:
        return self.id.startswith(BUNDLED)

    @property
    def title(self) -> str:
        title = self.own_title or self.spec.title
        return f"{title} (bundled)" if self.bundled else title

    @property
    def title_now(self) -> str:
        """Its title, and how far it is where it has not ended."""
        if self.ended:
            return self.title
        return f"{self.title} ({self.going_on if self.live else 'stopped'}, {self.how_far})"

    @property
    def going_on(self) -> str:
        """What happens while it is live."""
        return "logging"

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file["bytes"] for file in self.files.values())

    @property
    def score_name(self) -> str:
        """What `mean_score` is: "F1", "R²" or, of tasks of both kinds, "score"."""
        return score_name([self.spec.group.task(name) for name in self.spec.tasks])

    @property
    def mean_score(self) -> float | None:
        """Mean test F1, or R² of regressions, over the tasks after the last epoch.

        None where it is defined for no task, and of a run that was not scored.
        """
        means = mean_scores(self.metrics.get("test", {}))
        return means[-1] if means else None

    @property
    def live(self) -> bool:
        """Whether it goes on now."""
        return False

    @property
    def ended(self) -> bool:
        """Whether it will not go on."""
        return True

    @property
    def outdated(self) -> bool:
        """Whether it has gone on since it was read; cheap to ask."""
        return False

    @property
    def how_far(self) -> str:
        """Such as "epoch 4 of 10"; empty once it has ended."""
        return ""

    @property
    def has_data_maps(self) -> bool:
        """Whether its tasks can be grouped: specialists and their rivals keep no data maps."""
        return "summary.npz" in self.files

    def require_data_maps(self) -> None:
        """Raises UserError where it has none."""
        if not self.has_data_maps:
            raise UserError(f"The run {self.id} has no data maps: train it with recorded epochs.")

    @cached_property
    def summary(self) -> DataMapSummary:
        """The summary of its data maps; raises UserError where it has none or it is damaged."""
        self.require_data_maps()
        return DataMapSummary.load((self.folder / "summary.npz").read_bytes())

    def datamaps(self) -> NDArray[np.float16] | None:
        """Data maps (E, 2, T, N) float16, memory-mapped; None where they are not kept."""
        return self._array("datamaps.npy")

    def test_logits(self) -> NDArray[np.float16] | None:
        """Test logits (E', N_test, T) float16, memory-mapped; None where they are not kept."""
        return self._array("test_logits.npy")

    @property
    def logit_epochs(self) -> tuple[int, ...]:
        """The epochs of which `logits` are kept."""
        return self.spec.logit_epochs

    @property
    def keeps_logits(self) -> bool:
        """Whether the logits of `spec.logit_epochs` and their labels are here; not in a bundle."""
        return "train_logits.npy" in self.files

    def logits(self, split: str) -> NDArray[np.float16]:
        """Outputs for "test" or measured "train" points, (E', N, O) float16, memory-mapped."""
        return self._kept(f"{split}_logits.npy")

    def logits_by_epoch(self, split: str) -> Sequence[NDArray[np.float16]]:
        """The same of each of `logit_epochs`, (N, O), each memory-mapped."""
        return list(self.logits(split))

    def labels(self, split: str) -> NDArray[Any]:
        """Labels of the points of `logits`, (N, T), memory-mapped; see `TrainingResult`."""
        return self._kept(f"{split}_labels.npy")

    @property
    def has_weights(self) -> bool:
        """Whether its model can be used; runs of old or from afar have none."""
        return WEIGHTS in self.files

    @property
    def usage(self) -> Usage | None:
        """How its model is used; None of runs of old. UserError where that cannot be read."""
        return Usage.of(self.spec, self.provenance)

    @property
    def about_weights(self) -> str:
        """What is kept of its model, in a sentence."""
        if self.spec.logged:
            return "Its weights stayed where it was logged."
        if not self.has_weights:
            return "Its weights are not kept: to use the model, train it again."
        size, usage = self.files[WEIGHTS]["bytes"] / 1e6, self.usage
        if usage is None:
            return f"Its weights are kept, {size:,.1f} MB."
        counted = f"{usage.changed:,} of {usage.answers:,} answers on the test points"
        why = f"half precision changes {counted}"
        return f"Its weights are kept in {usage.precision}, {size:,.1f} MB: {why}."

    @property
    def weights_file(self) -> Path:
        """Its weights, as they were after the last epoch; only where it has some."""
        return self.folder / WEIGHTS

    def kept(self) -> Run:
        """The same with all its files on disk, as an export needs them."""
        return self

    def _kept(self, name: str) -> NDArray[Any]:
        if not self.keeps_logits and self.spec.logged:
            raise UserError(f"The outputs of {self.title} stayed where it was logged.")
        if not self.keeps_logits:
            raise UserError(f"The run {self.id} has no logits of every epoch: train it again.")
        array: NDArray[Any] = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        return array

    def _array(self, name: str) -> NDArray[np.float16] | None:
        path = self.folder / name
        if not path.exists():
            return None
        array: NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
        return array


def file_digest(path: Path) -> str | None:
    """Of a file's content; None for a large one."""
    if path.stat().st_size > HASHED_UP_TO:
        return None
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
