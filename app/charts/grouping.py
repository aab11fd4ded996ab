"""Charts of a grouping: memberships and task map, clusters, which k, distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from app import task_pictures
from app.charts.base import cluster_colour, palette
from app.state import dark

if TYPE_CHECKING:
    from stg_core.grouping.choosing import Choice
    from stg_core.grouping.layout import Blocks, Dendrogram, TaskMap
    from stg_core.grouping.memberships import Grouping, TaskSpace

# Of each measure: its name, its digits after the point, and what it means, in one line.
QUALITY = {
    "inertia": (
        "Inertia",
        0,
        "Squared distances of the tasks to their cluster; lower is tighter.",
    ),
    "silhouette": (
        "Silhouette",
        3,
        "How much nearer a task is to its own cluster than to the next: −1 to 1, higher is better.",
    ),
    "partition_coefficient": (
        "Partition coefficient",
        3,
        "How clear-cut the memberships are: 1/k is undecided, 1 is hard.",
    ),
    "xie_beni": (
        "Xie–Beni",
        3,
        "Spread within clusters over distance between them; lower is better.",
    ),
    "stability": (
        "Stability",
        3,
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
MOST_UNFOLDED = 300  # tasks of a cluster whose distances to those of another are shown
FIRST_MAP = next(iter(MAPS))
AXES = {
    "umap": ("First direction (no unit)", "Second direction (no unit)"),
    "pca": ("First principal coordinate (distance)", "Second principal coordinate (distance)"),
    "mds": ("First direction (distance)", "Second direction (distance)"),
}


def membership_heatmap(
    grouping: Grouping,
    colours: list[int],
    key: str = "heatmap",
    every: str | None = None,
    sliders: Mapping[str, str] | None = None,
) -> None:
    """Share of each task in each cluster, tasks ordered by cluster, the surest first.

    every: see `clustered`; sliders: which of them say "k" and "fuzzifier", where others than usual.
    """
    header = clustered(grouping, colours, every)
    task_pictures.heatmap({**header, "alt": {}, "sliders": sliders}, grouping.memberships, key)


def memberships(
    grouping: Grouping,
    colours: list[int],
    layout: TaskMap,
    shown: str,
    wanted: str,
    note: str,
    glances: str | None = None,
    every: str | None = None,
) -> None:
    """Quality, heatmap of the shares, and the map of the tasks.

    shown: kind of map that `layout` is; wanted: the chosen kind; note: why they differ, or empty;
    glances: whose examples those who point at a task may see, see `app.glances`; every: see
    `clustered`.
    """
    header = clustered(grouping, colours, every)
    header |= {
        "alt": {
            "map": f"Map of the tasks ({MAPS[shown][0]}): {len(grouping.tasks)} tasks, near"
            f" together where their data maps are alike. {_faithful(layout, '.')}".rstrip(),
        },
        "quality": grouping.quality,
        "measures": [
            {"name": name, "title": title, "digits": digits, "help": help}
            for name, (title, digits, help) in QUALITY.items()
            if name in grouping.quality
        ],
        "maps": [(label, kind, explained) for kind, (label, explained) in MAPS.items()],
        "map": wanted,
        "positions": layout.positions.round(5).tolist(),
        "axes": AXES[shown],
        "notes": _map_notes(layout, note),
        "glances": glances,
    }
    task_pictures.memberships(header, grouping.memberships)


def cluster_cards(grouping: Grouping, colours: list[int], every: str | None = None) -> None:
    """Of each cluster its number, its tasks with their shares, the most and the least typical."""
    task_pictures.clusters(clustered(grouping, colours, every), grouping.memberships)


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


def distances(
    space: TaskSpace,
    tree: Dendrogram,
    grouping: Grouping,
    colours: list[int],
    every: str | None = None,
) -> None:
    """Distance of each task to each other one, in the order of the dendrogram above."""
    between = space.distances[~np.eye(len(space.tasks), dtype=bool)]
    first, second = np.unravel_index(
        np.argmin(space.distances + np.diag(np.full(len(space.tasks), np.inf))),
        space.distances.shape,
    )
    header = clustered(grouping, colours, every)
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
    task_pictures.distances(header, grouping.memberships, space.distances)


def distance_blocks(
    space: TaskSpace,
    found: Blocks,
    grouping: Grouping,
    colours: list[int],
    chosen: tuple[int, int] | None,
) -> None:
    """Mean distance between the tasks of each two clusters; of a chosen block those of its tasks.

    In place of `distances`, whose T × T numbers are too many for a browser and for an eye. A move
    of a slider asks Python, which has them.
    """
    header = clustered(grouping, colours)
    known = found.means[~np.isnan(found.means)]
    unfolded, inside = _unfolded(space, grouping, chosen) if chosen else (None, np.empty(0))
    header |= {
        "leaves": found.tree.order.tolist(),
        "tree": found.tree.segments.round(4).tolist(),
        "range": [float(known.min(initial=np.inf)), float(known.max(initial=0))],
        "sizes": np.bincount(grouping.labels, minlength=grouping.k).tolist(),
        "unfolded": unfolded,
        "alt": {
            "blocks": f"Distances between the clusters: heatmap of the mean distances of"
            f" {grouping.k} clusters of {len(grouping.tasks):,} tasks, with a dendrogram. They are"
            f" from {known.min():.1f} to {known.max():.1f}.",
            "block": "Distances within the block: heatmap.",
        },
    }
    task_pictures.blocks(header, grouping.memberships, found.means, inside)


def _unfolded(
    space: TaskSpace, grouping: Grouping, clusters: tuple[int, int]
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Which tasks of two clusters are shown, the surest first, and their distances."""
    from stg_core.grouping.layout import distances_of

    surest = np.argsort(-grouping.memberships.max(axis=1), kind="stable")
    members = [surest[grouping.labels[surest] == cluster] for cluster in clusters]
    rows, columns = (each[:MOST_UNFOLDED] for each in members)
    inside = distances_of(space, rows, columns)
    apart = inside[rows[:, None] != columns]
    return {
        "clusters": clusters,
        "rows": rows.tolist(),
        "columns": columns.tolist(),
        "of": [len(each) for each in members],
        "most": MOST_UNFOLDED,
        "range": [float(apart.min()), float(apart.max())] if apart.size else [0.0, 1.0],
    }, inside


# ------------------------------------------------------------------------------------ their words

MISSING = "Not defined here"


def clustered(grouping: Grouping, colours: list[int], every: str | None = None) -> dict[str, Any]:
    """What all pictures of a grouping have in common; what is said of it is said by grouping.js.

    every: the name of the groupings of every k, for pictures that follow the sliders by themselves.
    """
    return {
        "names": grouping.tasks,
        "shown": grouping.shown_names,
        "uncertain": dict(grouping.uncertain),
        "k": grouping.k,
        "fuzzifier": grouping.fuzzifier,
        "method": grouping.method,
        "labels": grouping.labels.tolist(),
        "colours": [cluster_colour(colour, dark()) for colour in colours],
        "palette": palette(dark()),
        "every": every,
    }


def why_uncertain(grouping: Grouping, task: str) -> str:
    """What to add to a line about a task, if its place is uncertain."""
    reason = grouping.uncertain.get(task)
    return f"; uncertain: {reason}" if reason else ""


def _at_k(choice: Choice, i: int) -> str:
    said = [f"k = {choice.ks[i]}"]
    for name, (label, digits, _) in QUALITY.items():
        value = choice.measures[name][i]
        said.append(f"{label} {'–' if value is None else f'{value:,.{digits}f}'}")
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
