"""What `stg_core.group` gives back: a grouping to look at in a notebook, to change, and to keep."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from stg_core.grouping.memberships import (
    Grouping,
    Labels,
    TaskSpace,
    cluster_colours,
    group_tasks,
)
from stg_core.grouping.pictures import (
    by_cluster,
    cluster_colour,
    data_map_chart,
    memberships_chart,
)
from stg_core.maps.epoch_outputs import EpochOutputs
from stg_core.maps.summary import DataMapSummary
from stg_core.system.errors import UserError
from stg_core.system.extras import of_extra
from stg_core.system.words import counted, named

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

SOURCE = "stg_core.group"  # of logs that `open` keeps
MOST_LISTED = 15  # tasks of a cluster that a table names


@dataclass(frozen=True, eq=False)
class GroupingResult:
    """The grouping of tasks by what a model answered, with all that it was made from.

    grouping: see `Grouping`; space: the tasks as points, from which `regroup` starts; summary: of
    the data maps; notes: what was guessed or chosen, in sentences; why_k: why this k was chosen, or
    "" where it was said; outputs: what was given, which is not copied and stays in memory as long
    as the result does.
    """

    grouping: Grouping
    space: TaskSpace
    summary: DataMapSummary
    notes: tuple[str, ...]
    why_k: str
    outputs: EpochOutputs

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that are grouped, (T,): those that have labels."""
        return self.grouping.tasks

    @property
    def k(self) -> int:
        """How many clusters."""
        return self.grouping.k

    @cached_property
    def memberships(self) -> pd.DataFrame:
        """Share of each task, a row, in each cluster, a column, (T, k); rows sum to 1.

        Needs pandas; `grouping.memberships` is the same as an array.
        """
        with of_extra("notebook"):
            import pandas as pd

        columns = [f"cluster {j + 1}" for j in range(self.k)]
        index = pd.Index(self.tasks, name="task")
        return pd.DataFrame(self.grouping.memberships, index=index, columns=columns)

    @property
    def labels(self) -> Labels:
        """Of each task the column of the cluster that it belongs most to, (T,), from 0."""
        return self.grouping.labels

    @property
    def clusters(self) -> tuple[tuple[str, ...], ...]:
        """The tasks that belong most to each cluster, the surest first; k tuples."""
        order = by_cluster(self.grouping).tolist()
        return tuple(
            tuple(self.tasks[t] for t in order if self.labels[t] == j) for j in range(self.k)
        )

    @property
    def quality(self) -> dict[str, float | None]:
        """See `Grouping`: inertia, silhouette, partition coefficient and Xie–Beni index."""
        return self.grouping.quality

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What is to be known of this grouping, in sentences: what is wrong with it comes first."""
        from stg_core.grouping.prevalence import explained_prevalence

        explained = explained_prevalence(self.summary, self.grouping)
        few_labels, found = self.grouping.few_labels, str(explained or "")
        told = (self.grouping.problem, self.why_k, few_labels, found, self.grouping.way)
        return (*filter(None, told), *self.notes)

    # ---------------------------------------------------------------------------------- to look at

    def __repr__(self) -> str:
        return f"GroupingResult({self._title()}: {self._clusters_in_words()})"

    def __str__(self) -> str:
        names = self.grouping.shown_names
        width = max(map(len, names))
        rows = [f"{'':{width}}{''.join(f'{j + 1:>8}' for j in range(self.k))}"]
        for t in by_cluster(self.grouping).tolist():
            shares = "".join(f"{share:8.3f}" for share in self.grouping.memberships[t])
            rows.append(f"{names[t]:<{width}}{shares}")
        return "\n".join([*rows, self._quality_in_words(), *self.remarks])

    def _repr_html_(self) -> str:
        """The table of clusters that a notebook shows."""
        rows = "".join(
            f"<tr><td style='color:{cluster_colour(int(colour))}'>⬤</td>"
            f"<td style='text-align:right'>{j + 1}</td>"
            f"<td style='text-align:right'>{len(members)}</td>"
            f"<td style='text-align:left'>{escape(self._members(members, j))}</td></tr>"
            for j, (members, colour) in enumerate(zip(self.clusters, self._colours, strict=True))
        )
        below = "<br>".join(map(escape, (self._quality_in_words(), *self.remarks)))
        return (
            f"<b>{escape(self._title())}</b><table><thead><tr><th></th><th>cluster</th>"
            "<th>tasks</th><th style='text-align:left'>with their shares, the surest first</th>"
            f"</tr></thead><tbody>{rows}</tbody></table><small>{below}</small>"
        )

    def plot(self) -> alt.LayerChart:
        """Heatmap of the shares; `.plot().save("groups.html")` keeps it, also as SVG or PNG."""
        return memberships_chart(self.grouping, self._colours)

    def data_map(self, task: str, epoch: int | None = None) -> alt.Chart:
        """How a task's points lie in confidence and variability, by default at the last recorded
        epoch; UserError for a task or an epoch that is not there."""
        tasks, recorded = self.summary.tasks.tolist(), self.summary.epochs.tolist()
        if task not in tasks:
            raise UserError(f"There is no task {named(task)}; the tasks are {_listed(tasks)}.")
        if epoch is not None and epoch not in recorded:
            raise UserError(f"Choose a recorded epoch among {', '.join(map(str, recorded))}.")
        return data_map_chart(self.summary, task, epoch or recorded[-1])

    # ----------------------------------------------------------------------------- to go on from

    def regroup(
        self, k: int | None = None, fuzzifier: float | None = None, method: str | None = None
    ) -> GroupingResult:
        """The same tasks grouped in another way, in milliseconds; what is not said stays as it is.

        Raises UserError as `group_tasks` does.
        """
        found = group_tasks(
            self.space,
            self.k if k is None else k,
            self.grouping.fuzzifier if fuzzifier is None else fuzzifier,
            method or self.grouping.method,
        )
        return replace(self, grouping=found, why_k=self.why_k if found.k == self.k else "")

    def open(self, name: str = "grouped outputs", browser: bool = True) -> str:
        """Keeps the outputs as the log of that name in STG_HOME, and opens the app on it.

        The app is started in the background where it is not running, and goes on when Python ends.
        Its address is printed and given back. An earlier log of that name that came from here is
        replaced; raises UserError for another's, and where the app is not installed.
        """
        from stg_core.system.app_process import running_app

        app = running_app()
        chosen = {
            "run": self._keep(name),
            "k": self.k,
            "fuzzifier": self.grouping.fuzzifier,
            "method": self.grouping.method,
            "grouping_epochs": self.space.epochs,
        }
        address = f"{app.address}/grouping?{urlencode(chosen, doseq=True)}"
        print(f"STG Explorer shows it at {address} (process {app.process}, which goes on).")
        if browser:
            import webbrowser

            webbrowser.open(address)
        return address

    def _keep(self, name: str) -> str:
        """Writes the log; the id of its run."""
        from stg_core.maps.log import LogNote, TaskLog
        from stg_core.maps.log_folder import LogFolder, logs_folder

        name = " ".join(name.split())  # as a log writes it
        before = LogFolder.named(name, logs_folder()).head()
        if before is not None and before.source != SOURCE:
            raise UserError(
                f"There is a log of the name {named(name)} already, which a training left: give"
                " another name, .open(name)."
            )
        tasks = self.outputs.tasks
        log = TaskLog(
            name,
            [task.name for task in tasks],
            self.outputs.labels,
            kinds={task.name: task.kind for task in tasks},
            classes={task.name: task.values for task in tasks if task.values},
            outputs=self.outputs.reader.outputs,
            epochs=len(self.outputs.epochs),
            anew=True,
            source=SOURCE,
        )
        with log, warnings.catch_warnings():
            warnings.simplefilter("ignore", LogNote)  # `notes` has said it
            for epoch in range(1, len(self.outputs.epochs) + 1):
                log.epoch(self.outputs.of_epoch(epoch))
        return log.run_id

    # ---------------------------------------------------------------------------------- its words

    @cached_property
    def _colours(self) -> Labels:
        return cluster_colours(self.space, self.labels, self.k)

    def _title(self) -> str:
        return (
            f"{counted(len(self.tasks), 'task')} in {counted(self.k, 'cluster')},"
            f" fuzzifier {self.grouping.fuzzifier:g}"
        )

    def _clusters_in_words(self) -> str:
        return "; ".join(_listed(members) or "none" for members in self.clusters)

    def _members(self, members: Sequence[str], cluster: int) -> str:
        shown = {
            task: f"{name} {share:.2f}"
            for task, name, share in zip(
                self.tasks,
                self.grouping.shown_names,
                self.grouping.memberships[:, cluster],
                strict=True,
            )
        }
        return _listed([shown[task] for task in members], MOST_LISTED) or "–"

    def _quality_in_words(self) -> str:
        return ", ".join(
            f"{name.replace('_', ' ')} {'not defined' if value is None else f'{value:.4g}'}"
            for name, value in self.quality.items()
        )


def _listed(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + f" and {len(names) - most} more" * (len(names) > most)
