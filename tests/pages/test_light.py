"""The app with everything but training, as `make explore` installs it: every page, in one process.

What it lacks cannot be imported there, nor by the processes that it starts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.light import ROOT, environment_of

pytestmark = pytest.mark.slow  # some fifteen pages

PROGRAM = """
import json, os, time
import numpy as np
from streamlit.testing.v1 import AppTest
from app import judgement
from stg_core import TaskLog
from stg_core.cli.main import main

told = {}

def page(name, **url):
    app = AppTest.from_file("app/main.py", default_timeout=120)
    for key, value in url.items():
        app.query_params[key] = value
    app = app.run() if name == "start" else app.switch_page(f"../pages/{name}.py").run()
    return seen(" ".join([name, *url.values()]), app)

def seen(where, app):
    def said(elements):
        return [element.value.replace("\\\\", "") for element in elements]

    told[where] = {
        "failed": [problem.message for problem in app.exception],
        "errors": said(app.error),
        "warnings": said(app.warning),
        "captions": said(app.caption),
        "title": said(app.title),
    }
    return app

rng = np.random.default_rng(0)
with open("labels.csv", "w") as file:
    file.write("x,y,task:a,task:b\\n")
    for x, y in rng.normal(size=(60, 2)):
        file.write(f"{x},{y},{int(x > 0)},{int(y > 0)}\\n")
told["add"] = main(["add", "labels.csv", "--name", "mine"])
labels = (rng.random((60, 4)) < 0.4).astype(float)
with TaskLog("bare", ["a", "b", "c", "d"], labels) as log:
    for _ in range(3):
        log.epoch(rng.normal(size=(60, 4)))
os.chdir(ROOT)

start = page("start", group="mine")
seen("start, asked to train", start.button(key="start").click().run())
for run in ("bundled:digits", "log:bare"):
    for name in ("data_maps", "grouping", "agreement"):
        page(name, run=run)
page("lesson", step="3")
page("study")
page("try", run="bundled:digits")
page("specialists", run="bundled:g1", result="g1-k2")
plan = page("specialists", run="bundled:digits", result="this plan")
seen("specialists, asked to train", plan.button(key="train").click().run())
page("methods", table="digits-8")
own = page("methods", table="own", models="2")
train = next(b for b in own.button if str(b.key).startswith("train "))
seen("methods, asked to train", train.click().run())
umap = page("grouping", run="log:bare", map="umap")
deadline = time.monotonic() + 60
while not umap.warning and time.monotonic() < deadline:
    time.sleep(0.3)
    umap.run()
seen("grouping, asked for UMAP", umap)
name, report = next(iter(judgement.bundled().items()))
told["report"] = judgement.as_html(report, "logits-soft", report["measures"][0], [0, 1, 2]).decode()
with open(os.environ["TOLD"], "w") as file:
    json.dump(told, file)
os._exit(0)  # without waiting for threads of the app
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("light")
    variables = environment_of(folder / "home", "app") | {"TOLD": str(folder / "told.json")}
    done = subprocess.run(
        [sys.executable, "-c", f"ROOT = {str(ROOT)!r}\n{PROGRAM}"],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((folder / "told.json").read_text())
    return found


def pages_of(told: dict[str, Any]) -> dict[str, dict[str, list[str]]]:
    return {where: found for where, found in told.items() if isinstance(found, dict)}


def test_every_page_is_there_without_what_trains(told: dict[str, Any]) -> None:
    for where, found in pages_of(told).items():
        assert found["title"] and not found["failed"], where
        assert not found["errors"] or where.endswith("asked to train"), (where, found["errors"])


@pytest.mark.parametrize("page", ["start", "specialists", "methods"])
def test_asked_to_train_a_page_says_in_a_sentence_how_to_get_that(
    told: dict[str, Any], page: str
) -> None:
    (sentence,) = told[f"{page}, asked to train"]["errors"]
    assert "torch" in sentence and "stg-explorer[train]" in sentence
    assert "https://download.pytorch.org/whl/cpu" in sentence and "3 GB less" in sentence


def test_before_it_is_asked_nothing_warns(told: dict[str, Any]) -> None:
    assert told["start mine"]["warnings"] == []
    assert any("stg-explorer[train]" in caption for caption in told["start mine"]["captions"])


def test_umap_says_what_to_install_beside_another_map(told: dict[str, Any]) -> None:
    assert any(
        "stg-explorer[more]" in text for text in told["grouping, asked for UMAP"]["warnings"]
    )


def test_a_report_says_why_it_has_no_charts(told: dict[str, Any]) -> None:
    assert "stg-explorer[export]" in told["report"] and "<svg" not in told["report"]
    assert "Final scores" in told["report"]


ON_A_CLUSTER = """
import json, os
from streamlit.testing.v1 import AppTest

app = AppTest.from_file("app/main.py", default_timeout=120)
app.query_params["group"] = "digits"
app = app.run()
asked = app.button(key="start").click().run()
said = [error.value.replace("\\\\", "") for error in asked.error]
print(json.dumps([[problem.message for problem in asked.exception], said]), flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("extras", [("app",), ("app", "cluster")])
def test_with_a_cluster_that_trains_torch_is_not_asked_for(
    extras: tuple[str, ...], tmp_path: Path
) -> None:
    """Nobody answers there, which is said once it is certain, and no library for it is lacking."""
    variables = environment_of(tmp_path / "home", *extras)
    done = subprocess.run(
        [sys.executable, "-c", ON_A_CLUSTER],
        cwd=ROOT,
        env=variables | {"STG_SCHEDULER": "tcp://127.0.0.1:9"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    failed, said = json.loads(done.stdout)
    assert not failed and not any("torch" in sentence for sentence in said)
    lacking = [sentence for sentence in said if "not installed" in sentence]
    assert len(lacking) == ("cluster" not in extras)
    assert all("pip install 'stg-explorer[cluster]'" in sentence for sentence in lacking)


def test_data_sets_and_logs_are_taken_in(told: dict[str, Any]) -> None:
    assert told["add"] == 0
    assert told["grouping log:bare"]["title"] == ["Grouping"]
