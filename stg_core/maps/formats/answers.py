"""What a log does not say of itself, what is asked for it, and what a look at it tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stg_core.system.errors import UserError
from stg_core.tasks.groups import Kind

Classes = Literal["whole", "each class"]
Deviation = Literal["sample", "population"]
Numbers = Literal["logits", "probabilities", "confidences"]


@dataclass(frozen=True)
class Answers:
    """What somebody says of a log; None is not said.

    name: of the run; tasks: their names (T,), in the order of the log, or of its folders; whole:
    what becomes of a log of several classes, one task ("whole") or one per class against the rest
    ("each class"); classes: what they are called, in the order of the logits; labels: a file of
    them, a table of id and a column for each task, or an array (N,) or (N, T) in the order of the
    points; kind: of all tasks, or by name; outputs: what the numbers are, of which "confidences"
    are the probabilities of the true class; deviation: what variability is in a file of
    coordinates; epochs: how many a file of coordinates is of; replace: a run of the same name.
    """

    name: str | None = None
    tasks: Sequence[str] | None = None
    whole: Classes | None = None
    classes: Sequence[str] | None = None
    labels: Path | None = None
    kind: Kind | Mapping[str, Kind] | None = None
    outputs: Numbers | None = None
    deviation: Deviation | None = None
    epochs: int | None = None
    replace: bool = False


@dataclass(frozen=True)
class Question:
    """What a log does not say: the field of `Answers` that answers it, and between which choices.

    default: what is taken where nobody answers; "" where somebody must.
    """

    field: str
    text: str
    choices: tuple[str, ...] = ()
    default: str = ""

    @property
    def must_be_answered(self) -> bool:
        return not self.default


@dataclass(frozen=True)
class Look:
    """What the beginning of a log shows.

    format: in words; name: that the run would have; points, epochs: None where that is not known;
    rows: of a preview; questions: not answered yet; notes: what was guessed or noticed; problem:
    what to mend before it can be brought, in a sentence, or "".
    """

    format: str = ""
    name: str = ""
    points: int | None = None
    points_are_estimated: bool = False
    tasks: tuple[str, ...] = ()
    epochs: int | None = None
    rows: tuple[Mapping[str, Any], ...] = ()
    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""
    name_is_taken: bool = False

    @property
    def ready(self) -> bool:
        """Whether it can be brought as it is."""
        return not self.problem and not any(q.must_be_answered for q in self.questions)


def require_answers(questions: Sequence[Question]) -> None:
    """Raises UserError with what must be answered first."""
    open_ = [question.text for question in questions if question.must_be_answered]
    if open_:
        raise UserError(" ".join(open_))
