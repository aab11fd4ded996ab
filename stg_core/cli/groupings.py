"""Commands that group the tasks of a run, and say how good that is."""

from __future__ import annotations

import argparse
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
)
from stg_core.cli.printing import agreement_text, choice_text, grouping_text, layout_text
from stg_core.cli.progress import tell_of_steps
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError

if TYPE_CHECKING:
    from stg_core.grouping.agreement import Reference
    from stg_core.grouping.memberships import Grouping, TaskSpace
    from stg_core.maps.summary import DataMapSummary


def add_commands(command: Command) -> None:
    group = command("group", _group, "Group the tasks of a run.")
    agreement = command("agreement", _agreement, "Hold a grouping against labels of the tasks.")
    choose = command("choose", _choose, "Tell how good every k is, and suggest one.")
    layout = command("layout", _layout, "Lay the tasks out as a map and as a dendrogram.")
    add_grouping_options(group)
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
