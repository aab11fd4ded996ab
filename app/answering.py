"""What exported models say of one point, task by task, in words: for the picture and the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from app.charts.base import number
from app.model_files import TITLES, Models
from app.try_points import Said
from app.words import answer_of
from stg_core.judging.deciding import Decision, answer_to, decision
from stg_core.tasks.groups import Task

Floats = NDArray[np.float64]

TOGETHER, HARD, TRUTH = "together", "hard", "truth"
ALIKE = ("plain", "plain_warm", "stl")  # schemes of several models that are no specialists


@dataclass(frozen=True)
class Answered:
    """All answers to the tasks about one point.

    said: of that point alone; truth: its labels, (T,), NaN where one is missing; None where nobody
    knows them.
    """

    models: Models
    said: Said
    truth: Floats | None = None

    @property
    def several(self) -> bool:
        """Whether models answer together, so that somebody may be decisive."""
        return len(self.models.first.models) > 1

    @property
    def noun(self) -> str:
        """What each of those models is called."""
        return "model" if self.models.first.scheme in ALIKE else "specialist"

    @cached_property
    def decisions(self) -> list[Decision]:
        """How the models of the first file came to their answer to each task."""
        first, average = self.models.first, self.models.about.average
        return [
            decision(
                self.said.each[0][:, self.models.columns[t]],
                self.models.weights[:, t],
                task.kind,
                average,
                first.threshold,
            )
            for t, task in enumerate(self.models.tasks)
        ]

    def columns(self) -> list[str]:
        """Who answers, from left to right: the other schemes, each specialist by its number,
        all together, the strongest alone, and the truth."""
        others = list(self.models.others)
        several = [str(j + 1) for j in range(len(self.models.first.models))]
        if not self.several:
            return [*others, self.models.first.scheme, TRUTH]
        return [*others, *several, TOGETHER, HARD, TRUTH]

    def by(self, who: str, t: int) -> Floats | None:
        """What one of the columns says of a task: probabilities or a number; None of the truth."""
        columns = self.models.columns[t]
        if who in self.said.by_scheme:
            return self.said.by_scheme[who][0, columns].astype(np.float64)
        if who == TOGETHER:
            return self.said.by_scheme[self.models.first.scheme][0, columns].astype(np.float64)
        if who == HARD:
            return self.decisions[t].hard
        if who == TRUTH:
            return None
        return self.said.each[0, int(who) - 1, columns].astype(np.float64)

    def answer(self, who: str, t: int) -> float:
        """An answer as labels write it; NaN where there is none."""
        if who == TRUTH:
            return float("nan") if self.truth is None else float(self.truth[t])
        said = self.by(who, t)
        if said is None or np.isnan(said).any():
            return float("nan")
        return answer_to(said, self.models.tasks[t].kind, self.models.first.threshold)

    def wrong(self, who: str, t: int) -> bool:
        """Whether an answer is known not to be the truth; a number is never simply wrong."""
        truth, own = self.answer(TRUTH, t), self.answer(who, t)
        known = not np.isnan(truth) and not np.isnan(own)
        return known and self.models.tasks[t].kind != "regression" and truth != own

    def sure(self, who: str, t: int) -> float:
        """Between 0 and 1: the probability of a yes, or of the class that is said; else NaN."""
        task, said = self.models.tasks[t], self.by(who, t)
        if task.kind == "regression":
            return float("nan")
        if said is None:
            truth = self.answer(TRUTH, t)
            return truth if task.kind == "binary" else float("nan")
        return float(said[0] if task.kind == "binary" else said.max())

    def written(self, who: str, t: int) -> str:
        """An answer as a cell has it: a probability, a class, a number; of the truth yes or no."""
        task, said = self.models.tasks[t], self.by(who, t)
        if task.kind == "binary" and said is not None:
            return number(float(said[0]))
        return answer_of(task, self.answer(who, t)).replace("-", "−")

    def in_words(self, who: str, t: int) -> str:
        """The same in a sentence: "yes (0.97)", "class B (0.61)", "12.3"."""
        task, sure = self.models.tasks[t], self.sure(who, t)
        said = answer_of(task, self.answer(who, t))
        return said if who == TRUTH or np.isnan(sure) else f"{said} ({number(sure)})"

    def who_decided(self, t: int) -> str:
        """Who was decisive for a task, and what the answer would have been, in a sentence."""
        found = self.decisions[t]
        if found.alone:
            return f"{self.noun} {found.strongest + 1} answers alone"
        if not found.decisive:
            most = found.moves_most
            return (
                f"nobody alone; {self.noun} {most + 1} moves it most: without it"
                f" {self._without(most, t)}"
            )
        each = [f"{self.noun} {j + 1} (without it {self._without(j, t)})" for j in found.decisive]
        return ", ".join(each)

    def _without(self, j: int, t: int) -> str:
        task, said = self.models.tasks[t], self.decisions[t].without[j]
        answer = answer_of(task, answer_to(said, task.kind, self.models.first.threshold))
        sure = {"binary": said[0], "multiclass": said.max()}.get(task.kind)
        return answer if sure is None else f"{answer}, {number(float(sure))}"

    def sentence(self, t: int) -> str:
        """All that is said of a task, for those who do not see the picture."""
        task = self.models.tasks[t]
        parts = [f"{title(who)} {self.in_words(who, t)}" for who in self.models.others]
        first = self.models.first
        if self.several:
            parts += [
                f"{self.noun} {j + 1} of weight {self.models.weights[j, t]:.2f}"
                f" {self.in_words(str(j + 1), t)}"
                for j in range(len(first.models))
            ]
            parts += [f"{who} {self.in_words(who, t)}" for who in (TOGETHER, "hard")]
            parts.append(f"decisive: {self.who_decided(t)}")
        else:
            parts.append(f"{title(first.scheme)} {self.in_words(first.scheme, t)}")
        if self.truth is not None:
            parts.append(f"truth {self.in_words(TRUTH, t)}")
        return f"{task.name}: {'; '.join(parts)}"

    def table(self) -> pd.DataFrame:
        """A row for each task: every answer, who was decisive, and the weights."""
        first, n_tasks = self.models.first, len(self.models.tasks)
        columns: dict[str, list[str]] = {"task": list(self.models.about.tasks)}
        for who in self.columns():
            name = f"{self.noun} {who}" if who.isdecimal() else title(who)
            columns[name] = [self.in_words(who, t) for t in range(n_tasks)]
        if self.several:
            columns["decisive"] = [self.who_decided(t) for t in range(n_tasks)]
            for j in range(len(first.models)):
                columns[f"weight of {j + 1}"] = [f"{w:.2f}" for w in self.models.weights[j]]
        frame = pd.DataFrame(columns)
        return frame if self.truth is not None else frame.drop(columns=TRUTH)


def title(who: str) -> str:
    """What a column is called."""
    return TITLES.get(who, who)


def most_worth_showing(answered: Answered, most: int) -> list[int]:
    """Which tasks, in their order: of too many those with a yes, then the most disputed."""
    tasks: Sequence[Task] = answered.models.tasks
    if len(tasks) <= most:
        return [*range(len(tasks))]
    lead = TOGETHER if answered.several else answered.models.first.scheme

    def worth(t: int) -> tuple[bool, float]:
        yes = answered.answer(TRUTH, t) == 1 or answered.answer(lead, t) == 1
        return yes, float(np.nan_to_num(answered.decisions[t].moves).max())

    return sorted(sorted(range(len(tasks)), key=worth, reverse=True)[:most])
