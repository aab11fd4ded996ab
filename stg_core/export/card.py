"""The model card: Markdown with a YAML head, as Hugging Face has it, of what is known alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stg_core.export.about import About
from stg_core.export.folders import ONNX, WEIGHTS
from stg_core.export.making import Made
from stg_core.export.serving import MANY, Serving
from stg_core.judging.verdict import CONTROLS, MEASURE_NAMES, SCHEME_NAMES, Words, verdict_in
from stg_core.system.words import counted
from stg_core.tasks.groups import KINDS_OF_TASKS
from stg_core.tasks.images import DATASET_TITLES

if TYPE_CHECKING:
    from stg_core.export.checking import Check  # torch comes with it

METRICS = {"auroc": "roc_auc", "f1": "f1", "accuracy": "accuracy", "r2": "r_squared"}  # there
TAGS = ("multi-task-learning", "stg-mtl", "onnx")


def card(made: Made, check: Check, serving: Mapping[str, Serving]) -> str:
    """Of a file that has passed its check; serving: of it and of others of its plan, by name."""
    about = made.about
    parts = [
        _head(made),
        f"# {_text(about.title)}",
        _text(about.verdict),
        "## Use",
        _use(about),
        "## Data",
        _data(made),
        "## Tasks",
        _tasks(made),
        "## Grouping",
        _grouping(made),
        "## Scores",
        _scores(made),
        "## Limits",
        _limits(made),
        "## Check and serving",
        _served(about, check, serving),
    ]
    return "\n\n".join(parts) + "\n"


def _head(made: Made) -> str:
    """YAML, of which JSON is a part: so no name of a task can break it."""
    about, spec = made.about, made.plan.spec
    of_numbers = {*about.kinds} == {"regression"}
    kind = "image" if about.input.kind == "image" else "tabular"
    purpose = f"{kind}-{'regression' if of_numbers else 'classification'}"
    scores = [
        {
            "type": METRICS[name],
            "name": f"mean {MEASURE_NAMES[name]} over tasks",
            "value": one["mean"],
        }
        for name, one in about.scores.items()
        if name in METRICS and one["mean"] is not None
    ]
    result = {
        "task": {"type": purpose},
        "dataset": {"type": spec.group.dataset, "name": spec.group.title, "split": "test"},
        "metrics": scores,
    }
    head = {
        "library_name": "onnx",
        "pipeline_tag": purpose,
        "tags": list(TAGS),
        "metrics": [score["type"] for score in scores],
        "model-index": [{"name": about.title, "results": [result]}],
    }
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()]
    return "\n".join(["---", *lines, "---"])


def _use(about: About) -> str:
    given = about.input
    shape = ", ".join(map(str, given.shape))
    points = f"uint8, (points, {shape})" if given.kind == "image" else f"float32, (points, {shape})"
    code = [
        "import numpy as np, onnxruntime",
        f'session = onnxruntime.InferenceSession("{ONNX}")',
        f"{given.name} = ...  # {points}",
        f'answer, each = session.run(None, {{"{given.name}": {given.name}}})',
        f"# answer (points, {about.n_outputs}), each (points, {len(about.models)},"
        f" {about.n_outputs}): {_columns(about)}",
    ]
    more = (
        f'With torch: `stg_core.export.load("{WEIGHTS}")` gives a module, to predict or to go on'
        " training."
    )
    return f"```python\n{chr(10).join(code)}\n```\n\n{_input(about)} {more}"


def _columns(about: About) -> str:
    plain = {*about.kinds} == {"binary"}
    return "the probability of a yes to each task" if plain else "see Tasks for the columns"


def _input(about: About) -> str:
    given = about.input
    if given.kind == "image":
        height, width, channels = given.shape
        return (
            f"Images are levels from 0 to 255 of {height} × {width} pixels and"
            f" {counted(channels, 'channel')}; they are normalised in the file."
        )
    columns = ", ".join(map(_text, given.columns))
    named = f" In this order: {columns}." if columns else ""
    if given.raw:
        return (
            "Rows hold the numbers as they stand in the table, NaN where one is missing; they are"
            f" standardised in the file.{named}"
        )
    return (
        "Rows hold the numbers as the training saw them, standardised: how that was done was not"
        f" kept with the data set.{named}"
    )


def _data(made: Made) -> str:
    about, spec, points = made.about, made.plan.spec, made.report["points"]
    called = DATASET_TITLES.get(spec.group.dataset, spec.group.dataset)
    trained = spec.training_images or None
    some = f", of which {trained:,} were trained on" if trained else ""
    return (
        f"{_text(called)}{some}. Scores are on {points['test']:,} test points that no model was"
        f" trained on. Digest of the data: `{about.data}`."
    )


def _tasks(made: Made) -> str:
    about = made.about
    first, scores = next(iter(about.scores.items()))
    name = _measure(made, first)
    rows = []
    for task, kind in zip(about.tasks, about.kinds, strict=True):
        place, own = about.columns[task], scores["tasks"][task]
        columns = (
            f"{place.start}"
            if about.widths == (1,) * len(about.tasks)
            else (
                f"{place.start} to {place.stop - 1}"
                if place.stop - place.start > 1
                else place.start
            )
        )
        answers = ", ".join(about.classes.get(task, ()))
        rows.append(
            [
                columns,
                task,
                KINDS_OF_TASKS[kind] + f": {answers}" * bool(answers),
                _with_interval(own["score"], own["ci"]),
            ]
        )
    return _table(["Column", "Task", "Answer", f"{name} (95 %)"], rows)


def _grouping(made: Made) -> str:
    about, spec = made.about, made.plan.spec
    how = about.models[0].about
    seeds = ", ".join(str(model.about["seed"]) for model in about.models)
    wider = f", {how['width']:g} times as wide" * (how["width"] != 1)
    trained = (
        f"{'It is' if len(about.models) == 1 else 'Each is'} `{how['model']}`{wider}, trained for"
        f" {counted(how['epochs'], 'epoch')} with batches of {spec.batch_size}, Adam at"
        f" {spec.learning_rate:g}, augmentation {spec.augmentation};"
        f" seed{'s' * (len(about.models) > 1)} {seeds}."
    )
    if len(about.models) == 1:
        return f"One model answers all tasks. {trained}"
    averaged = (
        f"The answer to a task is the average of the models' {about.average}, with these weights"
        if about.routing == "soft"
        else "Each task is answered by one model alone (hard routing)"
    )
    grouped = ""
    if about.scheme not in ("plain", "stl"):
        by = about.grouping
        grouped = (
            f" Tasks were grouped by how a model learned them (their data maps, STG-MTL), into"
            f" {by['k']} clusters, fuzzifier {by['fuzzifier']:g}, method {by['method']}; the"
            " memberships are the weights of the tasks in each model's loss."
        )
    rows = [
        [task, *(f"{weight:.3f}" for weight in weights)]
        for task, weights in zip(about.tasks, about.matrix.T.tolist(), strict=True)
    ]
    table = _table(["Task", *(model.name for model in about.models)], rows)
    return f"{averaged}.{grouped} {trained}\n\n{table}"


def _scores(made: Made) -> str:
    """Of all schemes that were trained and judged together, controls among them."""
    about, report = made.about, made.report
    variant = f"{about.average}-{about.routing}"
    measures = report["variants"][variant]["measures"]
    rows = []
    for scheme in report["schemes"]:
        cost = report["costs"][scheme]
        means = [measures[name]["schemes"][scheme] for name in report["measures"]]
        rows.append(
            [
                _scheme(scheme) + " (this file)" * (scheme == about.scheme),
                *(_with_interval(one["mean"], one["ci"]) for one in means),
                _number(cost["training"]),
                _number(cost["serving"]),
            ]
        )
    head = ["Scheme", *(f"{_measure(made, name)} (95 %)" for name in report["measures"])]
    table = _table([*head, "Training cost", "Serving cost"], rows)
    left_out = report["left_out"]
    without = f" without {', '.join(map(_text, left_out))}" if left_out else ""
    details = verdict_in(report, variant).details
    return (
        f"Means over the tasks{without}; costs in models of all tasks (MTL).\n\n{table}\n\n"
        f"{_text(details)}"
    )


def _limits(made: Made) -> str:
    about, report = made.about, made.report
    told = [
        "The models have one seed each, and the intervals are over test points only: another seed"
        " gives other scores.",
        "How it answers points from elsewhere than its data set is not known.",
    ]
    if report["left_out"]:
        told.append(
            f"Not learned better than chance: {', '.join(map(_text, report['left_out']))}. Do not"
            " use their answers."
        )
    if "binary" in about.kinds:
        told.append(
            f"A yes is said above {about.threshold:g}. The rarer answer of a task weighs as much as"
            " the other in training, so that probabilities are higher for it than its share: they"
            " rank, and are not calibrated."
        )
    untried = [
        SCHEME_NAMES[one] for one in CONTROLS.get(about.scheme, ()) if one not in report["schemes"]
    ]
    if untried:
        told.append(f"Controls that were not tried: {', '.join(untried)}.")
    told.append("No license is stated here: that of the data may bind who uses the model.")
    return "\n".join(f"- {one}" for one in told)


def _served(about: About, check: Check, serving: Mapping[str, Serving]) -> str:
    scores = "; ".join(
        f"{MEASURE_NAMES[name]} {both['file']:.4f}, judged {both['judged']:.4f}"
        for name, both in check.scores.items()
    )
    rows = [
        [
            name,
            str(one.models),
            f"{one.bytes / 1e6:.2f} MB",
            f"{one.one:.2f} ms",
            f"{one.many:.3f} ms",
        ]
        for name, one in serving.items()
    ]
    head = ["", "Models asked", "Size", "One point", f"Each of {MANY} points"]
    return (
        f"On {counted(check.points, 'test point')}, onnxruntime and torch differ by"
        f" {check.difference:.1g} at most. Mean scores of the file: {scores}.\n\n"
        f"{_table(head, rows)}\n\nMedians on one thread of the machine that wrote the file, in"
        " turns with each other."
        f"\n\n    {about.made['command']}"
    )


# ------------------------------------------------------------------------------------- wording


def _scheme(name: str) -> str:
    return SCHEME_NAMES[name].removeprefix("the ")


def _measure(made: Made, name: str) -> str:
    title = Words.of(made.report).measure(name)
    return title[0].upper() + title[1:]


def _with_interval(value: float | None, ends: Sequence[float | None]) -> str:
    if value is None:
        return "–"
    low, high = ends
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f}–{high:.3f})"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_text(str(cell)) for cell in line) + " |" for line in lines)


def _text(text: str) -> str:
    """A foreign name as Markdown shows it, and as no table is broken by."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    for mark in "\\`*_[]<>|":
        plain = plain.replace(mark, f"\\{mark}")
    return plain
