"""What to train, as a frozen dataclass whose canonical JSON, hashed, is the key of its result."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from stg_core.maps.recorder import default_recorded_epochs
from stg_core.system.errors import UserError
from stg_core.system.words import counted
from stg_core.tasks.groups import GROUPS, TaskGroup

BUILT_IN_MODELS = ("mlp", "resnet18", "resnet34", "small_cnn", "tiny_cnn")
AUGMENTATIONS = ("none", "shift", "shift+flip")
LOGGED = "logged"  # in place of a model, where another program trained it
LOGITS_KEPT_OF = 20  # epochs at most
HIDDEN_WIDTHS, DROPOUT = (256, 128), 0.2  # of the model mlp
EPOCHS, EPOCHS_OF_ROWS = 10, 30  # by default: an epoch of a table has few steps, and takes no time
TINY, SMALL = 12, 64  # pixels: images up to that side have a model of that name


def default_model(group: TaskGroup) -> str:
    """The backbone that suits the points of a group."""
    if group.has_rows:
        return "mlp"
    if not group.is_own:
        return "tiny_cnn" if group.dataset == "digits" else "resnet18"
    side = max(group.point_shape[:2])
    return "tiny_cnn" if side <= TINY else "small_cnn" if side <= SMALL else "resnet18"


def default_epochs(group: TaskGroup) -> int:
    """For how many epochs a group is trained where nothing else is said."""
    return EPOCHS_OF_ROWS if group.has_rows else EPOCHS


@dataclass(frozen=True)
class TrainingSpec:
    """One training: of a group's `tasks` with their `task_weights`, from a seed.

    `tasks` default to all of the group, `task_weights` to 1 each, `model` to what suits the points,
    `recorded_epochs` to five spread evenly (an empty tuple keeps no data maps). With
    `single_task_models`, one model per task is trained and their results are merged. With
    `training_images`, only so many points are trained on, always the same ones; 0 stands for all.
    `hidden_widths` and `dropout` are those of the model mlp, or of one's own that asks for them.
    `width` is a factor on the channels and hidden units of the model. With `starts_from`, the model
    begins with the weights that another training of the same tasks and model ended with. With
    `branches`, so many copies of the model are trained at once, of which every task chooses one
    (see `training.branches`), and no data maps are kept.
    Raises UserError for settings that cannot be trained.
    """

    group: TaskGroup
    tasks: tuple[str, ...] = ()
    task_weights: tuple[float, ...] = ()
    model: str = ""
    epochs: int = 10
    recorded_epochs: tuple[int, ...] | None = None
    seed: int = 0
    batch_size: int = 256
    learning_rate: float = 1e-3
    augmentation: str = "none"
    single_task_models: bool = False
    training_images: int = 0
    hidden_widths: tuple[int, ...] = HIDDEN_WIDTHS
    dropout: float = DROPOUT
    width: float = 1.0
    starts_from: TrainingSpec | None = None
    branches: int = 1

    def __post_init__(self) -> None:
        def settle(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        settle("tasks", tuple(self.tasks) or self.group.task_names)
        settle("task_weights", tuple(map(float, self.task_weights)) or (1.0,) * len(self.tasks))
        settle("model", self.model or default_model(self.group))
        settle("width", float(self.width))
        if self.recorded_epochs is None:
            usual = default_recorded_epochs(self.epochs) if self.branches == 1 else ()
            settle("recorded_epochs", usual)
        settle("recorded_epochs", tuple(sorted(set(self.recorded))))
        self._check()

    def _check(self) -> None:
        known = dict.fromkeys(self.group.task_names)  # of a thousand names, a list takes long
        if unknown := [t for t in self.tasks if t not in known]:
            raise UserError(
                f"The group {self.group.name} has no task {', '.join(unknown)};"
                f" choose from {', '.join(known)}."
            )
        if len(set(self.tasks)) < len(self.tasks):
            raise UserError("Each task can be trained once only; name every task a single time.")
        if len(self.task_weights) != len(self.tasks):
            raise UserError(
                f"{len(self.tasks)} tasks need {len(self.tasks)} task weights,"
                f" and {len(self.task_weights)} were given."
            )
        if not all(math.isfinite(w) and w >= 0 for w in self.task_weights):
            raise UserError("Task weights must be finite numbers of 0 or more.")
        if self.epochs < 1:
            raise UserError(f"A training needs at least 1 epoch, and {self.epochs} were asked for.")
        if wrong := [e for e in self.recorded if not 2 <= e <= self.epochs]:
            raise UserError(
                f"Recorded epochs lie between 2 and the last ({self.epochs});"
                f" {', '.join(map(str, wrong))} cannot be recorded."
            )
        if self.batch_size < 2:
            raise UserError("Batch normalisation needs a batch size of at least 2.")
        if self.training_images < 0 or self.training_images == 1:
            raise UserError("A training needs at least 2 training images; 0 stands for all.")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise UserError("The learning rate must be a positive number, such as 0.001.")
        if not 0 <= self.seed < 2**31:
            raise UserError("The seed must be a whole number from 0 to 2147483647.")
        if self.augmentation not in AUGMENTATIONS:
            raise UserError(f"Choose an augmentation from {', '.join(AUGMENTATIONS)}.")
        if self.augmentation != "none" and self.group.has_rows:
            raise UserError("Augmentation moves images, and these points are rows: choose none.")
        if not all(type(w) is int and w >= 1 for w in self.hidden_widths):
            raise UserError("Hidden widths are whole numbers of 1 or more, such as 256,128.")
        if not 0 <= self.dropout < 1:
            raise UserError("The dropout is a share from 0 to below 1, such as 0.2.")
        if not (math.isfinite(self.width) and self.width > 0):
            raise UserError("The width is a positive factor, such as 1.5; 1 is the usual model.")
        if self.starts_from is not None:
            self._check_start(self.starts_from)
        if self.branches != 1:
            self._check_branches()

    def _check_branches(self) -> None:
        if not 1 <= self.branches <= len(self.tasks):
            raise UserError(
                f"{counted(len(self.tasks), 'task')} can choose among 1 to {len(self.tasks)}"
                f" branches, and {self.branches} were asked for."
            )
        if self.single_task_models or self.recorded:
            raise UserError(
                "A model with branches serves all tasks at once and keeps no data maps, since its"
                " outputs are mixed while it trains: leave recorded epochs out."
            )

    def _check_start(self, start: TrainingSpec) -> None:
        def model_of(spec: TrainingSpec) -> tuple[object, ...]:
            how = spec.model, spec.width, spec.hidden_widths, spec.branches
            return spec.group, spec.tasks, *how

        if self.single_task_models or start.single_task_models:
            raise UserError(
                "One model per task cannot start from other weights, nor be started from."
            )
        if model_of(start) != model_of(self):
            raise UserError(
                "A training starts from the weights of the same model of the same tasks:"
                f" {start.title} is another."
            )

    @property
    def recorded(self) -> tuple[int, ...]:
        """The recorded epochs, never None."""
        return self.recorded_epochs or ()

    @property
    def all_binary(self) -> bool:
        """Whether each of its tasks is a yes or no."""
        return all(self.group.task(name).kind == "binary" for name in self.tasks)

    @property
    def n_outputs(self) -> int:
        """How many outputs a model of its tasks has."""
        return sum(self.group.task(name).width for name in self.tasks)

    @property
    def logit_epochs(self) -> tuple[int, ...]:
        """The epochs whose logits are kept: all, or 20 spread evenly to the last."""
        kept = min(self.epochs, LOGITS_KEPT_OF)
        return tuple(round(self.epochs * step / kept) for step in range(1, kept + 1))

    @property
    def logged(self) -> bool:
        """Whether another program trained it, and logged what it learned."""
        return self.model == LOGGED

    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits that name the result of this spec.

        The name of a data set of one's own and the families of its tasks are in no key: it is known
        by its digest, and neither changes what is learned.
        """
        plain = self.to_json()
        if self.starts_from is not None:
            plain["starts_from"] = self.starts_from.key
        if self.group.is_own:
            tasks = [
                {name: value for name, value in task.items() if name != "family"}
                for task in plain["group"]["tasks"]
            ]
            plain["group"] = {"digest": self.group.digest, "tasks": tasks}
        canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """For people; what is as usual is left out, so that two specs may have the same."""
        if self.logged:
            return f"{self.group.dataset}, logged, {counted(self.epochs, 'epoch')}"
        model = self.model if self.width == 1 else f"{self.model} {self.width:g} times as wide"
        parts = [self.group.title, model, counted(self.epochs, "epoch"), f"seed {self.seed}"]
        n_tasks, n_all = len(self.tasks), len(self.group.tasks)
        if n_tasks == 1 < n_all:
            parts.append(f"task {self.tasks[0]} alone")
        elif n_tasks < n_all:
            parts.append(f"{n_tasks} of {counted(n_all, 'task')}")
        if set(self.task_weights) != {1.0}:
            parts.append("weighted tasks")
        if self.training_images:
            noun = "point" if self.group.has_rows else "image"
            parts.append(f"{counted(self.training_images, noun)}")
        if self.single_task_models:
            parts.append("one model per task")
        if self.branches > 1:
            parts.append(f"{self.branches} branches")
        if self.starts_from is not None:
            of_start = counted(self.starts_from.epochs, "epoch")
            parts.append(f"goes on from {of_start} of seed {self.starts_from.seed}")
        return ", ".join(parts)

    def for_task(self, task: str) -> TrainingSpec:
        """The same training of a single task (STL)."""
        return dataclasses.replace(
            self,
            tasks=(task,),
            task_weights=(1.0,),
            single_task_models=False,
            starts_from=None,
            branches=1,
        )

    def ended_after(self, epoch: int) -> TrainingSpec:
        """The same training ended after an epoch: its recorded epochs until then, and that one.

        What is learned in an epoch depends on no later one, so that its result is to the last bit
        what the whole training had after that epoch; but for branches, whose temperature falls
        until the last.
        """
        recorded = {e for e in (*self.recorded, epoch) if 2 <= e <= epoch}
        kept = tuple(recorded) if self.recorded else ()
        return dataclasses.replace(self, epochs=epoch, recorded_epochs=kept)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; what has its default is left out, so that new fields keep old keys."""
        fields = dataclasses.asdict(self)
        defaults = {f.name: f.default for f in dataclasses.fields(self) if f.name != "epochs"}
        plain = {k: v for k, v in fields.items() if defaults.get(k, ...) != v}
        plain["group"] = self.group.to_json()
        if self.starts_from is not None:
            plain["starts_from"] = self.starts_from.to_json()
        if self.tasks == self.group.task_names:
            del plain["tasks"]
        if set(self.task_weights) == {1.0}:
            del plain["task_weights"]
        text = json.dumps(plain)
        return dict(json.loads(text))

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> TrainingSpec:
        """The inverse of `to_json`; raises UserError for anything that is not a spec."""
        try:
            rest: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()
            }
            rest["group"] = TaskGroup.from_json(plain["group"])
            if "starts_from" in plain:
                rest["starts_from"] = cls.from_json(plain["starts_from"])
            return cls(**rest)
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"This is not a training spec ({error!r}).") from error

    def command(self) -> str:
        """The command line that trains this spec; empty where no command can say it."""
        built_in = GROUPS.get(self.group.name) == self.group
        if not (built_in or self.group.is_own) or self.tasks != self.group.task_names:
            return ""
        if self.starts_from is not None or self.branches > 1:
            return ""
        words = [
            "python -m stg_core extract",
            f"--group {self.group.name}",
            f"--model {self.model}",
        ]
        words += [f"--epochs {self.epochs}", f"--seed {self.seed}"]
        if self.recorded != default_recorded_epochs(self.epochs):
            words.append(f"--recorded-epochs {_listed(self.recorded)}")
        for option in (
            *("batch_size", "learning_rate", "augmentation", "training_images"),
            *("hidden_widths", "dropout", "width"),
        ):
            value = getattr(self, option)
            if value != type(self).__dataclass_fields__[option].default:
                said = _listed(value) if isinstance(value, tuple) else value
                words.append(f"--{option.replace('_', '-')} {said}")
        if self.single_task_models:
            words.append("--single-task-models")
        return " ".join(words)


def _listed(values: Sequence[int]) -> str:
    return ",".join(map(str, values))
