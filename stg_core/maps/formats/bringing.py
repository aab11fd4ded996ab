"""Looking at a log that exists, and bringing it home as a logged run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from stg_core.maps.formats.answers import Answers, Look, require_answers
from stg_core.maps.formats.keeping import Keeper, checked_tasks
from stg_core.maps.formats.recognise import COMMON_NAMES, ExistingLog, recognise
from stg_core.maps.log_begin import LONGEST_NAME, checked_name
from stg_core.maps.log_folder import LogFolder, logs_folder, now, told
from stg_core.system.errors import UserError
from stg_core.system.words import named

Progress = Callable[[str, float], None]
FOR_TASKS = ("tasks", "labels", "outputs")  # what has to be known before tasks are
SCRATCH = "scratch"  # within the folder that is built
PATIENCE = 2.0  # seconds that another process may take to end


def look(paths: Sequence[Path], answers: Answers | None = None) -> Look:
    """What the beginning of a log shows, and what it does not say; its `problem` where it is none.

    paths: a folder, or several that are tasks of one log, or files.
    """
    answers = answers or Answers()
    name = answers.name or name_of(paths)
    taken = LogFolder.named(name, logs_folder()).head() is not None
    try:
        found = recognise(paths, answers)
        log, notes = found.log, found.notes
        problem = log.problem or _problem_of_name(name)
        questions = tuple(log.questions)
        unknown = any(q.field in FOR_TASKS and q.must_be_answered for q in questions)
        tasks = () if unknown else checked_tasks(log.tasks)
        points, estimated = log.points
        return Look(
            log.format,
            name,
            points,
            estimated,
            tuple(task.name for task in tasks),
            log.n_epochs,
            tuple(log.rows),
            questions,
            (*log.notes, *notes),
            problem,
            taken,
        )
    except UserError as error:
        return Look(name=name, problem=str(error), name_is_taken=taken)


def bring(
    paths: Sequence[Path], answers: Answers | None = None, *, progress: Progress | None = None
) -> str:
    """Reads a log into a run of `STG_HOME`; the id of the run, such as "log:my-run".

    progress: called with what is done and its share; what it raises ends the work, and nothing is
    kept. Raises UserError for a log that cannot be read, for questions that nobody answered, and
    for a name that is taken unless it is to be replaced. It is whole or not there, whatever ends
    the process.
    """
    answers = answers or Answers()
    found = recognise(paths, answers)
    log = found.log
    if log.problem:
        raise UserError(log.problem)
    require_answers(log.questions)
    name = checked_name(answers.name or name_of(paths))
    target = LogFolder.named(name, logs_folder())
    _check_free(target, name, answers)
    with _building(target.path) as folder:
        tell = _telling(log, progress)
        log = log.prepared(folder / SCRATCH, tell)
        if log.problem:
            raise UserError(log.problem)
        keeper = Keeper(folder, log.tasks, log.n_epochs or 0, log.points[0] or 0)
        keeper.notes += [*log.notes, *found.notes]
        log.read(keeper, tell)
        shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        keeper.finish(name, log.format, _origin(paths, found.log, answers))
        _check_free(target, name, answers)
        _put_in_place(folder, target.path)
    return target.id


def name_of(paths: Sequence[Path]) -> str:
    """A name for the run of a log, from the names of its folders or files."""
    resolved = [Path(path).expanduser().resolve() for path in paths] or [Path("log")]
    own = resolved[0]
    if len(resolved) > 1:
        own = next((p for p in own.parents if all(p in each.parents for each in resolved)), own)
    while own.name.lower() in COMMON_NAMES and own.parent.name:
        own = own.parent
    name = re.sub(r"\.(jsonl|json|npz|npy|csv|tsv|parquet|pt|pth|gz)$", "", own.name)
    shown = "".join(c if c.isprintable() else " " for c in name)
    return " ".join(shown.split())[:LONGEST_NAME] or "log"


def _problem_of_name(name: str) -> str:
    try:
        checked_name(name)
    except UserError as error:
        return str(error)
    return ""


def _check_free(target: LogFolder, name: str, answers: Answers) -> None:
    """Raises UserError where there is a run of that name that is not to be replaced."""
    head = target.head()
    if head is None:
        return
    if not answers.replace:
        raise UserError(
            f"There is a log {named(name)} already: take another name, or say that it is to be"
            " replaced."
        )
    if target.logging(head.ranks):
        raise UserError(f"Somebody is logging into {named(name)} now: take another name.")


@contextmanager
def _building(target: Path) -> Iterator[Path]:
    """A folder beside the target, gone when the block ends; left by a process that was killed, it
    is removed by the next that brings a log of that name."""
    folder = target.with_name(f".{target.name}.part")
    with told():
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(target.with_name(f".{target.name}.part.lock"))
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise UserError(
            f"Another process is bringing a log of the name {named(target.name)}: wait until it has"
            " ended, or take another name."
        ) from None
    try:
        shutil.rmtree(folder, ignore_errors=True)
        with told():
            if not target.exists() and _leaving(target).exists():
                _leaving(target).rename(target)  # killed between two renames
            folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


@told()
def _put_in_place(folder: Path, target: Path) -> None:
    """Renames; whatever was there leaves first."""
    leaving = _leaving(target)
    shutil.rmtree(leaving, ignore_errors=True)
    if target.exists():
        target.rename(leaving)
    folder.rename(target)
    shutil.rmtree(leaving, ignore_errors=True)


def _leaving(target: Path) -> Path:
    """Where what is replaced is for a moment."""
    return target.with_name(f".{target.name}.part.replaced")


def _telling(log: ExistingLog, progress: Progress | None) -> Callable[[str, int], None]:
    """Tells shares of all bytes that are to be read."""
    total = max(1, sum(path.stat().st_size for path in log.files))
    read = 0

    def tell(what: str, size: int) -> None:
        nonlocal read
        read += size
        if progress is not None:
            progress(what, min(read / total, 0.99))

    return tell


def _origin(paths: Sequence[Path], log: ExistingLog, answers: Answers) -> dict[str, Any]:
    """What was read, from where, in which format, and what was said of it."""
    said = {name: value for name, value in asdict(answers).items() if value not in (None, False)}
    return {
        "format": log.format,
        "paths": [str(Path(path).expanduser().resolve()) for path in paths],
        "files": len(log.files),
        "bytes": sum(path.stat().st_size for path in log.files),
        "read": now(),
        "answers": {name: str(v) if isinstance(v, Path) else v for name, v in said.items()},
    }
