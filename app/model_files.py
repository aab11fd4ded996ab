"""The exported models that can be tried: opened files, exports, and those of the project.

Files of the same training, tasks and points are shown side by side, as one choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app import state, uploads
from app.words import plain
from stg_core.export.about import About
from stg_core.export.folders import ONNX, kept_exports
from stg_core.export.predictor import Predictor
from stg_core.results import store as store_module
from stg_core.results.run import Run
from stg_core.results.store import MODELS
from stg_core.system.errors import UserError
from stg_core.system.words import named
from stg_core.tasks.groups import Task, TaskGroup

OPENED = "models"  # the purpose of such uploads
MOST_FILES, MOST_BYTES = 8, 100 * 2**20
MTL, SPECIALISTS = "mtl", "specialists"
WITHOUT_GROUPING = (MTL, "stl")  # the schemes that are the same of any grouping
TITLES: Mapping[str, str] = {MTL: "MTL", SPECIALISTS: "specialists", "stl": "STL"}


@dataclass(frozen=True)
class ModelFile:
    """A file with models: its path, and what it says of itself. It is opened when it is asked."""

    path: Path
    about: About

    @property
    def predictor(self) -> Predictor:
        return _opened(self.path)

    @property
    def stamp(self) -> str:
        return _stamp(self.path)


@dataclass(frozen=True)
class Models:
    """Exported models of the same tasks over the same points, by their scheme.

    key: what an address calls them; more: what tells them from others, for people.
    """

    key: str
    files: Mapping[str, ModelFile]
    more: str = ""

    @cached_property
    def stamp(self) -> str:
        """Another one once a file is another."""
        return " ".join(one.stamp for one in self.files.values())

    @cached_property
    def by_scheme(self) -> Mapping[str, Predictor]:
        """Opens the files; UserError where one cannot be read."""
        return {scheme: one.predictor for scheme, one in self.files.items()}

    @cached_property
    def lead(self) -> str:
        """Whose models are shown one by one: the specialists', else those of any of several."""
        several = [scheme for scheme, one in self.files.items() if len(one.about.models) > 1]
        return SPECIALISTS if SPECIALISTS in self.files else [*several, *self.files][0]

    @cached_property
    def abouts(self) -> Mapping[str, About]:
        """What each says of itself, MTL first."""
        each = {scheme: one.about for scheme, one in self.files.items()}
        return dict(sorted(each.items(), key=lambda item: item[0] != MTL))

    @property
    def first(self) -> Predictor:
        return self.by_scheme[self.lead]

    @cached_property
    def others(self) -> Mapping[str, Predictor]:
        """All but that one, MTL before the others."""
        return {name: self.by_scheme[name] for name in self.abouts if name != self.lead}

    @property
    def about(self) -> About:
        return self.files[self.lead].about

    @cached_property
    def columns(self) -> Sequence[slice]:
        """Which columns of the outputs are each task's, (T,)."""
        return [self.about.columns[task] for task in self.about.tasks]

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Of the first one's models, (k, T)."""
        return self.about.matrix

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
        told = [_surely_above_half(about) for about in self.abouts.values()]
        return np.logical_or.reduce(told)

    @property
    def title(self) -> str:
        schemes = ", ".join(TITLES.get(scheme, scheme) for scheme in self.files)
        return f"{self.about.title.rpartition(': ')[0] or self.about.title}: {schemes}{self.more}"

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
    """All that can be chosen, by key: opened files first, then what was exported here."""
    opened = _together("opened", _readable(uploads.there(OPENED)))
    return {one.key: one for one in (*opened, *exported(), *_bundled())}


def bundled(name: str) -> Models:
    """Those that came with the project under a name; UserError where they are not there."""
    found = {one.key: one for one in _bundled()}
    key = f"bundled:{name}"
    if key not in found:
        raise UserError(f"The models of {name}, which come with the project, are not there.")
    return found[key]


def exported() -> list[Models]:
    """What was exported on this machine, the newest first."""
    there = []
    for one in kept_exports(state.shared().store):
        if one.about is None:
            _say(f"The exported model {one.folder.name}", one.problem)
        else:
            there.append(ModelFile(one.folder / ONNX, one.about))
    return [replace(one, more=_told_apart(one.about)) for one in _together("exported", there)]


def key_of_export(name: str) -> str:
    """By which key those models can be chosen that the export of a name is among."""
    for models in exported():
        if any(_called(one.path) == name for one in models.files.values()):
            return models.key
    return ""


def bundled_folder() -> Path:
    """Where the models that come with the project lie."""
    return store_module.BUNDLES / MODELS


def _bundled() -> list[Models]:
    return _together("bundled", _readable(sorted(bundled_folder().glob("*.onnx"))))


def _readable(paths: Iterable[Path]) -> list[ModelFile]:
    """Says so where one cannot be read."""
    found = []
    for path in paths:
        try:
            found.append(ModelFile(path, _opened(path).about))
        except UserError as error:
            _say(path.name, str(error))
    return found


def _say(what: str, problem: str) -> None:
    st.error(plain(f"{what}: {problem}"), icon=":material/error:")


def _together(whence: str, files: Sequence[ModelFile]) -> list[Models]:
    """Files that belong together, as one; those that know no grouping stand beside each other."""
    groups: list[dict[str, ModelFile]] = []
    of_grouping = [one for one in files if one.about.scheme not in WITHOUT_GROUPING]
    for one in of_grouping:
        fits = [own for own in groups if _belong(one, own, _of_grouping)]
        if not fits:
            groups.append({})
        (fits or groups[-1:])[0][one.about.scheme] = one
    for one in files:
        if one.about.scheme in WITHOUT_GROUPING:
            fits = [own for own in groups if _belong(one, own, _of_training)]
            if not fits:
                groups.append({})
            for own in fits or groups[-1:]:
                own[one.about.scheme] = one
    found: dict[str, Models] = {}
    for own in groups:
        in_order = {one.about.scheme: one for one in files if one in own.values()}
        name = _common_name([_called(one.path) for one in in_order.values()])
        if f"{whence}:{name}" in found:
            name = _called(next(iter(own.values())).path)
        key = f"{whence}:{name}"
        found[key] = Models(key, in_order)
    return list(found.values())


def _belong(one: ModelFile, group: Mapping[str, ModelFile], by: Callable[[About], object]) -> bool:
    """Whether a file is of what a group is of, which has none of its scheme yet."""
    first = next(iter(group.values()))
    return one.about.scheme not in group and by(one.about) == by(first.about)


def _of_training(about: About) -> object:
    return about.run, about.data, about.tasks, about.kinds, about.input.shape


def _of_grouping(about: About) -> object:
    grouping = sorted((name, str(value)) for name, value in about.grouping.items())
    return _of_training(about), grouping, about.average


def _told_apart(about: About) -> str:
    """Such as ", k = 3, exported 2026-11-29 20:42"."""
    k = about.grouping.get("k")
    parts = [f"k = {k}"] * (k is not None and about.scheme not in WITHOUT_GROUPING)
    parts += ["hard routing"] * (about.routing == "hard")
    created = str(about.made.get("created", ""))[:16].replace("T", " ")
    parts += [f"exported {created}"] * bool(created)
    return "".join(f", {part}" for part in parts)


def _called(path: Path) -> str:
    """A file by its name; an export by its folder."""
    return path.parent.name if path.name == ONNX else path.stem


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
