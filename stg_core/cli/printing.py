"""What the command line prints for people: answers as text, and progress on the terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stg_core.judging.verdict import SCHEME_NAMES
from stg_core.results.run import Run
from stg_core.system.words import counted, named

if TYPE_CHECKING:
    from stg_core.affinity.many import ManyScore
    from stg_core.affinity.methods import Judged
    from stg_core.affinity.pair_part import Foretold
    from stg_core.affinity.truth import Estimate, MethodTruth, TableTruth
    from stg_core.engine.studying import StudyCost
    from stg_core.grouping.agreement import Agreement
    from stg_core.grouping.choosing import Choice
    from stg_core.grouping.layout import TaskMap
    from stg_core.grouping.memberships import Grouping
    from stg_core.grouping.prevalence import Explained
    from stg_core.judging.brought_back import Found, Missing
    from stg_core.judging.plan import Cost
    from stg_core.judging.verdict import Verdict
    from stg_core.tasks.checks import Facts, TaskFacts
    from stg_core.tasks.datasets import DataSet

MOST_NAMED, LONGEST_LOG_NAME = 4, 80  # logs, in a sentence; characters


# --------------------------------------------------------------------------------------- answers


def run_line(run: Run) -> str:
    """A run by its id, with its title and score."""
    seconds, score = run.provenance["seconds"], run.mean_score
    told = "–" if score is None else f"{score:.3f}"
    return f"{run.id}  {run.title_now}  mean {run.score_name} {told}  {seconds:.0f} s"


def grouping_text(grouping: Grouping, explained: Explained | None = None) -> str:
    """A row of memberships per task, the quality of the grouping, and what is wrong with it.

    Tasks with few labels are marked, and named at the end.
    """
    names = grouping.shown_names
    width = max(map(len, names))
    header = " " * width + "".join(f"{j + 1:>8}" for j in range(grouping.k))
    rows = [
        f"{name:<{width}}" + "".join(f"{share:8.3f}" for share in row)
        for name, row in zip(names, grouping.memberships, strict=True)
    ]
    quality = ", ".join(
        f"{name.replace('_', ' ')} {'not defined' if value is None else f'{value:.4g}'}"
        for name, value in grouping.quality.items()
    )
    told = [
        str(explained) if explained else "",
        grouping.few_labels,
        grouping.problem,
        grouping.way,
    ]
    return "\n".join([header, *rows, quality, *filter(None, told)])


def choice_text(choice: Choice) -> str:
    """A row of quality measures per k, and which k is suggested and why."""
    names = [name.replace("_", " ") for name in choice.measures]
    lines = ["   k" + "".join(f"{name:>23}" for name in names)]
    problems = dict(zip(choice.ks, choice.problems, strict=False))
    for k, *values in zip(choice.ks, *choice.measures.values(), strict=True):
        shown = ["not defined" if value is None else f"{value:.4g}" for value in values]
        mark = "  suggested" if k == choice.suggested else "  problem" if problems.get(k) else ""
        lines.append(f"{k:>4}" + "".join(f"{value:>23}" for value in shown) + mark)
    return "\n".join([*lines, choice.why])


def layout_text(tasks: Sequence[str], found: TaskMap) -> str:
    """The place of each task, and what is to be known of the map."""
    width = max(map(len, tasks))
    rows = [
        f"{task:<{width}}{x:12.4g}{y:12.4g}"
        for task, (x, y) in zip(tasks, found.positions, strict=True)
    ]
    faithful = ""
    if found.correlation is not None:
        faithful = (
            "Pearson's correlation of distances on the map with the true ones:"
            f" {found.correlation:.2f}"
        )
    return "\n".join(filter(None, [*rows, faithful, found.note]))


def agreement_text(found: Agreement) -> str:
    """Scores beside chance, and what became of each label."""
    lines = [f"{'':28}   value    chance, 5 to 95%        p"]
    for name, score in found.scores.items():
        chance = f"{score.chance_mean:.3f}, {score.chance_low:.3f} to {score.chance_high:.3f}"
        lines.append(
            f"{name.replace('_', ' '):28}{score.value:8.3f}{chance:>24}{score.p_value:9.3f}"
        )
    for part in found.whole:
        company = "alone" if part.label in found.alone else "with others"
        lines.append(f"kept whole: {part.label}, {company} in cluster {part.cluster + 1}")
    for parts in found.split:
        clusters = ", ".join(f"{p.cluster + 1} ({', '.join(p.tasks)})" for p in parts)
        lines.append(f"split: {parts[0].label} over clusters {clusters}")
    for parts in found.merged:
        labels = ", ".join(f"{p.label} ({', '.join(p.tasks)})" for p in parts)
        lines.append(f"merged: cluster {parts[0].cluster + 1} holds {labels}")
    if left_out := found.reference.left_out:
        lines.append(f"left out, having no label: {', '.join(left_out)}")
    return "\n".join(lines)


def affinity_text(answer: dict[str, Any]) -> str:
    """The matrix, and what it cost."""
    tasks = answer["tasks"]
    width = max(map(len, tasks))
    column = max(10, width + 2)
    rows = [
        f"{task:<{width}}"
        + "".join(f"{'–' if value is None else f'{value:+.2g}':>{column}}" for value in row)
        for task, row in zip(tasks, answer["affinity"], strict=True)
    ]
    header = " " * width + "".join(f"{task:>{column}}" for task in tasks)
    told = [
        "What training on a row's task does for a column's task; positive helps.",
        f"{answer['seconds']:,.1f} s, the cost of {answer['cost']:.2f} ordinary trainings"
        f" ({answer['counted_cost']:.2f} by count).",
    ]
    if not answer["cost"]:
        told = ["How well a row's task and a column's task go together. It took no training."]
    lines = [header, *rows, *told, answer["overlap"]]
    return "\n".join(filter(None, lines))


def methods_text(judged: Sequence[Judged]) -> str:
    """A row per method."""
    header = f"{'':14}{'gain':>9}{'95 % interval':>20}{'F1':>9}{'95 % interval':>19}"
    lines = [
        f"{one.method:14}{one.score:+9.4f}{_ends(one.gain_interval, '+.4f'):>20}"
        f"{one.mean_f1:9.4f}{_ends(one.f1_interval, '.4f'):>19}{one.cost:8.1f}{one.counted:9.1f}"
        f"  {' | '.join(' '.join(group) for group in one.groups)}"
        for one in judged
    ]
    return "\n".join(
        [
            f"{header}{'cost':>8}{'counted':>9}  groups",
            *lines,
            "Gain and F1 on test images, with intervals over them; cost in trainings of all tasks.",
        ]
    )


def many_text(answer: Mapping[str, Any], measure: str = "") -> str:
    """A row per method: its specialists, and how much better they are than each control."""
    from stg_core.affinity.many import measures_in, scores_of_many

    schemes = [scheme for scheme in answer["schemes"] if scheme != "specialists"]
    names, rows = measures_in(answer), scores_of_many(answer, measure)
    score = names[measure or next(iter(names))]
    width = max(20, *(len(row.title) + 2 for row in rows))
    column = max(10, len(score) + 2)
    against = "".join(f"{f'− {scheme}':>28}" for scheme in schemes)
    header = f"{'':{width}}{'groups':>7}{score:>{column}}{'95 % interval':>20}{against}{'cost':>8}"
    lines = [
        f"{row.title:{width}}{row.groups:7}{_or_dash(row.mean, column)}{_own_ends(row):>20}"
        + "".join(f"{_of_difference(row.differences.get(scheme)):>28}" for scheme in schemes)
        + f"{row.cost:8.1f}"
        for row in rows
    ]
    notes = [
        f"Mean {score} over tasks on test points of the specialists of hard groups, and less that"
        " of each control, with 95 % intervals. Cost: trainings of all tasks, the affinity"
        " included.",
        *(f"{row.title}: {row.headline}" for row in rows),
        *(
            f"{row.title}: in no mean, since nothing learns them: {', '.join(row.left_out)}."
            for row in rows
            if row.left_out
        ),
        *answer["left_out"].values(),
        answer["overlap"],
    ]
    return "\n".join(filter(None, [header, *lines, *notes]))


def _own_ends(row: ManyScore) -> str:
    return "–" if row.mean is None else _ends(row.ci, ".4f")


def _of_difference(difference: Mapping[str, Any] | None) -> str:
    if difference is None or difference["mean"] is None:
        return "–"
    return f"{difference['mean']:+.4f} ({_ends(difference['ci'], '+.4f')})"


def truths_text(truth: TableTruth, judged: Sequence[MethodTruth]) -> str:
    """A row per method, and what the table says of its own gains."""
    from stg_core.affinity.truth import sentences

    lines = [
        f"{one.title:32}{_estimated(one.score, '+.4f')}{_estimated(one.regret, '+.4f')}"
        f"{_estimated(one.over_random, '+.4f')}{one.cost:8.1f}"
        for one in judged
    ]
    header = f"{'':32}{'gain':>30}{'regret':>30}{'over random':>30}{'cost':>8}"
    said = [
        f"{one.title:32}{_estimated(one.rank, '.0f')}{_estimated(one.told, '.2f')}"
        f"{_related(one, 'model')}{_related(one, 'last')}"
        for one in judged
    ]
    of_said = f"{'':32}{'rank':>30}{'says of groups':>30}{'of pairs’ own part':>30}"
    return "\n".join(
        [header, *lines, "", f"{of_said}{'not stopped':>30}", *said, "", *sentences(truth, judged)]
    )


def foretelling_text(found: Mapping[str, Foretold]) -> str:
    """A row per feature: its correlation with the own part of pairs, by table."""
    from stg_core.affinity.truth import feature_titles, foretelling_sentence

    titles, tables = feature_titles(), [*found["model"].ridge]
    lines = []
    for stop, told in (("model", "stopped"), ("last", "not stopped")):
        lines.append(f"{told:32}" + "".join(f"{table:>14}" for table in tables))
        for feature, by_table in found[stop].single.items():
            known = [None if math.isnan(by_table[t]) else by_table[t] for t in tables]
            cells = [_or_dash(value, 14, 2) for value in known]
            lines.append(f"{titles[feature]:32}{''.join(cells)}")
    return "\n".join([*lines, foretelling_sentence(found)])


def _related(one: MethodTruth, stop: str) -> str:
    """What a method says of the own part of pairs, 30 letters wide."""
    from stg_core.affinity.pair_part import p_in_words

    own = (one.own or {}).get(stop)
    return (f"{own[0]:+.2f} ({p_in_words(own[1])})" if own else "–").rjust(30)


def _estimated(one: Estimate | None, digits: str) -> str:
    """A mean and its interval, 30 letters wide."""
    if one is None:
        return "–".rjust(30)
    return f"{one.mean:{digits}} ({one.low:{digits}} to {one.high:{digits}})".rjust(30)


def _ends(interval: tuple[float, float], digits: str) -> str:
    return " – ".join(format(end, digits) for end in interval)


def cost_line(cost: Cost) -> str:
    """What a plan takes."""
    left = "unknown" if cost.seconds is None else f"about {cost.seconds:,.0f} s"
    anew = f" ({cost.anew} of them once more, since weights were not kept)" if cost.anew else ""
    return (
        f"{counted(cost.trainings, 'training')}, {cost.distinct} of them distinct,"
        f" {cost.cached} trained before{anew}; time for the rest: {left}."
    )


def study_line(cost: StudyCost) -> str:
    """What a study takes."""
    left = "unknown" if cost.seconds is None else f"about {cost.seconds:,.0f} s"
    not_run = [f"{cell} cannot be: {reason}" for cell, reason in cost.not_run]
    line = (
        f"{counted(cost.cells, 'cell')}, {counted(cost.distinct, 'training')},"
        f" {cost.cached} trained before; time for the rest: {left}, one after the other."
    )
    return "\n".join([*not_run, line])


def plan_text(models: Sequence[Mapping[str, Any]], cost: Cost) -> str:
    """A row per model, and what all of them take."""
    lines = [
        f"{m['scheme']:<12} seed {m['seed']:<5} {m['model']:<18} {m['key']}{' done' * m['cached']}"
        for m in models
    ]
    return "\n".join([*lines, cost_line(cost)])


def found_line(found: Found) -> str:
    """A log that is due, and what came back for it."""
    if found.run is None:
        return f"{found.due.name}: not there"
    known = "; its weights are known by its name alone" * found.by_name
    state = found.problem or f"{counted(found.run.spec.epochs, 'epoch')}{known}"
    return f"{found.due.name}: {state} ({found.run.id})"


def about_missing(missing: Missing) -> str:
    """A scheme that was not judged, what it would cost, and what its logs are to be called."""
    took = "" if missing.seconds is None else f", about {missing.seconds:,.0f} s"
    trainings = f"{missing.cost:.4g} training{'s' * (missing.cost != 1)} of MTL"
    names = [named(found.due.name, LONGEST_LOG_NAME) for found in missing.logs]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return (
        f"Missing: {SCHEME_NAMES[missing.scheme]} ({missing.scheme}), as much as"
        f" {trainings}{took}. To be logged as"
        f" {', '.join(names[:MOST_NAMED])}{more}."
    )


def judgement_text(schemes: Mapping[str, Mapping[str, Any]], verdict: Verdict, measure: str) -> str:
    """What the verdict begins with, a row per scheme, and the rest of the verdict.

    measure: what the means are of.
    """
    lines = [
        f"{name:<12}{_or_dash(s['mean'], 8)}"
        f"{_or_dash(s['ci'][0], 11)} –{_or_dash(s['ci'][1], 7)}"
        f"{_or_dash(s['best_epoch']['mean'], 12)}"
        f"{_or_dash(s['costs']['training'], 10, 2)}{_or_dash(s['costs']['serving'], 9, 2)}"
        for name, s in schemes.items()
    ]
    header = (
        f"{'':<12}{'mean':>8}{'95 % interval':>20}{'best epoch':>12}{'training':>10}{'serving':>9}"
    )
    about = (
        f"Means are of {measure} after the last epoch; best epoch: had one half of the test points"
        " chosen it, on the other half. Costs: 1 is one training of one model of all tasks, and one"
        " such model that answers."
    )
    text = "\n".join([verdict.headline, "", header, *lines, about, "", verdict.details])
    return text.rstrip()


def _or_dash(value: float | None, width: int, digits: int = 4) -> str:
    return f"{'–':>{width}}" if value is None else f"{value:{width}.{digits}f}"


def data_set_line(found: DataSet) -> str:
    """A data set of one's own by its name, and how large it is."""
    counts, tasks = found.counts, counted(len(found.group.tasks), "task")
    shape = " × ".join(map(str, found.shape))
    what = f"images of {shape}" if found.has_images else counted(found.shape[0], "feature")
    return (
        f"{found.name}: {counted(sum(counts.values()), 'point')} ({counts['train']:,} for training,"
        f" {counts['test']:,} for testing), {what}, {tasks}, {found.size / 1e6:,.1f} MB"
    )


