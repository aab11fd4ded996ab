"""Light installations, stood in for by processes that do not find what such ones lack."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
IMPORTED_AS = {"liac-arff": "arff", "umap-learn": "umap", "vl-convert-python": "vl_convert"}

# Python imports a module of that name when it starts, so that what a process starts lacks it too.
HOOK = """
import sys

class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {lacking!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Lacking())
"""


def name_of(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return found[0].lower()


def libraries_of(extra: str) -> set[str]:
    """As they are imported."""
    return {IMPORTED_AS.get(name, name) for name in map(name_of, EXTRAS[extra])}


def lacking_in(*extras: str) -> set[str]:
    """What an installation with the core and these extras has not got."""
    here = set().union(*map(libraries_of, extras)) | {"threadpoolctl"}  # that of scikit-learn
    return set().union(*map(libraries_of, EXTRAS)) - here


def environment_of(home: Path, *extras: str) -> dict[str, str]:
    """Variables of processes with the core and these extras, whose results are in a folder."""
    folder = home.with_name(f"{home.name}-light")
    folder.mkdir(exist_ok=True)
    hook = HOOK.format(lacking=tuple(sorted(lacking_in(*extras))))
    (folder / "sitecustomize.py").write_text(hook)
    paths = os.pathsep.join(map(str, (folder, ROOT)))
    return {"PYTHONPATH": paths, "STG_HOME": str(home), "OMP_NUM_THREADS": "1"}
