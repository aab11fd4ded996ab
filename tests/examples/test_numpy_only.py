"""The example without torch runs as its first lines say, and leaves a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.results.store import Store

ROOT = Path(__file__).resolve().parents[2]


def test_it_logs_a_run_and_groups_in_one_line(own_home: Path) -> None:
    program = (
        "import runpy, sys; runpy.run_module('examples.numpy_only', run_name='__main__');"
        " print('torch' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        env={**os.environ, "STG_HOME": str(own_home)},
        capture_output=True,
        text=True,
        check=True,
    )
    *table, torch = answer.stdout.splitlines()
    assert torch == "False"
    run = Store().run("log:digits-in-numpy")
    assert run.spec.epochs == 20 and run.summary.epochs[-1] == 20
    assert len(run.summary.tasks) == 13
    grouping = group_tasks(TaskSpace(run.summary), 3)
    assert np.isfinite(grouping.memberships).all() and not grouping.problem
    assert sum(line.startswith(("is ", "below five", "has a loop")) for line in table) == 13
