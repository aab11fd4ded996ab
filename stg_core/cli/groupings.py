"""Commands that group the tasks of a run, and say how good that is."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stg_core.cli.options import (
    Answer,
    Command,
    add_grouping_options,
    add_input_options,
    add_method_options,
    grouping_from,
    space_from,
    whole_numbers,
)
from stg_core.cli.printing import agreement_text, choice_text, grouping_text, layout_text
from stg_core.cli.progress import tell_of_steps
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.system.spreadsheets import as_text

if TYPE_CHECKING:
    from stg_core.grouping.agreement import Reference
    from stg_core.grouping.memberships import Grouping, TaskSpace
    from stg_core.maps.summary import DataMapSummary


def add_commands(command: Command) -> None:
    group = command("group", _group, "Group the tasks of a run.")
    maps = command("group-maps", _group_maps, "Group the tasks of data maps that lie on disk.")
    agreement = command("agreement", _agreement, "Hold a grouping against labels of the tasks.")
    choose = command("choose", _choose, "Tell how good every k is, and suggest one.")
    layout = command("layout", _layout, "Lay the tasks out as a map and as a dendrogram.")
    add_grouping_options(group)
    _add_maps_options(maps)
    add_grouping_options(agreement)
    agreement.add_argument(
        "--reference", type=Path, metavar="FILE.csv", help="lines task,label (default: built in)"
    )
    agreement.add_argument(
        "--every-k", action="store_true", help="with --json also the scores for k from 2 to 40"
    )
    add_method_options(choose)
    add_input_options(choose)
    add_input_options(layout)
    layout.add_argument("--how", default="mds", help="mds, pca or umap (default mds)")


def _group(options: argparse.Namespace) -> Answer:
    from stg_core.grouping.prevalence import explained_prevalence

    run = Store().run(options.run)
    space, grouping = grouping_from(options, run)
    explained = explained_prevalence(run.summary, grouping)
    answer = {
        **_described_grouping(run, space, grouping),
        "tasks": grouping.tasks,
        "memberships": grouping.memberships,
        "labels": grouping.labels,
        "quality": grouping.quality,
        **_described_labels(run.summary),
        "adjusted": space.adjusted,
        "prevalence_explained": asdict(explained) if explained else None,
    }
    return answer, grouping_text(grouping, explained)


def _add_maps_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("maps", type=Path, metavar="MAPS.npy", help="data maps (E, 2, T, N)")
    parser.add_argument("labels", type=Path, metavar="LABELS.npy", help="labels (N, T)")
    parser.add_argument("--epochs", type=whole_numbers, metavar="2,4,…", help="(E,), default 2,3,…")
    parser.add_argument("--names", type=Path, metavar="FILE", help="of the tasks, one a line")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="writes the memberships there")
    parser.add_argument("--k", type=int, required=True, help="number of clusters")
    add_method_options(parser)


def _group_maps(options: argparse.Namespace) -> Answer:
    from stg_core.grouping.memberships import TaskSpace, check_choices, group_tasks
    from stg_core.maps.on_disk import read_maps
    from stg_core.maps.summary import summarise

    given = read_maps(options.maps, options.labels, options.epochs, options.names)
    check_choices(len(given.tasks), options.k, options.fuzzifier, options.method)
    space = TaskSpace(summarise(given.maps, given.labels, given.tasks, given.epochs))
    grouping = group_tasks(space, options.k, options.fuzzifier, options.method)
    if options.csv:
        _write_memberships(options.csv, grouping)
    answer = {
        "maps": str(options.maps),
        "k": grouping.k,
        "fuzzifier": grouping.fuzzifier,
        "method": grouping.method,
        "recorded_epochs": space.epochs,
        "distances": "projected" if space.projected else "exact",
        "way": grouping.way,
        "problem": grouping.problem,
        "uncertain": grouping.uncertain,
        "not_grouped": grouping.left_out,
        "tasks": grouping.tasks,
        "memberships": grouping.memberships,
        "labels": grouping.labels,
        "quality": grouping.quality,
    }
    return answer, grouping_text(grouping)


def _write_memberships(path: Path, grouping: Grouping) -> None:
    """A row for each task, with its share of each cluster."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["task", *(f"cluster {j + 1}" for j in range(grouping.k))])
            for task, shares in zip(grouping.tasks, grouping.memberships.tolist(), strict=True):
                rows.writerow([as_text(task), *shares])
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}.") from None


