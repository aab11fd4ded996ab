"""Options that several commands have, and what is made of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stg_core.maps.summary import FEATURES
from stg_core.results.run import Run
from stg_core.system.errors import UserError
from stg_core.tasks.choices import matching
from stg_core.tasks.datasets import find_group
from stg_core.tasks.groups import GROUPS, TaskGroup, custom_group
from stg_core.training.spec import (
    AUGMENTATIONS,
    BUILT_IN_MODELS,
    DROPOUT,
    EPOCHS,
    EPOCHS_OF_ROWS,
    HIDDEN_WIDTHS,
    TrainingSpec,
    default_epochs,
)

if TYPE_CHECKING:
    from stg_core.grouping.memberships import Grouping, TaskSpace

Answer = tuple[dict[str, Any], str]  # as plain JSON, and as text
Command = Callable[
    [str, Callable[[argparse.Namespace], Answer], str], argparse.ArgumentParser
]  # adds a command: its name, what runs it, what it does


def spec_from(options: argparse.Namespace) -> TrainingSpec:
    group = group_from(options)
    return TrainingSpec(
        group=group,
        tasks=tasks_from(options, group),
        model=options.model or "",
        epochs=default_epochs(group) if options.epochs is None else options.epochs,
        recorded_epochs=options.recorded_epochs,
        seed=options.seed,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        augmentation=options.augmentation,
        single_task_models=options.single_task_models,
        training_images=options.training_images,
        hidden_widths=options.hidden_widths,
        dropout=options.dropout,
        width=options.width,
    )


def tasks_from(options: argparse.Namespace, group: TaskGroup) -> tuple[str, ...]:
    """Tasks that are named, or match a pattern, in the order of the group; () for all."""
    named = {
        name for pattern in options.task for name in matching(pattern, group.task_names, "task")
    }
    return (*options.tasks, *(t for t in group.task_names if t in named and t not in options.tasks))


def group_from(options: argparse.Namespace) -> TaskGroup:
    if options.group != "custom":
        if options.classes or options.union or options.dataset:
            raise UserError("--dataset, --classes and --union belong to --group custom.")
        return find_group(options.group)
    unions = {}
    for union in options.union:
        name, equals, members = union.partition("=")
        if not (name and equals and members):
            raise UserError(f"Write a union as NAME=class,class and not as {union!r}.")
        unions[name] = members.split(",")
    return custom_group(options.dataset or "cifar10", options.classes, unions)


def space_from(options: argparse.Namespace, run: Run) -> TaskSpace:
    from stg_core.grouping.memberships import TaskSpace

    return TaskSpace(run.summary, options.recorded_epochs, options.features)


def grouping_from(options: argparse.Namespace, run: Run) -> tuple[TaskSpace, Grouping]:
    from stg_core.grouping.memberships import group_tasks

    space = space_from(options, run)
    return space, group_tasks(space, options.k, options.fuzzifier, options.method)


def whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list such as 2,4,6") from None


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def add_training_options(parser: argparse.ArgumentParser, required: bool = True) -> None:
    parser.add_argument("--group", required=required, help=f"{', '.join(GROUPS)}, custom, or yours")
    parser.add_argument("--tasks", type=words, default=(), help="some of the group: task,task,…")
    parser.add_argument(
        "--task", action="append", default=[], metavar="PATTERN", help="one of them, or a pattern"
    )
    parser.add_argument("--dataset", help="custom: the data set (default cifar10)")
    parser.add_argument("--classes", type=words, default=(), help="custom: class,class,…")
    parser.add_argument(
        "--union", action="append", default=[], metavar="NAME=CLASS,CLASS", help="custom: one task"
    )
    parser.add_argument("--model", help=f"{', '.join(BUILT_IN_MODELS)} or your_module:name")
    parser.add_argument(
        "--epochs", type=int, help=f"default {EPOCHS}, of rows of a table {EPOCHS_OF_ROWS}"
    )
    parser.add_argument("--recorded-epochs", type=whole_numbers, metavar="2,4,…")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--augmentation", choices=AUGMENTATIONS, default="none")
    parser.add_argument(
        "--hidden-widths", type=whole_numbers, default=HIDDEN_WIDTHS, metavar="256,128", help="mlp"
    )
    parser.add_argument("--dropout", type=float, default=DROPOUT, help=f"mlp: default {DROPOUT}")
    parser.add_argument(
        "--width", type=float, default=1.0, help="of the model, as a factor: default 1"
    )
    parser.add_argument(
        "--training-images", type=int, default=0, metavar="N", help="of all, always the same ones"
    )
    parser.add_argument(
        "--single-task-models", action="store_true", help="one model per task, merged"
    )


def add_grouping_options(parser: argparse.ArgumentParser) -> None:
    """Of which run, from which data maps, how, and into how many clusters."""
    parser.add_argument("--k", type=int, required=True, help="number of clusters")
    add_method_options(parser)
    add_input_options(parser)


def add_method_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fuzzifier", type=float, default=2.0, help="above 1; larger is softer")
    parser.add_argument("--method", default="soft", help="soft, hard, fcm or points")


def add_input_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="bundled:g2, a key, or its beginning")
    parser.add_argument("--recorded-epochs", type=whole_numbers, metavar="2,4,…")
    parser.add_argument("--features", type=words, metavar=",".join(FEATURES))
