"""The cache: JSON only, and begun anew wherever it is damaged, while everything goes on."""

from __future__ import annotations

import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stg_core.cli.main import main
from stg_core.results.store import Store
from stg_core.training.loop import TrainingResult

MANY = 400


@pytest.fixture
def filled(store: Store) -> Store:
    """A store whose cache has values on many pages, all of them in the file."""
    for i in range(MANY):
        store.cache[f"key {i}"] = {"value": [i] * 50}
    database = sqlite3.connect(store.folder / "cache" / "cache.db")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def database_of(store: Store) -> Path:
    return store.folder / "cache" / "cache.db"


def damage_pages(path: Path) -> None:
    """All pages but the first, so that the file opens and reading fails."""
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))


def damage_middle(path: Path) -> None:
    """Some pages of values in the middle."""
    size = path.stat().st_size
    with open(path, "r+b") as file:
        for page in range(2, size // 4096, 2):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_file(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)


DAMAGES = [damage_pages, damage_middle, truncate, other_file]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("is_open", [False, True])
def test_a_damaged_cache_is_set_aside_begun_anew_and_told_once(
    damage: Callable[[Path], None], is_open: bool, filled: Store
) -> None:
    damage(database_of(filled))
    store = filled if is_open else Store(filled.folder)
    for i in range(MANY):
        store.cache.get(f"key {i}")  # whatever is found, nothing is raised
        store.cache[f"new {i}"] = i
    assert [store.cache.get(f"new {i}") for i in range(MANY)] == list(range(MANY))
    assert len(list((store.folder / "damaged").iterdir())) == 1
    [sentence] = store.damaged
    assert "cache is damaged" in sentence and "a new one was begun" in sentence
    assert Store(filled.folder).cache.get("new 3") == 3, "and the next process finds it whole"


def test_an_empty_file_is_a_new_cache(store: Store) -> None:
    (store.folder / "cache").mkdir()
    empty(database_of(store))
    store.cache["a"] = 1
    assert store.cache.get("a") == 1 and not store.damaged


def test_a_cache_that_another_process_began_anew_is_not_set_aside_again(filled: Store) -> None:
    late = Store(filled.folder)
    assert late.cache.get("key 1")
    damage_pages(database_of(filled))
    first = Store(filled.folder)
    first.cache["from the first"] = 1
    late.cache["from the late one"] = 2
    assert late.cache.get("from the first") == 1
    assert first.cache.get("from the late one") == 2
    assert len(list((filled.folder / "damaged").iterdir())) == 1


def test_a_cache_that_is_locked_is_not_damaged(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.cache["a"] = 1
    database = sqlite3.connect(database_of(store), isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    try:
        assert store.cache.get("a") in (1, None)
    finally:
        database.execute("ROLLBACK")
        database.close()
    assert store.cache.get("a") == 1 and not store.damaged


def test_pickles_are_not_looked_at(store: Store) -> None:
    store.cache["speed"] = {"seconds": 1.5}
    assert store.cache["speed"] == {"seconds": 1.5}
    database = sqlite3.connect(database_of(store))
    with database:
        database.execute("UPDATE Cache SET mode = 4, value = ?", [pickle.dumps({"a": 1})])
    database.close()
    assert store.cache.get("speed") is None
    assert "pickled" in store.damaged[0]


def test_only_the_user_can_open_the_cache(store: Store) -> None:
    store.cache["a"] = 1
    assert stat.S_IMODE((store.folder / "cache").stat().st_mode) == 0o700


# ---------------------------------------------------------------------- a home for reading only


@pytest.fixture(params=["a file", "below a file", "no rights"])
def home_for_reading(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder that nobody can write to, not even root, who is not asked for rights."""
    (tmp_path / "file").write_text("")
    home = {
        "a file": tmp_path / "file",
        "below a file": tmp_path / "file" / "home",
        "no rights": Path("/proc/stg"),
    }[request.param]
    if request.param == "no rights" and not Path("/proc/self").exists():
        pytest.skip("there is no such folder here")
    monkeypatch.setenv("STG_HOME", str(home))
    return home


@pytest.mark.parametrize(
    "words",
    [
        "groups",
        "runs",
        "group bundled:g1 --k 2",
        "choose bundled:g1",
        "layout bundled:g1 --how mds",
        "agreement bundled:g1 --k 2",
        "methods --table digits-8",
        "specialists bundled:g1 --k 2 --dry-run",
    ],
)
def test_reading_needs_no_writing(
    words: str, home_for_reading: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "extract --group digits --epochs 2",
        "affinity --group digits --epochs 1",
        "import {file}",
        "methods --group digits --tasks 0,1",
    ],
)
def test_what_needs_writing_says_so(
    words: str, home_for_reading: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "bundled:g1", "--output", str(tmp_path / "g1.zip")]) == 0
    assert main(words.format(file=tmp_path / "g1.zip").split()) == 2
    said = capsys.readouterr().err
    assert str(home_for_reading) in said or "cannot be imported" in said


READS_AS_NOBODY = """
import os, sys
from stg_core.results.store import Store
os.seteuid(65_534)
store = Store()
print(store.cache.get("key 3"), store.damaged)
"""


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root becomes another user"
)
def test_a_cache_that_may_only_be_read_is_not_damaged(filled: Store) -> None:
    open_to_all(filled.folder)
    for path in filled.folder.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o444)
    done = subprocess.run(
        [sys.executable, "-c", READS_AS_NOBODY],
        env={**os.environ, "STG_HOME": str(filled.folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and done.stdout.rstrip().endswith("[]"), done.stdout + done.stderr
    assert not list((filled.folder / "damaged").iterdir())
    assert Store(filled.folder).cache.get("key 3") == {"value": [3] * 50}


def open_to_all(home: Path) -> None:
    """Lets other users reach a temporary folder."""
    above = Path(tempfile.gettempdir()).resolve()
    for folder in (home, *home.resolve().parents):
        if folder.is_relative_to(above) and folder != above:
            folder.chmod(0o755)


AS_NOBODY = """
import os, sys
from stg_core.cli.main import main
words = ["group", sys.argv[2], "--k", "2"]
assert main(words) == 0  # loads all that it needs, while it may
os.seteuid(65_534)
try:
    open(os.path.join(os.environ["STG_HOME"], "new"), "w")
except PermissionError:
    sys.exit(main(words) or main(["choose", sys.argv[2]]))
"""


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root becomes another user"
)
def test_a_home_without_the_right_to_write_is_read(
    filled: Store, digits_result: TrainingResult
) -> None:
    run = filled.save(digits_result)
    open_to_all(filled.folder)
    words = [sys.executable, "-c", AS_NOBODY, "-", run.id]
    done = subprocess.run(
        words, env={**os.environ, "STG_HOME": str(filled.folder)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "suggested" in done.stdout
