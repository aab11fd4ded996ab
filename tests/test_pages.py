"""Every page, run without a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from stg_core import jobs, store
from stg_core.jobs import Job
from stg_core.spec import TrainingSpec
from stg_core.store import Run, Store
from stg_core.tasks import GROUPS, custom_group

ROOT = Path(__file__).resolve().parents[1]
OpenApp = Callable[..., AppTest]


class StandInEngine:
    """An engine that notes what it is asked for: the real one is driven by the browser tests."""

    known: list[Job]
    submitted: list[TrainingSpec]
    cancelled: list[str]

    def __init__(self, store: Store) -> None:
        self.problem = ""

    def jobs(self) -> list[Job]:
        return self.known

    def seconds_per_epoch(self, spec: TrainingSpec) -> float:
        return 12.0

    def submit(self, spec: TrainingSpec) -> str:
        self.submitted.append(spec)
        return spec.key

    def cancel(self, key: str) -> None:
        self.cancelled.append(key)

    def start(self) -> None:
        pass


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> type[StandInEngine]:
    StandInEngine.known, StandInEngine.submitted, StandInEngine.cancelled = [], [], []
    monkeypatch.setattr(jobs, "Engine", StandInEngine)
    monkeypatch.setattr("app.state.Engine", StandInEngine)
    return StandInEngine


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two epochs of digits, in a results folder of their own."""
    from stg_core.training import train

    kept = Store(tmp_path_factory.mktemp("results"))
    spec = TrainingSpec(GROUPS["digits"], epochs=2)
    return kept.save(train(spec, folder=kept.work_folder(spec.key)))


@pytest.fixture
def smaller(trained: Run) -> Iterator[Run]:
    """Another run beside `trained`, with fewer tasks and more recorded epochs."""
    from stg_core.training import train

    kept = Store(trained.folder.parents[1])
    spec = TrainingSpec(custom_group("digits", ["0", "1", "8"]), epochs=4)
    run = kept.save(train(spec, folder=kept.work_folder(spec.key)))
    yield run
    shutil.rmtree(run.folder)


