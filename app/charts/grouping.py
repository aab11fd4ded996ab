"""Charts of a grouping: memberships and task map, clusters, which k, distances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app import task_pictures
from app.charts.base import cluster_colour
from app.state import dark

if TYPE_CHECKING:
    from stg_core.grouping.choosing import Choice
    from stg_core.grouping.layout import Dendrogram, TaskMap
    from stg_core.grouping.memberships import Grouping, TaskSpace

# Of each measure: its name, how it is written, and what it means, in one line.
QUALITY = {
    "inertia": (
        "Inertia",
        ",.0f",
        "Squared distances of the tasks to their cluster; lower is tighter.",
    ),
    "silhouette": (
        "Silhouette",
        ".3f",
        "How much nearer a task is to its own cluster than to the next: −1 to 1, higher is better.",
    ),
    "partition_coefficient": (
        "Partition coefficient",
        ".3f",
        "How clear-cut the memberships are: 1/k is undecided, 1 is hard.",
    ),
    "xie_beni": (
        "Xie–Beni",
        ".3f",
        "Spread within clusters over distance between them; lower is better.",
    ),
    "stability": (
        "Stability",
        ".3f",
        "Whether resampled training points give the same clusters: 0 is chance, 1 always.",
    ),
}
MAPS = {
    "mds": ("MDS", "All distances, as well as two dimensions can hold them."),
    "pca": ("PCA", "The two directions along which the tasks differ most."),
    "umap": (
        "UMAP",
        "Draws neighbourhoods apart. It may tear near tasks asunder: see its correlation.",
    ),
}
FIRST_MAP = next(iter(MAPS))
AXES = {
    "umap": ("First direction (no unit)", "Second direction (no unit)"),
    "pca": ("First principal coordinate (distance)", "Second principal coordinate (distance)"),
    "mds": ("First direction (distance)", "Second direction (distance)"),
}


def membership_heatmap(grouping: Grouping, colours: list[int], key: str = "heatmap") -> None:
    """Share of each task in each cluster, tasks ordered by cluster, the surest first."""
    header = _clustered(grouping, colours)
    header["alt"] = {"memberships": _heatmap_text(grouping)}
    task_pictures.heatmap(header, grouping.memberships, key)


def memberships(
    grouping: Grouping,
    colours: list[int],
    layout: TaskMap,
    shown: str,
    wanted: str,
    note: str,
    glances: str | None = None,
) -> None:
    """Quality, heatmap of the shares, and the map of the tasks.

    shown: kind of map that `layout` is; wanted: the chosen kind; note: why they differ, or empty;
    glances: whose examples those who point at a task may see, see `app.glances`.
    """
    header = _clustered(grouping, colours)
    header |= {
        "alt": {
            "memberships": _heatmap_text(grouping),
            "map": f"Map of the tasks ({MAPS[shown][0]}): {len(grouping.tasks)} tasks, near"
            f" together where their data maps are alike. {_faithful(layout, '. ')}"
            f"{_members(grouping)}",
        },
        "quality": _quality(grouping),
        "maps": [(label, kind, explained) for kind, (label, explained) in MAPS.items()],
        "map": wanted,
        "positions": layout.positions.round(5).tolist(),
        "axes": AXES[shown],
        "notes": _map_notes(layout, note),
        "glances": glances,
    }
    task_pictures.memberships(header, grouping.memberships)


def cluster_cards(grouping: Grouping, colours: list[int]) -> None:
    """Of each cluster its number, its tasks with their shares, the most and the least typical."""
    header = _clustered(grouping, colours)
    header["cards"] = [
        {"colour": header["colours"][j], **_card(grouping, j)} for j in range(grouping.k)
    ]
    task_pictures.clusters(header)


def every_k(
    choice: Choice, k: int, kept_as: str = "k", shown: Sequence[str] = tuple(QUALITY)
) -> None:
    """Measures for every k, the current and the suggested one marked.

    kept_as: the slider of k, which a click on the charts moves; shown: names in QUALITY.
    """
    measures = [
        {"title": label, "note": explained, "values": choice.measures[name], "missing": MISSING}
        for name, (label, _, explained) in QUALITY.items()
        if name in shown
    ]
    suggested = f" Suggested: k = {choice.suggested}." if choice.suggested else ""
    header = {
        "names": [str(each) for each in choice.ks],
        "ks": choice.ks,
        "says": [_at_k(choice, i) for i in range(len(choice.ks))],
        "measures": measures,
        "suggested": choice.suggested,
        "alt": {
            "which-k": f"Quality for every k: {', '.join(str(each['title']) for each in measures)}"
            f" for k from {choice.ks[0]} to {choice.ks[-1]}.{suggested}"
        },
        "file": "quality",
    }
    task_pictures.choice(header, k, kept_as)


def distances(space: TaskSpace, tree: Dendrogram, grouping: Grouping, colours: list[int]) -> None:
    """Distance of each task to each other one, in the order of the dendrogram above."""
    between = space.distances[~np.eye(len(space.tasks), dtype=bool)]
    first, second = np.unravel_index(
        np.argmin(space.distances + np.diag(np.full(len(space.tasks), np.inf))),
        space.distances.shape,
    )
    header = _clustered(grouping, colours)
    header |= {
        "order": tree.order.tolist(),
        "tree": tree.segments.round(4).tolist(),
        "range": [float(between.min()), float(between.max())],
        "alt": {
            "distances": f"Distances between the tasks: heatmap of {len(space.tasks)} by"
            f" {len(space.tasks)} distances with a dendrogram. They are from {between.min():.1f} to"
            f" {between.max():.1f}; the nearest two tasks are {space.tasks[first]} and"
            f" {space.tasks[second]}."
        },
    }
    task_pictures.distances(header, space.distances)


# ------------------------------------------------------------------------------------ their words

MISSING = "Not defined here"


def _clustered(grouping: Grouping, colours: list[int]) -> dict[str, Any]:
    """What all pictures of the tasks have in common."""
    return {
        "names": grouping.tasks,
        "shown": grouping.shown_names,
        "says": _shares(grouping),
        "order": by_cluster(grouping).tolist(),
        "labels": grouping.labels.tolist(),
        "colours": [cluster_colour(colour, dark()) for colour in colours],
        "file": f"k{grouping.k}-m{grouping.fuzzifier:.2f}-{grouping.method}",
    }


def by_cluster(grouping: Grouping) -> NDArray[np.int64]:
    """Tasks ordered by cluster, the surest first."""
    return np.lexsort((-grouping.memberships.max(axis=1), grouping.labels))


def _heatmap_text(grouping: Grouping) -> str:
    return (
        f"Memberships: heatmap of the shares of {len(grouping.tasks)} tasks in {grouping.k}"
        f" clusters. {_members(grouping)}"
    )


def _members(grouping: Grouping) -> str:
    names = np.array(grouping.shown_names)
    members = (
        f"cluster {j + 1}: {', '.join(names[grouping.labels == j].tolist()) or 'none'}"
        for j in range(grouping.k)
    )
    return "Each task belongs most to: " + "; ".join(members) + "."


def _shares(grouping: Grouping) -> list[str]:
    """Of each task its shares in its cluster and in the next."""
    first, second = np.argsort(-grouping.memberships, axis=1, kind="stable")[:, :2].T
    rows = np.arange(len(grouping.tasks))
    strongest, next_best = grouping.memberships[rows, first], grouping.memberships[rows, second]
    return [
        f"{task}: cluster {a + 1} with {p:.2f}, then {b + 1} with {q:.2f}"
        f"{why_uncertain(grouping, task)}"
        for task, a, p, b, q in zip(
            grouping.tasks, first, strongest, second, next_best, strict=True
        )
    ]


def why_uncertain(grouping: Grouping, task: str) -> str:
    """What to add to a line about a task, if its place is uncertain."""
    reason = grouping.uncertain.get(task)
    return f"; uncertain: {reason}" if reason else ""


def _quality(grouping: Grouping) -> list[tuple[str, str, str]]:
    return [
        (label, "–" if (value := grouping.quality[name]) is None else format(value, style), help)
        for name, (label, style, help) in QUALITY.items()
        if name in grouping.quality
    ]


def _at_k(choice: Choice, i: int) -> str:
    said = [f"k = {choice.ks[i]}"]
    for name, (label, style, _) in QUALITY.items():
        value = choice.measures[name][i]
        said.append(f"{label} {'–' if value is None else format(value, style)}")
    return ", ".join(said)


def _map_notes(layout: TaskMap, note: str) -> list[str]:
    return [
        note or layout.note or "Number and colour: cluster; paler: smaller share",
        _faithful(layout),
    ]


def _faithful(layout: TaskMap, after: str = "") -> str:
    if layout.correlation is None:
        return ""
    return f"Distances here and true ones: Pearson’s r = {layout.correlation:.2f}{after}"


def _card(grouping: Grouping, j: int) -> dict[str, Any]:
    own = [task for task in by_cluster(grouping).tolist() if grouping.labels[task] == j]
    tasks = [(grouping.tasks[task], float(grouping.memberships[task, j])) for task in own]
    about = ["No task belongs most to this cluster."]
    if tasks:
        about = [f"Most typical: {tasks[0][0]}"]
    if len(tasks) > 1:
        about.append(f"Least typical: {tasks[-1][0]}")
    return {"tasks": tasks, "about": about}