def _described_labels(summary: DataMapSummary) -> dict[str, Any]:
    """Of the tasks that have labels: how many are positives and missing, and what they share."""
    from stg_core.maps.labels import has_labels, missing_share, overlap, prevalence

    grouped = has_labels(summary)
    return {
        "prevalence": prevalence(summary)[grouped],
        "missing_share": missing_share(summary)[grouped],
        "overlap": overlap(summary)[grouped][:, grouped].round(4),
    }


def _choose(options: argparse.Namespace) -> Answer:
    from stg_core.engine.derived import kept_choice

    store = Store()
    run = store.run(options.run)
    space = space_from(options, run)
    choice = kept_choice(store, run, space, options.fuzzifier, options.method, tell_of_steps())
    answer = {
        "run": run.id,
        "fuzzifier": options.fuzzifier,
        "method": options.method,
        "recorded_epochs": space.epochs,
        "features": space.features,
        **asdict(choice),
    }
    return answer, choice_text(choice)


def _layout(options: argparse.Namespace) -> Answer:
    from stg_core.engine.derived import kept_layout
    from stg_core.grouping.layout import dendrogram

    store = Store()
    run = store.run(options.run)
    space = space_from(options, run)
    found = kept_layout(store, run, space, options.how, tell_of_steps())
    answer = {
        "run": run.id,
        "how": options.how,
        "recorded_epochs": space.epochs,
        "features": space.features,
        "tasks": space.tasks,
        **asdict(found),
        "dendrogram": asdict(dendrogram(space)),
    }
    return answer, layout_text(space.tasks, found)


def _agreement(options: argparse.Namespace) -> Answer:
    from stg_core.grouping.agreement import agreement_with, scores_by_k

    run = Store().run(options.run)
    space, grouping = grouping_from(options, run)
    reference = _reference_from(options.reference, run, space.tasks)
    found = agreement_with(reference, grouping)
    answer = {
        **_described_grouping(run, space, grouping),
        "labels": grouping.labels,
        **asdict(found),
        "left_out": reference.left_out,
    }
    if options.every_k:
        by_k = scores_by_k(reference, space, options.fuzzifier, options.method)
        answer["scores_by_k"] = {
            k: {name: asdict(score) for name, score in scores.items()} for k, scores in by_k
        }
    return answer, "\n".join(filter(None, [agreement_text(found), grouping.problem]))


def _described_grouping(run: Run, space: TaskSpace, grouping: Grouping) -> dict[str, Any]:
    return {
        "run": run.id,
        "k": grouping.k,
        "fuzzifier": grouping.fuzzifier,
        "method": grouping.method,
        "recorded_epochs": space.epochs,
        "features": space.features,
        "distances": "projected" if space.projected else "exact",
        "way": grouping.way,
        "problem": grouping.problem,
        "uncertain": grouping.uncertain,
        "not_grouped": grouping.left_out,
    }


def _reference_from(path: Path | None, run: Run, tasks: Sequence[str]) -> Reference:
    from stg_core.grouping.agreement import MAX_REFERENCE_BYTES, built_in_reference, read_reference

    if path:
        try:
            with path.open("rb") as file:
                return read_reference(file.read(MAX_REFERENCE_BYTES + 1), tasks)
        except OSError as error:
            raise UserError(f"Cannot read {path}: {error.strerror}.") from None
    reference = built_in_reference(run.spec.group, tasks)
    if reference is None:
        raise UserError(
            f"No labels of the tasks of {run.id} are known: give them with --reference FILE.csv,"
            " one line task,label for each."
        )
    return reference
