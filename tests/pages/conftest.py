"""An app without a browser, on real runs, with an engine that only notes what it is asked for."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import streamlit as st
from numpy.typing import NDArray
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.testing.v1 import AppTest

from app import images
from stg_core.affinity.asked import Asked, Tables
from stg_core.engine import jobs
from stg_core.engine.derived import Answer, Derived, Question
from stg_core.engine.job import Job
from stg_core.grouping.every_k import AtK
from stg_core.grouping.memberships import TaskSpace
from stg_core.judging.report import bundled_reports
from stg_core.judging.study_table import read_rows
from stg_core.results import store
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.tasks.groups import GROUPS, custom_group
from stg_core.training.spec import TrainingSpec

ROOT = Path(__file__).resolve().parents[2]
OpenApp = Callable[..., AppTest]

# An app of the tests looks at every library that is installed whether it has components, at every
# rerun: half of the time that a test took. It compiles its pages at every rerun, too.
manifest_scanner.scan_component_manifests = functools.cache(
    manifest_scanner.scan_component_manifests
)
COMPILED = ScriptCache()

BUNDLES = store.BUNDLES


class StandInEngine:
    """An engine that notes what it is asked for: the real one is driven by the browser tests."""

    known: list[Job]
    submitted: list[TrainingSpec]
    cancelled: list[str]
    ended: list[str]
    busy: ClassVar[bool] = False
    epoch: ClassVar[float | None] = 12.0  # seconds

    def __init__(self, store: Store) -> None:
        self.problem = self.lack = ""

    def jobs(self) -> list[Job]:
        return self.known

    def seconds_per_epoch(self, spec: TrainingSpec) -> float | None:
        return self.epoch

    def submit(self, spec: TrainingSpec, owner: str = "") -> str:
        self.submitted.append(spec)
        return spec.key

    def job(self, key: str) -> Job | None:
        return next((job for job in self.known if job.key == key), None)

    def end_here(self, key: str) -> str:
        self.ended.append(key)
        return key

    def cancel(self, *keys: str) -> None:
        self.cancelled.extend(keys)

    def start(self) -> None:
        pass

    def door(self) -> dict[str, str]:
        return {}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> type[StandInEngine]:
    StandInEngine.known, StandInEngine.submitted, StandInEngine.cancelled = [], [], []
    StandInEngine.busy, StandInEngine.epoch, StandInEngine.ended = False, 12.0, []
    monkeypatch.setattr(jobs, "Engine", StandInEngine)
    monkeypatch.setattr("app.state.Engine", StandInEngine)
    return StandInEngine


class StandInDerived(Derived):
    """Slow results as a test gives them, by the first word of their command; no process begins."""

    given: ClassVar[dict[str, Answer[Any]]] = {}

    def get(self, question: Question) -> Answer[Any]:
        if question.key in self._known:
            return Answer(self._known[question.key])
        if question.later:
            return Answer(later=True)
        return self.given.get(question.words[0], Answer())

    def every_k(self, run: Run, space: TaskSpace, usual: TaskSpace) -> Answer[dict[int, AtK]]:
        """Not known: it would be computed by a thread that outlives the test."""
        return self.given.get("every-k", Answer())

    def ask_again(self) -> None:
        self.given.clear()


@pytest.fixture
def derived(monkeypatch: pytest.MonkeyPatch) -> type[StandInDerived]:
    StandInDerived.given.clear()
    monkeypatch.setattr("app.state.Derived", StandInDerived)
    monkeypatch.setattr("app.state.Tables", StandInTables)
    return StandInDerived


class StandInTables(Tables):
    """Notes which tables are asked for; no process begins."""

    def _train(self, asked: Asked) -> None:
        pass


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two epochs of digits, in a results folder of their own."""
    from stg_core.training.loop import train

    kept = Store(tmp_path_factory.mktemp("results"))
    spec = TrainingSpec(GROUPS["digits"], epochs=2)
    return kept.save(train(spec, folder=kept.work_folder(spec.key)))


