"""Two processes that train one model together, and log under one name."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from stg_core import Store
from stg_core.results.logged import LoggedRun
from tests.loops.digits import maps_of, trained_plainly
from tests.loops.ranks import BATCH, EPOCHS

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def start(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["plain", "lightning"])
def test_two_processes_log_what_one_does(loop: str) -> None:
    """Two ranks of 50 points make the batches of 100 even and odd points that one would."""
    if loop == "lightning" and find_spec("lightning") is None:
        pytest.skip("Lightning is not installed")
    answer = start(*TORCHRUN, "-m", "tests.loops.ranks", loop)
    assert answer.returncode == 0, answer.stderr
    run = Store().run("log:ranks")
    assert isinstance(run, LoggedRun)
    assert run.progress.finished and run.progress.rows == (600,) * EPOCHS and run.head.ranks == 2
    single = trained_plainly("single", EPOCHS, 2 * BATCH)
    np.testing.assert_allclose(maps_of(run), maps_of(single), atol=2e-3)


@pytest.mark.slow
def test_lightning_s_own_processes_are_told_to_start_with_torchrun() -> None:
    if find_spec("lightning") is None:
        pytest.skip("Lightning is not installed")
    answer = start("-m", "tests.loops.ranks", "lightning")
    assert answer.returncode != 0
    assert "start the script with torchrun" in answer.stderr
