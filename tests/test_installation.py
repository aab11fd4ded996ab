"""What a light installation can do: log, group and look, without torch and without the app."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from stg_core.system.extras import ASKS, EXTRA_OF, TRAINS, what_to_install
from tests.light import EXTRAS, PROJECT, ROOT, environment_of, libraries_of

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


def run(program: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import sys\n" + program],
        env=environment_of(home),
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


def test_each_library_is_said_to_be_in_an_extra_that_has_it() -> None:
    for library, extra in EXTRA_OF.items():
        assert library in libraries_of(extra) | {"dask"}, library
    everything = set().union(*map(libraries_of, EXTRAS))
    assert everything - {"threadpoolctl"} <= set(EXTRA_OF)


def test_what_is_said_to_be_installed_is_this_project_with_extras_that_it_has() -> None:
    for library in (*EXTRA_OF, "any other"):
        (said,) = re.findall(r"pip install '([^']+)'", what_to_install(library))
        wanted = Requirement(said)
        assert wanted.name == PROJECT["project"]["name"]
        assert wanted.extras and wanted.extras <= set(EXTRAS), library
    assert TRAINS[0] in libraries_of("train") and set(ASKS) <= libraries_of("cluster")


def test_make_explore_installs_the_extra_of_the_app_and_nothing_that_trains() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (line,) = (line for line in makefile.splitlines() if "-e '." in line)
    assert "'.[app]'" in line
    for extra in ("train", "cluster", "export", "more"):
        own = libraries_of(extra) - {"pandas", "pyarrow", "arff", "onnxruntime"}
        assert not own & libraries_of("app"), extra


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile"])
def test_torch_of_another_index_is_of_the_versions_that_are_required(name: str) -> None:
    """Else pip would put the usual one, with CUDA, in its place."""
    (line,) = (line for line in (ROOT / name).read_text().splitlines() if "--index-url" in line)
    (command,) = re.findall(r"\$\$?\((grep .*?txt)\)", line)
    wanted = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert [Requirement(each).name for each in wanted.split()] == ["torch", "torchvision"]
    assert {*wanted.split()} <= {*EXTRAS["train"]}


def core() -> set[str]:
    """The distributions that the core dependencies bring, those of theirs included."""
    found: set[str] = set()
    asked = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    while asked:
        wanted = asked.pop()
        if wanted.name in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        found.add(wanted.name)
        asked += map(Requirement, distribution(wanted.name).requires or ())
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, beside which nothing is left."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("stg_core", "app", "pages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = "pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir"
    subprocess.run([sys.executable, "-m", *command.split(), folder, folder], check=True, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bare(wheel: Path) -> Path:
    """The programs of an environment that has the wheel, what the core needs, and nothing else."""
    place = wheel.with_name("bare")
    venv.create(place)
    (packages,) = place.glob("lib/python*/site-packages")
    for name in core():
        own = distribution(name)
        for top in {file.parts[0] for file in own.files or () if file.parts[0] != ".."}:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(str(own.locate_file(top))))
    command = f"pip --python {place} install --quiet --no-deps --no-index {wheel}"
    subprocess.run([sys.executable, "-m", *command.split()], check=True)
    return place / "bin"


@pytest.mark.slow
def test_the_wheel_holds_the_library_and_nothing_that_could_collide(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"stg_core"}


@pytest.mark.slow
def test_what_is_lacking_is_installed_by_the_name_that_is_said(bare: Path) -> None:
    """Of what is installed pip takes the extra, wherever that came from, and asks no index."""
    command = "install --no-index --dry-run"
    (said,) = re.findall(r"pip install '([^']+)'", what_to_install("torch"))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", bare.parent, *command.split(), said],
        capture_output=True,
        text=True,
    )
    assert f"Requirement already satisfied: {said}" in done.stdout


@pytest.mark.slow
def test_the_installed_library_logs_and_groups_in_a_bare_environment(
    bare: Path, tmp_path: Path
) -> None:
    def done(*command: str) -> str:
        found = subprocess.run(
            [str(bare / command[0]), *command[1:]],
            cwd=tmp_path,
            env={"STG_HOME": str(tmp_path / "home"), "PATH": os.defpath, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert found.returncode == 0, found.stderr
        return found.stdout

    lacking = "import importlib.util as i; print([n for n in ('torch', 'app') if i.find_spec(n)])"
    assert done("python", "-c", lacking).strip() == "[]"
    assert "usage: stg" in done("stg", "--help")
    assert done("stg").count("\n  stg ") == 5
    assert "STG Explorer" in done("stg", "--version")
    assert "stg" in done("stg", "--print-completion", "bash")
    done("python", "-c", LOG)
    assert "inertia" in done("stg", "group", "log:bare", "--k", "2")


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