@pytest.fixture
def open_app(
    engine: type[StandInEngine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[OpenApp]:
    """Opens a page, by its name, on the results of a run; without any run where there is none."""

    def at(page: str = "start", run: Run | None = None, /, **url: str) -> AppTest:
        monkeypatch.setattr(store, "BUNDLES", tmp_path / "no-bundles")
        monkeypatch.setenv("STG_HOME", str(run.folder.parents[1] if run else tmp_path))
        app = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=60)
        for name, value in url.items():
            app.query_params[name] = value
        if page == "start":
            return app.run()
        return app.switch_page(str(ROOT / "pages" / f"{page}.py")).run()

    st.cache_resource.clear()
    yield at
    st.cache_resource.clear()


def texts(app: AppTest) -> str:
    return "\n".join(element.value for element in (*app.markdown, *app.caption))


# ----------------------------------------------------------------------------- without any run


@pytest.mark.parametrize("page", ["data_maps", "grouping"])
def test_without_runs_a_page_says_where_to_begin(open_app: OpenApp, page: str) -> None:
    app = open_app(page)
    assert not app.exception and not app.error
    assert "There are no runs yet" in texts(app)


def test_start_without_runs(open_app: OpenApp) -> None:
    app = open_app()
    assert not app.exception and not app.error
    assert "about 2 min 0 s" in texts(app)
    assert "None yet" in texts(app)


# ---------------------------------------------------------------------------------- with a run


def test_start_lists_runs(open_app: OpenApp, trained: Run) -> None:
    app = open_app("start", trained)
    assert not app.exception and not app.error
    (row,) = app.dataframe[0].value.to_dict("records")
    assert row["Run"] == trained.title and row["Epochs"] == 2 and row["Tasks"] == 15
    assert row["Mean F1"] == pytest.approx(trained.mean_f1)


def test_data_maps(open_app: OpenApp, trained: Run) -> None:
    app = open_app("data_maps", trained, task="Odd")
    assert not app.exception and not app.error
    shown = {metric.label: metric.value for metric in app.metric}
    confidence = trained.summary.task_means[-1, 0, trained.spec.tasks.index("Odd")]
    assert shown["Mean confidence"] == f"{confidence:.3f}"
    assert len(app.get("vega_lite_chart")) == 1


def test_grouping_follows_both_sliders(open_app: OpenApp, trained: Run) -> None:
    app = open_app("grouping", trained)
    assert not app.exception and not app.error
    k, fuzzifier = app.slider(key="k"), app.slider(key="fuzzifier")
    assert (k.min, k.max, k.value) == (2, 15, 3)
    assert (fuzzifier.min, fuzzifier.max, fuzzifier.value) == (1.01, 3.0, 2.0)
    before = {metric.label: metric.value for metric in app.metric}
    assert set(before) == {"Inertia", "Silhouette", "Partition coefficient", "Xie–Beni"}
    k.set_value(6).run()
    app.slider(key="fuzzifier").set_value(1.01).run()
    after = {metric.label: metric.value for metric in app.metric}
    assert not app.exception
    assert float(after["Inertia"]) < float(before["Inertia"])
    assert float(after["Partition coefficient"]) > float(before["Partition coefficient"])


@pytest.mark.parametrize("k", ["2", "15"])
def test_grouping_at_the_bounds_of_k(open_app: OpenApp, trained: Run, k: str) -> None:
    app = open_app("grouping", trained, k=k)
    assert not app.exception and not app.error
    assert app.slider(key="k").value == int(k)


@pytest.mark.parametrize("k", ["1", "16", "many"])
def test_a_k_that_cannot_be_is_replaced(open_app: OpenApp, trained: Run, k: str) -> None:
    app = open_app("grouping", trained, k=k)
    assert not app.exception and not app.error
    assert app.slider(key="k").value == 3


@pytest.mark.parametrize("method", ["soft", "hard", "fcm", "points"])
def test_every_method(open_app: OpenApp, trained: Run, method: str) -> None:
    app = open_app("grouping", trained, method=method)
    assert not app.exception and not app.error
    assert app.selectbox(key="method").value == method
    assert app.slider(key="fuzzifier").disabled == (method in ("hard", "points"))


def test_no_feature_is_an_error_in_one_sentence(open_app: OpenApp, trained: Run) -> None:
    app = open_app("grouping", trained)
    app.button_group(key="features").set_value([]).run()
    assert not app.exception
    assert "Choose features" in app.error[0].value


@pytest.mark.parametrize("page", ["data_maps", "grouping"])
def test_a_link_to_a_missing_run_says_so(open_app: OpenApp, trained: Run, page: str) -> None:
    app = open_app(page, trained, run="0123456789abcdef")
    assert not app.exception
    assert "There is no run '0123456789abcdef'" in app.error[0].value
    app.selectbox(key="run_choice").set_value(trained.id).run()
    assert not app.exception and not app.error
    assert app.get("vega_lite_chart")


def test_another_run_replaces_choices_it_does_not_have(
    open_app: OpenApp, trained: Run, smaller: Run
) -> None:
    app = open_app("grouping", trained, run=trained.id, k="12", task="Odd", epoch="2")
    assert app.slider(key="k").value == 12
    app.selectbox(key="run_choice").set_value(smaller.id).run()
    assert not app.exception and not app.error
    assert app.slider(key="k").max == 3
    app.switch_page(str(ROOT / "pages" / "data_maps.py")).run()
    assert not app.exception and not app.error
    assert app.selectbox(key="run_choice").value == smaller.id
    assert app.selectbox(key="task").value in smaller.spec.tasks
    app.selectbox(key="run_choice").set_value(trained.id).run()
    assert not app.exception and not app.error


def test_a_damaged_result_is_reported(open_app: OpenApp, trained: Run, tmp_path: Path) -> None:
    (tmp_path / "runs" / trained.id).mkdir(parents=True)
    app = open_app()
    assert not app.exception and not app.error
    assert "damaged" in app.warning[0].value


# ---------------------------------------------------------------------------------------- jobs


def test_run_submits_what_is_chosen(open_app: OpenApp, engine: type[StandInEngine]) -> None:
    app = open_app("start", None, group="g1", model_cifar10="small_cnn", epochs="3", seed="5")
    (run,) = (button for button in app.button if button.label == "Run")
    run.click().run()
    assert not app.exception
    assert engine.submitted == [TrainingSpec(GROUPS["g1"], model="small_cnn", epochs=3, seed=5)]


def test_a_custom_group(open_app: OpenApp, engine: type[StandInEngine]) -> None:
    app = open_app("start", None, group="custom")
    app.multiselect(key="classes_digits").set_value(["1", "7"])
    app.text_area(key="unions_digits").set_value("Round = 0, 6, 8, 9").run()
    (run,) = (button for button in app.button if button.label == "Run")
    run.click().run()
    expected = custom_group("digits", ["1", "7"], {"Round": ["0", "6", "8", "9"]})
    assert [spec.group for spec in engine.submitted] == [expected]
    app.text_area(key="unions_digits").set_value("Round").run()
    assert not app.exception
    assert "name = class, class" in app.error[0].value


def test_progress_cancel_and_resume(open_app: OpenApp, engine: type[StandInEngine]) -> None:
    spec, other = (TrainingSpec(GROUPS["digits"], seed=seed) for seed in (1, 2))
    curves = {"loss": [3.0, 2.0], "mean_f1": [0.5, 0.7]}
    engine.known = [
        Job(other.key, other, "queued", place=1),
        Job(spec.key, spec, "running", 0, 2, 0.25, 800.0, 75.0, curves, "Training epoch 3."),
    ]
    app = open_app()
    assert not app.exception and not app.error
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown == {"Epoch": "3 of 10", "Images/s": "800", "Time left": "1 min 15 s"}
    assert "1 before it" in texts(app)
    assert len(app.get("vega_lite_chart")) == 2
    app.button(key=f"cancel {spec.key}").click().run()
    assert engine.cancelled == [spec.key]

    engine.known = [Job(spec.key, spec, "failed", message="The disk is full. Make room.")]
    app.run()
    assert not app.exception
    assert app.error[0].value == "The disk is full. Make room."
    app.button(key=f"resume {spec.key}").click().run()
    assert engine.submitted == [spec]


# ----------------------------------------------------------------------------------- start-up


def test_the_start_page_needs_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys; import app.charts, app.state, app.widgets;"
        "print([name for name in ('torch', 'umap', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_no_page_brings_torch_into_the_app_process(trained: Run) -> None:
    code = """
import os, sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file("app/main.py", default_timeout=60).run()
early = [name for name in ("torch", "umap", "sklearn") if name in sys.modules]
for page in ("data_maps", "grouping"):
    app.switch_page(f"../pages/{page}.py").run()
    assert app.title and not app.exception, page
print(early, "torch" in sys.modules, flush=True)
os._exit(0)
"""
    quiet = (
        "import stg_core.jobs as j; j.Engine.start = lambda self: None;"
        "j.Engine.seconds_per_epoch = lambda self, spec: 1.0\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", quiet + code],
        cwd=ROOT,
        env={**os.environ, "STG_HOME": str(trained.folder.parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[] False", done.stderr
