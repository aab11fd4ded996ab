"""What every page promises."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from stg_core.results.run import Run
from tests.pages.conftest import ROOT, OpenApp, picture, slider, texts


@pytest.mark.parametrize("page", ["data_maps", "grouping", "agreement"])
def test_without_runs_a_page_says_where_to_begin(open_app: OpenApp, page: str) -> None:
    app = open_app(page)
    assert not app.exception and not app.error
    assert "There are no runs yet" in texts(app)


@pytest.mark.parametrize(
    ("page", "drawn"), [("data_maps", "data_map"), ("grouping", "memberships")]
)
def test_a_link_to_a_missing_run_says_so(
    open_app: OpenApp, trained: Run, page: str, drawn: str
) -> None:
    app = open_app(page, trained, run="0123456789abcdef")
    assert not app.exception
    assert "There is no run “0123456789abcdef”" in app.error[0].value
    app.selectbox(key="run_choice").set_value(trained.id).run()
    assert not app.exception and not app.error
    assert picture(app, drawn)


def test_another_run_replaces_choices_it_does_not_have(
    open_app: OpenApp, trained: Run, smaller: Run
) -> None:
    app = open_app("grouping", trained, run=trained.id, k="12", task="Odd", epoch="2")
    assert slider(app, "Clusters (k)").value == "12"
    app.selectbox(key="run_choice").set_value(smaller.id).run()
    assert not app.exception and not app.error
    assert slider(app, "Clusters (k)").values[-1] == "3"
    app.switch_page(str(ROOT / "pages" / "data_maps.py")).run()
    assert not app.exception and not app.error
    assert app.selectbox(key="run_choice").value == smaller.id
    assert app.selectbox(key="task").value in smaller.spec.tasks
    app.selectbox(key="run_choice").set_value(trained.id).run()
    assert not app.exception and not app.error


def test_a_run_does_not_inherit_the_recorded_epochs_of_another(open_app: OpenApp) -> None:
    """Of 6, 12, 18, 24 and 30 only 6 is among 2, 4, 6, 8 and 10."""
    app = open_app("grouping", None, bundles=True, run="bundled:digits")
    app.selectbox(key="run_choice").set_value("bundled:g2").run()
    assert app.pills[0].value == [2, 4, 6, 8, 10]
    linked = open_app("grouping", None, bundles=True, run="bundled:g2", grouping_epochs="4")
    assert linked.pills[0].value == [4]


def test_the_start_page_needs_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys; import app.charts.data_maps, app.charts.grouping, app.state, app.widgets;"
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
for page in ("data_maps", "grouping", "agreement", "study"):
    app.switch_page(f"../pages/{page}.py").run()
    assert app.title and not app.exception, page
print(early, "torch" in sys.modules, flush=True)
os._exit(0)
"""
    quiet = (
        "import stg_core.engine.jobs as j; j.Engine.start = lambda self: None;"
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


def luminance(colour: str) -> float:
    """Of a colour such as #0072B2, as the guidelines on access to the web define it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def test_words_of_charts_are_read_on_white(open_app: OpenApp) -> None:
    for page in ("agreement", "specialists", "methods", "study", "lesson"):
        app = open_app(page, bundles=True, run="bundled:g1")
        charts = app.get("vega_lite_chart")
        for chart in charts:
            config = json.loads(chart.proto.spec)["config"]
            for part in ("axis", "legend"):
                for colour in (config[part]["labelColor"], config[part]["titleColor"]):
                    assert 1.05 / (luminance(colour) + 0.05) >= 4.5
        assert charts or page == "agreement"
