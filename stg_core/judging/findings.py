"""What a study says: where grouping pays, and what to do by default, computed from its rows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

from scipy.stats import binom

from stg_core.judging.comparing import (
    CONTROLS,
    Compared,
    by_cell,
    compared,
    describe,
    measures_of,
    sign_of,
    variant_of,
)
from stg_core.judging.study_table import Row
from stg_core.judging.verdict import MEASURE_NAMES, SCHEME_NAMES
from stg_core.system.words import counted

GROUPED = ("specialists", "warm")  # follow a grouping by data maps
SIMPLEST_FIRST = (
    *("mtl", "longer", "wider", "plain", "plain_warm", "stl", "random", "random_warm"),
    *("warm", "specialists"),
)
BY_CHANCE = 0.025  # of 95 % intervals lie above 0 where there is no difference
UNLIKELY = 0.05  # that as many do
NEAREST = 3  # settings, from which a recommendation is made
ALIKE = 4.0  # times as many tasks or points: beyond, a study knows nothing alike

ADVICE: Mapping[str, str] = {
    "mtl": "train one model of all tasks as usual: nothing that costs more is better for certain in"
    " most cells",
    "stl": "train one model for each task",
    "longer": "train one model of all tasks longer, for as many epochs as the specialists take"
    " together",
    "wider": "train one wider model of all tasks, as large as the specialists together",
    "plain": "train as many models of all tasks from several seeds, without a grouping, and average"
    " them",
    "random": "train as many models with random weights of the tasks, and average them",
    "plain_warm": "go on from one model of all tasks several times, without a grouping, and average"
    " what comes of it",
    "random_warm": "go on from one model of all tasks with random weights of the tasks, and average"
    " what comes of it",
    "specialists": "train specialists by data maps",
    "warm": "go on from one model of all tasks with the weights of a grouping by data maps",
}


# ------------------------------------------------------------------------------ what comes out


def findings(rows: Sequence[Row], measure: str, scheme: str = "specialists") -> str:
    """What came out, in a paragraph: where a scheme beats every control; a second: what to do."""
    cells = [one for one in compared(rows, measure, scheme) if one.controls]
    who = SCHEME_NAMES[scheme]
    if not cells:
        return (
            f"No cell of this study compares {who} with a control of at most their cost: it cannot"
            " say where grouping pays."
        )
    told = advice(rows, measure)
    sentences = [
        _where_it_wins(cells, who, MEASURE_NAMES[measure]),
        _the_rest(cells),
        _chance(cells),
        _at_random(cells, who),
    ]
    paragraphs = [" ".join(filter(None, sentences)), f"By default: {told}." if told else ""]
    return "\n\n".join(filter(None, paragraphs))


def _where_it_wins(cells: Sequence[Compared], who: str, by: str) -> str:
    wins, n = [one for one in cells if _wins(one)], len(cells)
    tried = {name for one in cells for name in one.controls}
    controls = _listed([SCHEME_NAMES[name] for name in CONTROLS if name in tried])
    every = f"every control of at most their cost that was tried ({controls}), by {by}"
    if not wins:
        return f"In none of {counted(n, 'cell')} {who} beat {every}."
    most = max(wins, key=lambda one: one.difference)
    where = "; ".join(_shares(cells, column, _wins) for column in ("group", "k"))
    head = f"In {'all' if len(wins) == n else f'{len(wins)} of'} {counted(n, 'cell')} {who} beat"
    ends = f"{_signed(most.low)} to {_signed(most.high)}"
    return (
        f"{head} {every}: {where}. At most they are better by {_signed(most.difference)} (95 %"
        f" interval {ends}) than {SCHEME_NAMES[most.other]}, the best control there"
        f" ({describe(most.cell)})."
    )


def _wins(one: Compared) -> bool:
    return one.of_all > 0


def _shares(cells: Sequence[Compared], column: str, is_so: Callable[[Compared], bool]) -> str:
    """Such as "3 of 18 with k = 2, 1 of 12 with k = 3"; what has none is left out."""
    found: dict[object, list[bool]] = {}
    for one in cells:
        found.setdefault(one.cell[column], []).append(is_so(one))
    parts = [
        f"{sum(own)} of {len(own)} {'with k =' if column == 'k' else 'on'} {value}"
        for value, own in found.items()
        if any(own)
    ]
    return ", ".join(parts)


def _the_rest(cells: Sequence[Compared]) -> str:
    signs = [one.of_all for one in cells]
    parts = [f"in {signs.count(-1)} a control is better than they are"] * (-1 in signs)
    parts += [f"in {signs.count(0)} it cannot be told"] * (0 in signs)
    mean = statistics.mean(one.difference for one in cells)
    parts += [f"on average over the cells they score {_signed(mean)} against the best control"]
    rest = "; ".join(parts)
    return f"{rest[0].upper()}{rest[1:]}."


def _chance(cells: Sequence[Compared]) -> str:
    wins, by_chance = sum(one.of_all > 0 for one in cells), BY_CHANCE * len(cells)
    as_many = float(binom.sf(wins - 1, len(cells), BY_CHANCE))
    if not wins or as_many < UNLIKELY:
        return ""
    return (
        f"That can be chance: if nothing made a difference, {by_chance:.1f} of"
        f" {counted(len(cells), 'interval')} would lie above 0 on average, and as many as here in"
        f" {100 * as_many:.0f} of 100 studies whose cells have nothing in common."
    )


def _at_random(cells: Sequence[Compared], who: str) -> str:
    tried = [one for one in cells if one.at_random is not None]
    if not tried:
        return "Whether a random grouping does as well is not known: it was not tried."

    def does_as_well(one: Compared) -> bool:
        return one.at_random is not None and one.at_random <= 0

    n, as_well = len(tried), sum(map(does_as_well, tried))
    better = sum(one.at_random == -1 for one in tried)
    if not as_well:
        return f"A random grouping, the same weights on the wrong tasks, is worse in all {n}."
    return (
        f"A random grouping, the same weights on the wrong tasks, does as well in {as_well} of"
        f" {counted(n, 'cell')}{f', and better in {better}' if better else ''}"
        f" ({_shares(tried, 'group', does_as_well)}): there it is not the grouping that makes {who}"
        " what they are."
    )


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def _listed(parts: Sequence[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


# ------------------------------------------------------------------------------ what to do


def advice(rows: Sequence[Row], measure: str) -> str:
    """What to do by default after these rows; empty where they do not say.

    The simplest scheme, but for a less simple one that is
    better than it in more than half of them, its interval above 0. One that follows a grouping by
    data maps has to beat every control in more than half.
    """
    cells = [cell for cell in by_cell(variant_of(rows, measure)) if "mtl" in cell]
    if not cells:
        return ""

    def better(scheme: str, other: str) -> int:
        return sum(sign_of(cell[scheme], other) > 0 for cell in cells if scheme in cell)

    best = "mtl"
    for scheme in SIMPLEST_FIRST[1:]:
        loses = scheme in GROUPED and not _mostly_wins(rows, measure, scheme)
        if not loses and 2 * better(scheme, best) > len(cells):
            best = scheme
    if best == "mtl":
        return ADVICE["mtl"]
    gains = [cell[best]["minus_mtl"] for cell in cells if best in cell]
    gain = statistics.mean(one for one in gains if one is not None)
    return (
        f"{ADVICE[best]} ({_signed(gain)} {MEASURE_NAMES[measure]} over one model of all"
        f" tasks on average, better for certain in {better(best, 'mtl')} of"
        f" {counted(len(cells), 'cell')})"
    )


def _mostly_wins(rows: Sequence[Row], measure: str, scheme: str) -> bool:
    signs = [one.of_all for one in compared(rows, measure, scheme)]
    return 2 * signs.count(1) > len(signs)


def recommendation(rows: Sequence[Row], n_tasks: int, n_points: int) -> str:
    """What a study says to do by default with so many tasks and training points, in a sentence.

    From the cells of the task groups that are nearest in number of tasks and of points, by their
    logarithms; of one alone where it has just these. Empty where the study says nothing.
    """
    measures = measures_of(rows)
    if not measures:
        return ""

    def far(setting: tuple[str, int, int]) -> float:
        return abs(math.log(setting[1] / n_tasks)) + abs(math.log(setting[2] / n_points))

    judged = variant_of(rows, measures[0])
    settings = sorted({(row["group"], row["tasks"], row["points"]) for row in judged}, key=far)
    near = [one for one in settings[:NEAREST] if far(one) <= 2 * math.log(ALIKE)]
    same = [one for one in near if far(one) == 0]
    if not near:
        counts = f"{counted(n_tasks, 'task')} and {counted(n_points, 'training point')}"
        return f"The study knows no task group like this one, of {counts}."
    places = same or near
    known = [row for row in judged if (row["group"], row["tasks"], row["points"]) in places]
    told = advice(known, measures[0])
    like = _listed([f"{group} ({tasks} tasks, {n:,} points)" for group, tasks, n in places])
    models = _listed(list(dict.fromkeys(row["model"] for row in known)))
    return f"By default, after the study of {like} with {models}: {told}." if told else ""
