"""Commands about data sets of one's own: add, list and check, rename, remove."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stg_core.cli.options import Answer, Command
from stg_core.cli.printing import asked, data_set_line, data_set_text
from stg_core.cli.progress import tell_of_share
from stg_core.cli.runs import agreed
from stg_core.system.errors import UserError
from stg_core.system.words import named
from stg_core.tasks.datasets import (
    DataSet,
    data_set,
    data_sets,
    is_taken,
    remove,
    rename,
    source_changed,
)
from stg_core.tasks.groups import KINDS_OF_TASKS, SPLITS, Kind

if TYPE_CHECKING:
    from stg_core.tasks.checks import Facts
    from stg_core.tasks.choices import Choices

NONE_YET = "No data sets of yours yet: python -m stg_core add FILE"


def add_commands(command: Command) -> None:
    add = command("add", _add, "Keep a data set of yours: a table, arrays, a folder of images.")
    add.add_argument(
        "source", type=Path, metavar="SOURCE", help="CSV, TSV, Parquet, .npz, ARFF, or a folder"
    )
    _add_options_of_columns(add)
    _add_options_of_labels(add)
    add.add_argument("--name", default="", help="default: that of the file")
    add.add_argument("--replace", action="store_true", help="the data set of that name, if any")
    add.add_argument("--test-share", type=float, default=0.2, metavar="SHARE")
    add.add_argument("--seed", type=int, default=0, help="of the split")
    add.add_argument("--side", type=int, default=32, metavar="PIXELS", help="of images")
    add.add_argument(
        "--one-task-per-class", action="store_true", help="folders of classes: yes or no for each"
    )
    add.set_defaults(cancelled="Cancelled. Nothing was kept.")

    data = command("data", _data, "List your data sets, or check, rename or remove one.")
    data.add_argument("name", nargs="?", metavar="NAME")
    data.add_argument("--rename", metavar="NEW")
    data.add_argument("--remove", action="store_true", help="delete it for good; runs stay")
    data.add_argument("--yes", action="store_true", help="do not ask")


def _add_options_of_columns(add: argparse.ArgumentParser) -> None:
    several: dict[str, Any] = {"action": "append", "default": [], "metavar": "PATTERN"}
    add.add_argument("--task", **several, help="column of labels, or a pattern such as 'NR-*'")
    add.add_argument("--feature", **several, help="column of the input")
    add.add_argument("--leave-out", **several, help="column of neither")
    add.add_argument("--id", default="", metavar="COLUMN", help="what a point is called")
    add.add_argument("--text", default="", metavar="COLUMN", help="what is shown of a point")
    add.add_argument("--split", default="", metavar="COLUMN", help="says train or test")
    add.add_argument(
        "--hash-text", default="", metavar="COLUMN", help="learn from the characters of a text"
    )
    add.add_argument("--labels", type=Path, metavar="FILE.xml", help="of an ARFF file")


def _add_options_of_labels(add: argparse.ArgumentParser) -> None:
    add.add_argument(
        "--kind",
        action="append",
        default=[],
        metavar="TASK=KIND",
        help=f"of a task or a pattern: {', '.join(KINDS_OF_TASKS)}",
    )
    add.add_argument(
        "--missing", action="append", default=[], metavar="VALUE", help="--missing=-1: no label"
    )
    add.add_argument("--no", metavar="VALUE", help="--no=-1: the negative label beside 1")
    add.add_argument(
        "--families",
        type=Path,
        metavar="FILE.csv",
        help="lines of task,family that belong together",
    )
    add.add_argument(
        "--family-before", default="", metavar="TEXT", help="'-': NR-AR is of the family NR"
    )


def choices_from(options: argparse.Namespace) -> Choices:
    from stg_core.tasks.choices import Choices, read_families

    families: dict[str, str] = {}
    if options.families:
        try:
            families = read_families(options.families.read_bytes())
        except OSError as error:
            raise UserError(f"{options.families} cannot be read ({error.strerror}).") from error
    return Choices(
        name=options.name,
        tasks=tuple(options.task),
        features=tuple(options.feature),
        left_out=tuple(options.leave_out),
        id=options.id,
        text=options.text,
        split=options.split,
        hash_text=options.hash_text,
        kinds=dict(map(_kind, options.kind)),
        missing=tuple(options.missing),
        no=options.no,
        families=families,
        family_before=options.family_before,
        test_share=options.test_share,
        seed=options.seed,
        side=options.side,
        one_task_per_class=options.one_task_per_class,
        labels=options.labels,
        replace=options.replace,
    )


def _kind(said: str) -> tuple[str, Kind]:
    task, _, kind = said.rpartition("=")
    if not task or kind not in KINDS_OF_TASKS:
        raise UserError(
            f"Write a kind as TASK=KIND, one of {', '.join(KINDS_OF_TASKS)}, and not as"
            f" {named(said)}."
        )
    return task, cast("Kind", kind)


def _add(options: argparse.Namespace) -> Answer:
    from stg_core.tasks.checks import facts_of
    from stg_core.tasks.sources import add_source, name_of

    choices = choices_from(options)
    name = choices.name or name_of(options.source)
    if is_taken(name) and not choices.replace and sys.stdin.isatty():
        if not asked(f"There is a data set {name} already. Replace it?"):
            return {"added": None}, "Nothing was added."
        choices = replace(choices, replace=True)
    tell = tell_of_share()
    try:
        found = add_source(options.source, choices, tell)
    finally:
        tell("", 1.0)  # what follows stands on a line of its own
    facts = facts_of(found)
    following = f"python -m stg_core extract --group {found.name}"
    answer = {**described(found, facts), "next": following}
    return answer, f"{data_set_text(found, facts)}\n\nNext: {following}"


def _data(options: argparse.Namespace) -> Answer:
    if options.name is None:
        if options.rename or options.remove:
            raise UserError("Say of which data set: python -m stg_core data NAME …")
        every = data_sets()
        lines = [data_set_line(one) for one in every] or [NONE_YET]
        return {"data_sets": [_outlined(one) for one in every]}, "\n".join(lines)
    if options.remove:
        return _remove(options)
    if options.rename:
        renamed = rename(options.name, options.rename)
        return _outlined(renamed), data_set_line(renamed)
    return _checked(options.name)


def _checked(name: str) -> Answer:
    from stg_core.tasks.checks import facts_of

    found = data_set(name)
    facts = facts_of(found)
    changed = source_changed(found)
    text = data_set_text(found, facts, most=len(facts.tasks))
    if source := found.manifest.get("source"):
        text += f"\nFrom {source['path']}, added {found.manifest['created']}"
    if changed:
        text += "\nIts source has changed since: add it again with --replace."
    return {**described(found, facts), "source_changed": changed}, text


def _remove(options: argparse.Namespace) -> Answer:
    found = data_set(options.name)
    if not (options.yes or agreed(f"Delete the data set {found.name} for good?")):
        return {"removed": None}, "Nothing was removed."
    remove(found.name)
    return {"removed": found.name}, f"Removed: {found.name}. Runs of it stay."


def _outlined(found: DataSet) -> dict[str, Any]:
    return {
        "name": found.name,
        "digest": found.digest,
        "points": found.counts,
        "shape": list(found.shape),
        "tasks": list(found.group.task_names),
        "bytes": found.size,
        "created": found.manifest["created"],
        "source": (found.manifest.get("source") or {}).get("path"),
    }


def described(found: DataSet, facts: Facts) -> dict[str, Any]:
    """A data set with the facts of its tasks, as plain JSON."""
    tasks = [
        {
            "name": one.task.name,
            "kind": one.task.kind,
            "values": list(one.task.values),
            "family": one.task.family,
            "labelled": dict(one.labelled),
            "counts": {split: list(one.counts[split]) for split in SPLITS},
            "prevalence": one.prevalence,
            "missing": one.missing,
        }
        for one in facts.tasks
    ]
    more = {"median_overlap": facts.median_overlap, "notes": list(found.manifest["notes"])}
    return {**_outlined(found), "tasks": tasks, **more, "warnings": list(facts.warnings)}
