"""`import-log`: a log that another program left becomes a run."""

from __future__ import annotations

import argparse
import csv
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stg_core.cli.options import Answer, Command
from stg_core.cli.progress import tell_of_share
from stg_core.system.errors import UserError
from stg_core.system.words import counted, named
from stg_core.tasks.groups import KINDS_OF_TASKS, Kind

if TYPE_CHECKING:
    from stg_core.maps.formats.answers import Answers, Look, Question

OPTION_OF = {  # which option answers a question
    "name": "--name NAME",
    "tasks": "--tasks NAME NAME …",
    "whole": "--whole or --each-class",
    "classes": "--classes NAME NAME …",
    "labels": "--labels FILE",
    "kind": "--kind KIND, or --kind TASK=KIND",
    "outputs": "--outputs logits, probabilities or confidences",
    "deviation": "--deviation sample or population",
    "epochs": "--epochs NUMBER",
}
EXAMPLE = """
examples:
  stg import-log runs/snli/training_dynamics --each-class
  stg import-log runs/toxic runs/obscene runs/threat --name comments
  stg import-log outputs.npz --look

Read are the training dynamics of Dataset Cartography and what resembles them; which format a file
is of is seen by what it holds. Nothing is changed where it lies.
"""


def add_commands(command: Command) -> None:
    added = command("import-log", _import, "Make a run of a log that another program left.")
    added.formatter_class = argparse.RawDescriptionHelpFormatter
    added.epilog = EXAMPLE
    added.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="folders, of which each is a task; files",
    )
    added.add_argument("--look", action="store_true", help="show what it holds, and bring nothing")
    added.add_argument("--name", help="of the run; default: that of the folder")
    added.add_argument("--replace", action="store_true", help="the run of that name, if any")
    added.add_argument(
        "--tasks", nargs="+", metavar="NAME", help="in the order of the log, or a file of them"
    )
    classes = added.add_mutually_exclusive_group()
    classes.add_argument(
        "--each-class", action="store_true", help="a task for each class against the rest"
    )
    classes.add_argument("--whole", action="store_true", help="all classes are one task")
    added.add_argument(
        "--classes", nargs="+", metavar="NAME", help="in the order of the outputs, or a file"
    )
    added.add_argument("--labels", type=Path, metavar="FILE", help="id,task,… or an .npy file")
    added.add_argument(
        "--kind",
        action="append",
        default=[],
        metavar="[TASK=]KIND",
        help=f"{', '.join(KINDS_OF_TASKS)}",
    )
    added.add_argument("--outputs", choices=("logits", "probabilities", "confidences"))
    added.add_argument(
        "--deviation", choices=("sample", "population"), help="what variability is in coordinates"
    )
    added.add_argument("--epochs", type=int, help="of a file of coordinates")
    added.set_defaults(cancelled="Cancelled. Nothing was kept.")


def _import(options: argparse.Namespace) -> Answer:
    from stg_core.maps.formats.bringing import bring, look

    answers = answers_from(options)
    seen = look(options.paths, answers)
    if options.look:
        return _as_json(seen), look_text(seen)
    if seen.problem:
        raise UserError(seen.problem)
    if open_ := [question for question in seen.questions if question.must_be_answered]:
        raise UserError("\n".join(map(_asked, open_)))
    if seen.name_is_taken and not answers.replace:
        raise UserError(
            f"There is a log {named(seen.name)} already: replace it with --replace, or choose"
            " another name with --name NAME."
        )
    return _brought(bring(options.paths, answers, progress=tell_of_share()))


def _brought(run_id: str) -> Answer:
    from stg_core.results.logged import LoggedRun
    from stg_core.results.store import Store

    run = Store().run(run_id)
    assert isinstance(run, LoggedRun), "a log was brought"
    head, progress = run.head, run.progress
    following = f"python -m stg_core group {run_id} --k 3"
    answer = {
        "run": run_id,
        "name": head.name,
        "format": head.source,
        "points": head.n_points,
        "tasks": [task.name for task in head.tasks],
        "epochs": progress.epoch,
        "recorded_epochs": list(progress.maps),
        "notes": list(progress.notes),
        "next": following,
    }
    shape = (
        f"{counted(head.n_points, 'point')}, {counted(len(head.tasks), 'task')},"
        f" {counted(progress.epoch, 'epoch')}"
    )
    text = [f"{run_id}: {shape}, from {head.source}.", *progress.notes, f"Next: {following}"]
    return answer, "\n".join(text)


def answers_from(options: argparse.Namespace) -> Answers:
    from stg_core.maps.formats.answers import Answers

    return Answers(
        name=options.name,
        tasks=_names(options.tasks),
        whole="each class" if options.each_class else "whole" if options.whole else None,
        classes=_names(options.classes),
        labels=options.labels,
        kind=_kinds(options.kind),
        outputs=options.outputs,
        deviation=options.deviation,
        epochs=options.epochs,
        replace=options.replace,
    )


def _names(said: list[str] | None) -> tuple[str, ...] | None:
    """Names as they were given, from a file of a line each, or from one text with commas."""
    if not said or len(said) > 1:
        return tuple(said) if said else None
    path = Path(said[0])
    if path.suffix in (".txt", ".csv") and path.is_file():
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read ({error}).") from error
        return tuple(line.strip() for line in lines if line.strip())
    return tuple(name.strip() for name in next(csv.reader(said, skipinitialspace=True)))


def _kinds(said: list[str]) -> Kind | dict[str, Kind] | None:
    found: dict[str, Kind] = {}
    for each in said:
        task, _, kind = each.rpartition("=")
        if kind not in KINDS_OF_TASKS or (not task and len(said) > 1):
            raise UserError(
                f"Write a kind as KIND or TASK=KIND, one of {', '.join(KINDS_OF_TASKS)}, and not as"
                f" {named(each)}."
            )
        if not task:
            return cast("Kind", kind)
        found[task] = cast("Kind", kind)
    return found or None


def _asked(question: Question) -> str:
    return f"{question.text} Say it with {OPTION_OF[question.field]}."


def _as_json(seen: Look) -> dict[str, Any]:
    plain = asdict(seen) | {"ready": seen.ready}
    plain["questions"] = [
        asdict(question) | {"option": OPTION_OF[question.field]} for question in seen.questions
    ]
    return plain


def look_text(seen: Look) -> str:
    """What a log holds, its first records, what is asked, and what is wrong."""
    lines = [f"{named(seen.name)}{' (there is a run of that name)' * seen.name_is_taken}"]
    if seen.format:
        about = "about " * seen.points_are_estimated
        counts = [
            "points not known"
            if seen.points is None
            else f"{about}{counted(seen.points, 'point')}",
            counted(len(seen.tasks), "task") if seen.tasks else "tasks without names",
            "epochs not known" if seen.epochs is None else counted(seen.epochs, "epoch"),
        ]
        lines.append(f"{seen.format}: {', '.join(counts)}")
    if seen.tasks:
        lines.append(f"Tasks: {'; '.join(seen.tasks)}")
    lines += [
        "  " + ", ".join(f"{name} {value}" for name, value in row.items()) for row in seen.rows
    ]
    lines += seen.notes
    lines += [
        f"Question: {_asked(question)}" + f" Default: {question.default}." * bool(question.default)
        for question in seen.questions
    ]
    lines.append(f"Problem: {seen.problem}" if seen.problem else "")
    return "\n".join(filter(None, lines))
