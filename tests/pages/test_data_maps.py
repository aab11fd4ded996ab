"""Data maps: how the model learned a task."""

from __future__ import annotations

from stg_core.store import Run
from tests.pages.conftest import OpenApp


def test_data_maps(open_app: OpenApp, trained: Run) -> None:
    app = open_app("data_maps", trained, task="Odd")
    assert not app.exception and not app.error
    shown = {metric.label: metric.value for metric in app.metric}
    confidence = trained.summary.task_means[-1, 0, trained.spec.tasks.index("Odd")]
    assert shown["Mean confidence"] == f"{confidence:.3f}"
    assert len(app.get("vega_lite_chart")) == 1