def data_set_text(found: DataSet, facts: Facts, most: int = 40) -> str:
    """A row per task, at most `most` of them, what was guessed, and warnings."""
    shown = facts.tasks[:most]
    width = max(4, *(min(60, len(one.task.name)) for one in shown))
    lines = [f"{'task':<{width}}  {'kind':<12}{'train':>9}{'test':>9}{'missing':>9}  positives"]
    for one in shown:
        name = one.task.name if len(one.task.name) <= width else one.task.name[: width - 1] + "…"
        lines.append(
            f"{name:<{width}}  {one.task.kind:<12}{one.labelled['train']:>9,}"
            f"{one.labelled['test']:>9,}{one.missing:>9.1%}  {_positives(one)}"
        )
    if len(facts.tasks) > most:
        lines.append(f"… and {len(facts.tasks) - most:,} more: stg data {found.name}")
    warnings = [f"Warning: {sentence}" for sentence in facts.warnings]
    return "\n".join([data_set_line(found), "", *lines, "", *found.manifest["notes"], *warnings])


def _positives(one: TaskFacts) -> str:
    """How many points a binary task is true of; the classes of another one."""
    if one.task.kind == "multiclass":
        return f"{len(one.task.values)} classes"
    if one.prevalence is None:
        return "–"
    return f"{one.positives('train'):,} + {one.positives('test'):,} ({one.prevalence:.1%})"


def asked(question: str) -> bool:
    """Whether who sits at the terminal says yes."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def agreed(models: int, seconds: float | None) -> bool:
    """Whether trainings may start: of many hours, who sits at a terminal is asked, never a script.

    seconds: expected, None where nobody knows.
    """
    from stg_core.judging.plan import takes_long

    if not (models and takes_long(seconds) and sys.stdin.isatty()):
        return True
    hours = "nobody knows yet how long" if seconds is None else f"{seconds / 3600:.1f} h"
    return asked(f"{models} trainings, {hours}: start?")
