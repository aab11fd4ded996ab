"""Runs that were read from another program's log: every page shows them, and what they lack."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stg_core.maps.formats.answers import Answers
from stg_core.maps.formats.bringing import bring
from stg_core.results.logged import LoggedRun
from stg_core.results.store import Store
from tests.maps.existing_logs import brought, outputs, write_dynamics
from tests.pages.conftest import OpenApp
from tests.pages.test_logged import said


def of_coordinates(folder: Path) -> LoggedRun:
    """Of four tasks, whose labels nobody knows."""
    rng = np.random.default_rng(0)
    for name in ("a", "b, or (c)", "d", "e"):
        lines = [
            json.dumps({"guid": i, "confidence": rng.random(), "variability": rng.random() / 2})
            for i in range(60)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    run = Store().run(bring([folder], Answers("mine", epochs=6)))
    assert isinstance(run, LoggedRun)
    return run


def of_dynamics(folder: Path) -> LoggedRun:
    logits, gold = outputs(3, 60, 4)
    return brought(write_dynamics(folder / "log", logits, gold.tolist()), whole="each class")


@pytest.mark.parametrize("make", [of_coordinates, of_dynamics])
def test_every_page_shows_a_run_of_an_existing_log(
    open_app: OpenApp, tmp_path: Path, make: object
) -> None:
    run = make(tmp_path)  # type: ignore[operator]
    for page in ("data_maps", "grouping", "agreement"):
        app = open_app(page, run, run=run.id, region="0,0.7,0,1")
        assert not app.exception and not app.error, page
        assert any("Read from" in expander.label for expander in app.expander), page
        assert str(tmp_path).replace("_", r"\_") in said(app)
    assert not open_app("specialists", run, run=run.id).exception
    assert not open_app("methods", run, table=run.id).exception


def test_what_a_run_cannot_have_is_said_beside_it(open_app: OpenApp, tmp_path: Path) -> None:
    run = of_coordinates(tmp_path)
    app = open_app("data_maps", run, run=run.id, region="0,0.7,0,1")
    assert "no outputs and no scores" in said(app) and "positives" in said(app)
