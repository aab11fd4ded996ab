"""What a light installation can do: log, group and look, without torch and without the app."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]

# In place of an environment that has only the core dependencies: others cannot be imported.
BARE = """
import sys

class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {lacking!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Lacking())
"""
IMPORTED_AS = {"liac-arff": "arff", "umap-learn": "umap", "vl-convert-python": "vl_convert"}

LOG = """
import numpy as np
from stg_core import TaskLog

rng = np.random.default_rng(0)
labels = (rng.random((60, 4)) < 0.4).astype(float)
with TaskLog("bare", ["a", "b", "c", "d"], labels) as log:
    for _ in range(3):
        log.epoch(rng.normal(size=(60, 4)))
"""


GROUP = """
import numpy as np
import stg_core

rng = np.random.default_rng(0)
labels = (rng.random((60, 4)) < 0.4).astype(float)
result = stg_core.group(rng.normal(size=(3, 60, 4)), labels, k=2)
print(result, result.regroup(k=3), result._repr_html_())
for ask in (lambda: result.memberships, result.plot, lambda: result.data_map("task 1")):
    try:
        ask()
    except stg_core.UserError as error:
        print("refused:", error)
"""


def name_of(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return found[0].lower()


def run(program: str, home: Path) -> subprocess.CompletedProcess[str]:
    extras = {name_of(r) for extra in EXTRAS.values() for r in extra} - {"threadpoolctl"}
    lacking = tuple(IMPORTED_AS.get(name, name) for name in extras)
    return subprocess.run(
        [sys.executable, "-c", BARE.format(lacking=lacking) + program],
        env={"STG_HOME": str(home), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def stg(*words: str) -> str:
    return f"from stg_core.cli.main import main\nsys.exit(main({list(words)!r}))"


def test_the_requirements_are_those_of_the_core_and_of_all_extras() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    everything = {line for line in lines if line and not line.startswith("#")}
    extras = {requirement for extra in EXTRAS.values() for requirement in extra}
    assert everything == {*PROJECT["project"]["dependencies"], *extras}


def test_only_the_library_is_installed() -> None:
    assert PROJECT["tool"]["setuptools"]["packages"]["find"]["include"] == ["stg_core*"]


def test_a_light_installation_logs_and_groups(tmp_path: Path) -> None:
    logged = run(LOG, tmp_path)
    assert logged.returncode == 0, logged.stderr
    grouped = run(stg("group", "log:bare", "--k", "2"), tmp_path)
    assert grouped.returncode == 0, grouped.stderr
    assert "inertia" in grouped.stdout
    assert "bare" in run(stg("runs"), tmp_path).stdout


def test_it_groups_arrays_in_one_line_but_draws_nothing(tmp_path: Path) -> None:
    grouped = run(GROUP, tmp_path / "home")
    assert grouped.returncode == 0, grouped.stderr
    assert "task 4" in grouped.stdout and "silhouette" in grouped.stdout
    refused = [line for line in grouped.stdout.splitlines() if line.startswith("refused:")]
    assert len(refused) == 3 and all("stg-explorer[notebook]" in line for line in refused)
    assert "needs pandas" in refused[0] and "needs altair" in refused[1]


@pytest.mark.parametrize(
    ("words", "library"),
    [(("extract", "--group", "digits"), "torch"), (("add", "labels.csv"), "pyarrow")],
    ids=["extract", "add"],
)
def test_what_it_cannot_do_it_says_in_a_sentence(
    words: tuple[str, ...], library: str, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text("x,task:a\n1,0\n2,1\n")
    asked = run(stg(*words), tmp_path)
    assert asked.returncode == 2, asked.stderr
    assert "Traceback" not in asked.stderr
    assert f"needs {library}" in asked.stderr and "pip install" in asked.stderr