@pytest.fixture
def smaller(trained: Run) -> Iterator[Run]:
    """Another run beside `trained`, with fewer tasks and more recorded epochs."""
    from stg_core.training.loop import train

    kept = Store(trained.folder.parents[1])
    spec = TrainingSpec(custom_group("digits", ["0", "1", "8"]), epochs=4)
    run = kept.save(train(spec, folder=kept.work_folder(spec.key)))
    yield run
    shutil.rmtree(run.folder)


def once(read: Callable[..., Any]) -> Callable[..., Any]:
    """Remembers what is read of the project's own folder, and of no other."""
    remembered = functools.cache(read)

    def reading(*asked: Any) -> Any:
        own = all(BUNDLES in of.parents for of in asked if isinstance(of, Path))
        return (remembered if own and store.BUNDLES == BUNDLES else read)(*asked)

    return reading


READ_ONCE = {
    "stg_core.results.store._read_run": once(store._read_run),
    "app.studies.read_rows": once(read_rows),
    "app.judgement.bundled_reports": once(bundled_reports),
    "streamlit.testing.v1.app_test.ScriptCache": lambda: COMPILED,
    "streamlit.testing.v1.local_script_runner.ScriptCache": lambda: COMPILED,
}


@pytest.fixture
def read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes with the project is read once for all apps, of which none knows another."""
    for name, reading in READ_ONCE.items():
        monkeypatch.setattr(name, reading)


@pytest.fixture
def open_app(
    read_once: None,
    engine: type[StandInEngine],
    derived: type[StandInDerived],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[OpenApp]:
    """Opens a page, by its name, on the results of a run; without any run where there is none."""

    def at(
        page: str = "start", run: Run | None = None, /, *, bundles: bool = False, **url: Any
    ) -> AppTest:
        if not bundles:
            monkeypatch.setattr(store, "BUNDLES", tmp_path / "no-bundles")
        monkeypatch.setenv("STG_HOME", str(run.folder.parents[1] if run else tmp_path))
        app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=120)
        for name, value in url.items():
            app.query_params[name] = value
        if page == "start":
            return app.run()
        return app.switch_page(str(ROOT / "pages" / f"{page}.py")).run()

    st.cache_resource.clear()
    yield at
    st.cache_resource.clear()


@pytest.fixture
def begin_preparing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Nothing prepares images until this is called."""
    begin = tmp_path / "begin"
    held = f"import os, time\nwhile not os.path.exists({str(begin)!r}): time.sleep(0.1)\n"
    monkeypatch.setattr(images, "PREPARE", held + images.PREPARE)
    return begin.touch


def titles(app: AppTest) -> set[str]:
    """Titles of the Vega charts on a page."""
    found = (json.loads(chart.proto.spec)["title"] for chart in app.get("vega_lite_chart"))
    return {title if isinstance(title, str) else title["text"] for title in found}


def texts(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.caption))


@dataclass(frozen=True)
class Slider:
    """What a live slider shows."""

    values: list[str]
    value: str
    disabled: bool


def slider(app: AppTest, label: str) -> Slider:
    """The live slider with this label."""
    shown = [component.proto for component in app.get("bidi_component")]
    found = [json.loads(proto.json) for proto in shown if proto.WhichOneof("data") == "json"]
    (data,) = (data for data in found if data.get("label") == label)
    return Slider(data["texts"], data["texts"][data["index"]], data["disabled"])


def picture(app: AppTest, name: str) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Header and numbers of the picture component with this name."""
    shown = [component.proto for component in app.get("bidi_component")]
    (message,) = (proto.bytes for proto in shown if proto.component_name == f"stg_explorer.{name}")
    size = int.from_bytes(message[:4], "little")
    return json.loads(message[4 : 4 + size]), np.frombuffer(message[4 + size :], dtype="<f4")


def move(app: AppTest, key: str, value: str) -> AppTest:
    """Moves the live slider with this key, as its browser part does through the URL."""
    app.query_params[key] = value
    return app.run()
