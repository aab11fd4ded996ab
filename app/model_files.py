"""The exported models that can be tried: those that came with the project, and opened files.

Files of the same training, tasks and points are shown side by side, as one choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import state, uploads
from app.words import plain
from stg_core.export.about import About
from stg_core.export.predictor import Predictor
from stg_core.results.run import Run
from stg_core.results.store import BUNDLES
from stg_core.system.errors import UserError
from stg_core.system.words import named
from stg_core.tasks.groups import Task, TaskGroup

BUNDLED = BUNDLES / "models"
OPENED = "models"  # the purpose of such uploads
MOST_FILES, MOST_BYTES = 8, 100 * 2**20
MTL, SPECIALISTS = "mtl", "specialists"
TITLES: Mapping[str, str] = {MTL: "MTL", SPECIALISTS: "specialists", "stl": "STL"}


@dataclass(frozen=True)
class Models:
    """Exported models of the same tasks over the same points, by their scheme.

    key: what an address calls them; stamp: another one once a file is another.
    """

    key: str
    stamp: str
    by_scheme: Mapping[str, Predictor]

    @cached_property
    def first(self) -> Predictor:
        """The one whose models are shown one by one: the specialists, else any of several."""
        several = [one for one in self.by_scheme.values() if len(one.models) > 1]
        return self.by_scheme.get(SPECIALISTS) or [*several, *self.by_scheme.values()][0]

    @cached_property
    def others(self) -> Mapping[str, Predictor]:
        """All but that one, MTL before the others."""
        rest = {name: one for name, one in self.by_scheme.items() if one is not self.first}
        return dict(sorted(rest.items(), key=lambda item: item[0] != MTL))

    @property
    def about(self) -> About:
        return self.first.about

    @cached_property
    def columns(self) -> Sequence[slice]:
        """Which columns of the outputs are each task's, (T,)."""
        return [self.about.columns[task] for task in self.about.tasks]

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Of the first one's models, (k, T)."""
        return self.first.weights

    @cached_property
    def tasks(self) -> tuple[Task, ...]:
        """With the classes of those that have some."""
        about = self.about
        return tuple(
            Task(name, kind=kind, values=about.classes.get(name, ()))
            for name, kind in zip(about.tasks, about.kinds, strict=True)
        )

    @cached_property
    def learned(self) -> NDArray[np.bool_]:
        """Which tasks any of the files answers better than chance, by its AUROC, (T,).

        All where their files do not say; a task that is not learned counts nowhere.
        """
        told = [_surely_above_half(one.about) for one in self.by_scheme.values()]
        return np.logical_or.reduce(told)

    @property
    def title(self) -> str:
        schemes = ", ".join(TITLES.get(scheme, scheme) for scheme in self.by_scheme)
        return f"{self.about.title.rpartition(': ')[0] or self.about.title}: {schemes}"

    @property
    def run(self) -> Run | None:
        """The training that was grouped, whose points and data maps are on this machine; or None.

        A bundled one has the key of its spec, as any other.
        """
        wanted = self.about
        for run in state.shared().store.runs():
            if run.ended and not run.spec.logged and wanted.run in (run.id, run.spec.key):
                group = run.spec.group
                here = group.digest if group.is_own else run.provenance.get("images", "")
                if wanted.data in ("", here) and {*wanted.tasks} <= {*group.task_names}:
                    return run
        return None

    @property
    def group(self) -> TaskGroup | None:
        return self.run.spec.group if self.run else None


def _surely_above_half(about: About) -> NDArray[np.bool_]:
    """Whether the interval of each task's AUROC is above ½, (T,); also where none is told."""
    tasks = _inside(_inside(about.scores, "auroc"), "tasks")
    found = np.ones(len(about.tasks), dtype=bool)
    for t, name in enumerate(about.tasks):
        ends = _inside(_inside(tasks, name), "ci")
        if isinstance(ends, (list, tuple)) and ends and isinstance(ends[0], float):
            found[t] = ends[0] > 0.5
    return found


def _inside(what: object, name: str) -> object:
    """A part of what a file says; None where it says something else."""
    return what.get(name) if isinstance(what, dict) else None


def models_to_try() -> dict[str, Models]:
    """All that can be chosen, by key: opened files first."""
    opened = uploads.there(OPENED)
    bundled = sorted(BUNDLED.glob("*.onnx")) if BUNDLED.is_dir() else []
    return {one.key: one for one in (*_together("opened", opened), *_together("bundled", bundled))}


def bundled(name: str) -> Models:
    """Those that came with the project under a name; UserError where they are not there."""
    key = f"bundled:{name}"
    found = {one.key: one for one in _together("bundled", sorted(BUNDLED.glob("*.onnx")))}
    if key not in found:
        raise UserError(f"The models of {name}, which come with the project, are not there.")
    return found[key]


def _together(whence: str, paths: Iterable[Path]) -> list[Models]:
    """Files that belong together, as one; says so where one cannot be read."""
    found: dict[tuple[object, ...], dict[str, tuple[Path, Predictor]]] = {}
    for path in paths:
        try:
            predictor = _opened(path)
        except UserError as error:
            st.error(plain(f"{path.name}: {error}"), icon=":material/error:")
            continue
        about = predictor.about
        same = (about.run, about.data, about.tasks, about.kinds, about.input.shape)
        found.setdefault(same, {})[about.scheme] = path, predictor
    return [
        Models(
            f"{whence}:{_common_name([path.stem for path, _ in files.values()])}",
            " ".join(_stamp(path) for path, _ in files.values()),
            {scheme: predictor for scheme, (_, predictor) in files.items()},
        )
        for files in found.values()
    ]


def _common_name(stems: Sequence[str]) -> str:
    """Such as "digits" of digits-mtl and digits-specialists; of a single file its own."""
    parts = [stem.split("-") for stem in stems]
    shared = [names[0] for names in zip(*parts, strict=False) if len({*names}) == 1]
    return "-".join(shared) or stems[0]


def _stamp(path: Path) -> str:
    found = path.stat()
    return f"{path.name} {found.st_size} {found.st_mtime_ns}"


def _opened(path: Path) -> Predictor:
    return _predictor(str(path), _stamp(path))


@st.cache_resource(show_spinner="Opening the model", max_entries=24)
def _predictor(path: str, stamp: str) -> Predictor:
    return Predictor(path)


def open_files() -> None:
    """Where one's own model files are opened; they stay until others are, or the visitor goes."""
    files = st.file_uploader(
        "Model files",
        type="onnx",
        accept_multiple_files=True,
        max_upload_size=MOST_BYTES // 2**20,
        key="model_files",
        help="ONNX files that STG Explorer exported: of the specialists, and if you like of MTL and"
        " others beside them.",
    )
    if not files:
        return
    if len(files) > MOST_FILES or sum(file.size for file in files) > MOST_BYTES:
        raise UserError(
            f"At most {MOST_FILES} files, of {MOST_BYTES // 2**20} MB together, are opened at once:"
            f" {named(files[-1].name)} is too much."
        )
    uploads.kept(files, OPENED)
