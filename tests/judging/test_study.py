"""Studies: what a plan may say, the rows of a table, and what comes out of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stg_core.judging.comparing import binned, compared, measures_of, values_of
from stg_core.judging.findings import advice, findings, recommendation
from stg_core.judging.study import read_study, study_of
from stg_core.judging.study_table import (
    COLUMNS,
    Row,
    bundled_studies,
    minus,
    read_plan,
    read_rows,
    row_not_run,
    rows_of,
    write_study,
)
from stg_core.judging.verdict import SCHEME_NAMES
from stg_core.system.errors import UserError

PLANS = Path(__file__).resolve().parents[2] / "assets" / "studies"
GRID = '[[grid]]\ngroup = "digits"\nk = [2, 3]\n'


# ---------------------------------------------------------------------------------------- the plan


def test_a_plan_is_every_combination_of_its_grids() -> None:
    study = study_of(
        """
        title = "Where?"
        [defaults]
        model = "mlp"
        seeds = [3, 4]
        [[grid]]
        group = ["digits", "g1"]
        k = [2, 3]
        fuzzifier = [1.5, "hard"]
        training_images = ["all", "half", 100]
        [[grid]]
        group = "digits"
        k = 5
        seeds = 0
        tasks = "half"
        """,
        "where",
    )
    assert study.title == "Where?" and len(study.cells) == 2 * 2 * 2 * 3 + 1
    assert {cell.seeds for cell in study.cells[:-1]} == {(3, 4)}
    last = study.cells[-1]
    assert (last.seeds, last.k, last.model, last.method, last.m) == ((0,), 5, "mlp", "soft", 2.0)
    assert {cell.method for cell in study.cells} == {"soft", "hard"}


def test_a_cell_is_a_training_of_a_part_of_the_tasks_and_points() -> None:
    cell = study_of(GRID + 'tasks = "half"\ntraining_images = "quarter"\nseeds = 7', "x").cells[0]
    spec = cell.spec()
    assert spec.tasks == ("0", "2", "4", "6", "8", "Odd", "Not small")
    assert spec.training_images == 359 and spec.seed == 7
    assert spec.recorded[-1] == spec.epochs == 10
    whole = study_of(GRID, "x").cells[0].spec()
    assert whole.tasks == whole.group.task_names and whole.training_images == 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("k = ", "is not TOML"),
        ("", "has no grid"),
        ("grid = 3", "has no grid"),
        ("defaults = 3\n" + GRID, "defaults is not a table"),
        ("colour = 1\n" + GRID, "In the plan, “colour” is no key; choose from title, defaults"),
        ("[defaults]\ncolour = 1\n" + GRID, "In the defaults, “colour” is no key"),
        (GRID + "images = 3", "In grid 1, “images” is no key; choose from group, tasks, model"),
        ("[[grid]]\nk = 2", "Grid 1 says nothing of group"),
        ('[[grid]]\ngroup = "g1"', "Grid 1 says nothing of k"),
        ('[[grid]]\ngroup = "g1"\nk = 1', "k = 1 cannot be: it is a whole number of 2"),
        ('[[grid]]\ngroup = "g1"\nk = true', "k = True cannot be"),
        ('[[grid]]\ngroup = "g1"\nk = []', "k has no value"),
        ("[[grid]]\ngroup = 3\nk = 2", "group = 3 cannot be: it is the name of a task group"),
        (GRID + "fuzzifier = 1", "fuzzifier = 1 cannot be: it is a number above 1, or hard"),
        (GRID + "fuzzifier = nan", "fuzzifier = nan cannot be"),
        (GRID + "epochs = 1", "epochs = 1 cannot be"),
        (GRID + 'training_images = "most"', "training_images = 'most' cannot be: it is a whole"),
        (GRID + "tasks = 1", "tasks = 1 cannot be"),
        (
            GRID + 'routing = "sometimes"',
            "routing = 'sometimes' cannot be: it is one of soft, hard",
        ),
        (GRID + 'average = "mean"', "average = 'mean' cannot be"),
        (GRID + 'schemes = ["mtl", "best"]', "schemes = 'best' cannot be: it is one of mtl"),
        (GRID + "seeds = [0, -1]", "seeds = -1 cannot be"),
        (GRID + GRID + "seeds = 1", "stands in grid 2 and in one before it"),
        (GRID + f"seeds = 0\nepochs = {list(range(2, 2600))}", "more than 5,000 cells"),
    ],
)
def test_what_a_plan_may_not_say_is_named(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        study_of(text, "plan")
    assert sentence in str(error.value)


README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def test_the_plan_of_the_readme_is_one() -> None:
    page = README.partition("\n## Studies\n")[2].partition("\n## ")[0]
    lines = [line.strip() for line in page.splitlines() if line.startswith("    ")]
    study = study_of("\n".join(line for line in lines if "stg_core" not in line), "readme")
    assert len(study.cells) == 2 * 2 * 3 * 3 * 3 + 1


@pytest.mark.parametrize("name", ["default", "images"])
def test_a_bundled_study_is_of_the_plan_that_is_shipped(name: str) -> None:
    shipped, run = read_study(PLANS / f"{name}.toml"), bundled_studies()[name]
    assert shipped.text == read_plan(run).text
    known = {(row["group"], row["tasks"], row["points"], row["k"]) for row in read_rows(run)}
    assert {cell.group for cell in shipped.cells} == {group for group, *_ in known}


def test_the_plan_that_is_shipped_asks_of_everything() -> None:
    study = read_study(PLANS / "default.toml")
    run = [cell for cell in study.cells if cell.group != "chemical"]
    assert len(run) >= 60 and {cell.seeds for cell in run} == {(0, 1, 2, 3, 4)}
    assert {cell.group for cell in study.cells} == {
        *("digits", "yeast", "tox21", "cal500", "chemical")
    }
    assert {cell.k for cell in run} == {2, 3, 5}
    assert {cell.fuzzifier for cell in run} == {1.5, 2.0, "hard"}
    assert {cell.training_images for cell in run} == {"all", "half", "quarter"}
    assert {cell.tasks for cell in run} == {"all", "half"}
    assert all({"longer", "wider", "plain", "random"} <= {*cell.schemes} for cell in run)


def test_a_cell_that_stands_twice_is_one() -> None:
    assert len(study_of(GRID + GRID, "x").cells) == 2


def test_a_plan_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.toml cannot be read"):
        read_study(tmp_path / "nowhere.toml")
    (tmp_path / "a b.toml").write_text(GRID)
    with pytest.raises(UserError, match="Name a plan with letters"):
        read_study(tmp_path / "a b.toml")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("tasks = 16", "There are 15 tasks, and 16 were asked for."),
        ("training_images = 5_000", "There are 1,437 training points, and 5,000 were asked for."),
        ("tasks = 2", "2 tasks cannot form 3 clusters."),
    ],
)
def test_a_cell_that_cannot_be_says_why(line: str, sentence: str) -> None:
    cell = study_of(GRID + line, "x").cells[1]
    with pytest.raises(UserError) as error:
        cell.spec()
    assert str(error.value) == sentence


# ---------------------------------------------------------------------------------------- the rows


def report_of(means: Mapping[str, float]) -> dict[str, Any]:
    """A report, as far as rows are made of it."""
    schemes = list(means)
    measure = {
        "schemes": {s: {"mean": m, "ci": [m - 0.01, m + 0.02]} for s, m in means.items()},
        "differences": [
            {"scheme": a, "other": b, "mean": means[a] - means[b], "ci": [-0.5, 0.25]}
            for i, b in enumerate(schemes)
            for a in schemes[i + 1 :]
        ],
    }
    costs = {"training": 3.0, "serving": 2.0, "seconds": 9.5, "measured": None}
    return {
        "run": "0123456789abcdef",
        "schemes": schemes,
        "measures": ["auroc", "f1"],
        "left_out": ["Random", "Odd"],
        "costs": dict.fromkeys(schemes, costs),
        "variants": {
            f"logits-{routing}": {"measures": {"auroc": measure, "f1": measure}}
            for routing in ("soft", "hard")
        },
    }


def test_rows_say_what_the_report_says(tmp_path: Path) -> None:
    study = study_of(GRID + 'routing = ["soft", "hard"]\nfuzzifier = 1.5', "x")
    cell = study.cells[0]
    report = report_of({"mtl": 0.7, "specialists": 0.8})
    rows = list(rows_of(cell, cell.spec(), report))
    assert len(rows) == 2 * 2 * 2  # variants, measures, schemes
    write_study(tmp_path / "x", study, [*rows, row_not_run(study.cells[1], "It cannot be.")])
    *kept, last = read_rows(tmp_path / "x")
    row = next(r for r in kept if (r["scheme"], r["routing"]) == ("specialists", "hard"))
    assert list(row) == list(COLUMNS)
    assert {
        name: row[name] for name in ("group", "tasks", "points", "k", "fuzzifier", "seeds")
    } == {
        "group": "digits",
        "tasks": 15,
        "points": 1437,
        "k": 2,
        "fuzzifier": 1.5,
        "seeds": 1,
    }
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((0.8, 0.79, 0.82))
    assert [row[name] for name in minus("mtl")] == pytest.approx([0.1, -0.5, 0.25])
    other = next(r for r in kept if r["scheme"] == "mtl")
    assert [other[name] for name in minus("specialists")] == pytest.approx([-0.1, -0.25, 0.5])
    assert other["minus_mtl"] is None and other["minus_plain"] is None
    assert (row["training_cost"], row["serving_cost"], row["seconds"]) == (3.0, 2.0, 9.5)
    assert row["left_out"] == "Random, Odd" and row["not_run"] is None
    assert last["k"] == 3 and last["not_run"] == "It cannot be." and last["scheme"] is None
    assert read_plan(tmp_path / "x") == study
    assert (tmp_path / "x" / "study.csv").read_text().count("\n") == 1 + 9


def test_a_cell_of_a_group_that_is_not_here_has_a_row_too(tmp_path: Path) -> None:
    study = study_of('[[grid]]\ngroup = "elsewhere"\nk = 2\ntasks = 4', "x")
    write_study(tmp_path / "x", study, [row_not_run(study.cells[0], "There is no such group.")])
    (row,) = read_rows(tmp_path / "x")
    assert (row["group"], row["tasks"], row["points"], row["k"]) == ("elsewhere", 4, None, 2)


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.parquet").write_bytes(b"nothing")
    with pytest.raises(UserError, match="Run it again"):
        read_rows(tmp_path)


# ---------------------------------------------------------------------------------- what comes out

COSTS = {"mtl": 1.0, "specialists": 3.0, "plain": 2.0, "random": 2.0, "longer": 3.0, "stl": 15.0}
SURE = 0.001  # half of an interval


def cell_rows(
    scores: Mapping[str, float], k: int = 2, group: str = "digits", sure: float = SURE, **more: Any
) -> list[Row]:
    """The rows of a cell, whose differences are known to within `sure`."""
    place = {"group": group, "tasks": 15, "points": 1_000, "of_tasks": 1.0, "of_points": 1.0}
    place |= {"model": "mlp", "epochs": 30, "k": k, "method": "soft", "fuzzifier": 2.0, "seeds": 5}
    place |= {"average": "logits", "routing": "soft", "measure": "auroc"} | more
    rows: list[Row] = []
    for scheme, score in scores.items():
        row = dict.fromkeys(COLUMNS) | place | {"scheme": scheme, "mean": score}
        row["training_cost"] = COSTS[scheme]
        for other, its in scores.items():
            if other != scheme:
                ends = score - its, score - its - sure, score - its + sure
                row |= dict(zip(minus(other), ends, strict=True))
        rows.append(row)
    return rows


WINS = {"mtl": 0.70, "specialists": 0.75, "plain": 0.72, "random": 0.71, "longer": 0.73}
LOSES = {"mtl": 0.70, "specialists": 0.72, "plain": 0.71, "random": 0.72, "longer": 0.74}
OPEN = {"mtl": 0.70, "specialists": 0.72, "plain": 0.71, "random": 0.72, "longer": 0.7205}


def test_the_best_control_is_the_best_that_costs_no_more() -> None:
    (one,) = compared(cell_rows(WINS | {"stl": 0.9}), "auroc")
    assert one.other == "longer" and one.difference == pytest.approx(0.02)
    assert (one.low, one.high) == pytest.approx((0.019, 0.021))
    assert one.controls == ("mtl", "longer", "plain", "random")
    assert (one.sign, one.of_all, one.at_random) == (1, 1, 1)
    (named,) = compared(cell_rows(WINS | {"stl": 0.9}), "auroc", other="stl")
    assert named.sign == -1 and named.of_all == 1
    (turned,) = compared(cell_rows(WINS), "auroc", "plain", "specialists")
    assert turned.difference == pytest.approx(-0.03) and turned.at_random is None
    assert compared(cell_rows(WINS), "auroc", "warm") == []
    assert compared(cell_rows(WINS), "f1") == []


def test_a_control_that_is_worse_than_none_decides_nothing() -> None:
    (lost,) = compared(cell_rows(LOSES), "auroc")
    assert (lost.sign, lost.of_all, lost.at_random) == (-1, -1, 0)
    (open_,) = compared(cell_rows(OPEN), "auroc")
    assert (open_.sign, open_.of_all, open_.at_random) == (0, 0, 0)


def test_where_grouping_pays_is_said_with_how_much() -> None:
    rows = [*cell_rows(WINS, 2, "yeast"), *cell_rows(LOSES, 3, "yeast"), *cell_rows(OPEN, 2, "tox")]
    told = findings(rows, "auroc")
    assert told.startswith(
        "In 1 of 3 cells the specialists beat every control of at most their cost that was tried"
        f" (MTL, {SCHEME_NAMES['longer']}, the plain ensemble and the random"
        " grouping), by AUROC: 1 of 2 on yeast; 1 of 2 with k = 2. At most they are better by"
        " +0.0200 (95 % interval +0.0190 to +0.0210) than"
        f" {SCHEME_NAMES['longer']}, the best control there (yeast, 15 tasks, 1,000 training"
        " points, k = 2, m = 2)."
    )
    assert "In 1 a control is better than they are; in 1 it cannot be told; on average" in told
    assert "That can be chance: if nothing made a difference, 0.1 of 3 intervals" in told
    assert "as many as here in 7 of 100 studies" in told
    assert (
        "the wrong tasks, does as well in 2 of 3 cells (1 of 2 on yeast, 1 of 1 on tox): there"
        in told
    )


def test_where_nothing_pays_it_is_said() -> None:
    told = findings([*cell_rows(LOSES, 2), *cell_rows(LOSES, 3)], "auroc")
    assert told.startswith("In none of 2 cells the specialists beat every control")
    assert "In 2 a control is better" in told and "cannot be told" not in told
    assert "chance" not in told and "does as well in 2 of 2 cells (2 of 2 on digits)" in told
    assert "By default: train one model of all tasks longer" in told


def test_where_all_pays_it_is_said() -> None:
    told = findings(_all(WINS), "auroc")
    assert told.startswith("In all 4 cells the specialists beat every control")
    assert "a control is better" not in told and "cannot be told" not in told
    assert "is worse in all 4." in told and "chance" not in told
    assert "By default: train specialists by data maps (+0.0500 AUROC over" in told


def _all(scores: Mapping[str, float]) -> list[Row]:
    return [row for k in (2, 3, 4, 5) for row in cell_rows(scores, k)]


def test_what_was_not_tried_is_said() -> None:
    told = findings(cell_rows({"mtl": 0.7, "specialists": 0.72}), "auroc")
    assert "Whether a random grouping does as well is not known" in told
    nothing = findings(cell_rows({"specialists": 0.72, "stl": 0.8}), "auroc")
    assert nothing.startswith("No cell of this study compares the specialists with a control")
    assert measures_of([row_not_run(study_of(GRID, "x").cells[0], "No.")]) == []


def test_a_better_random_grouping_is_said() -> None:
    told = findings(cell_rows(LOSES | {"random": 0.73}), "auroc")
    assert (
        "does as well in 1 of 1 cell, and better in 1 (1 of 1 on digits): there it is not" in told
    )


def test_what_to_do_by_default_is_the_simplest_that_is_not_beaten() -> None:
    assert advice(_all(WINS), "auroc").startswith("train specialists")
    assert advice(_all(LOSES), "auroc").startswith("train one model of all tasks longer")
    same = dict.fromkeys(WINS, 0.7)
    assert advice(_all(same), "auroc").startswith("train one model of all tasks as usual")
    assert advice(cell_rows({"specialists": 0.8}), "auroc") == ""
    # the random grouping does as well, so that specialists are not what is advised
    no_use = {"mtl": 0.70, "specialists": 0.75, "plain": 0.73, "random": 0.75}
    assert advice(_all(no_use), "auroc").startswith("train as many models with random weights")


def test_a_recommendation_is_of_the_nearest_cells() -> None:
    rows = [
        *cell_rows(WINS, group="small", tasks=10, points=500),
        *cell_rows(LOSES, group="large", tasks=12, points=6_000),
    ]
    told = recommendation(rows, 12, 6_000)
    assert "after the study of large (12 tasks, 6,000 points) with mlp: train one model" in told
    both = recommendation(rows, 11, 1_500)
    assert "small (10 tasks, 500 points) and large (12 tasks, 6,000 points)" in both
    assert recommendation(rows, 300, 50_000).startswith("The study knows no task group like this")
    assert recommendation([], 10, 100) == ""


def test_fields_hold_the_cells_of_two_axes() -> None:
    rows = [
        *cell_rows(WINS, 2),
        *cell_rows(LOSES, 3),
        *cell_rows(OPEN, 2, of_points=0.25, points=250),
        *cell_rows(OPEN, 2, method="hard", fuzzifier=None),
    ]
    cells = compared(rows, "auroc")
    assert values_of(cells, "k") == ["2", "3"]
    assert values_of(cells, "fuzzifier") == ["2", "hard"]
    assert values_of(cells, "of_points") == ["a quarter", "all"]
    found = {(one.x, one.y): one for one in binned(cells, "k", "of_points")}
    assert set(found) == {("2", "all"), ("3", "all"), ("2", "a quarter")}
    field = found["2", "all"]
    assert len(field.cells) == 2 and (field.count(1), field.count(-1)) == (1, 0)
    assert field.mean == pytest.approx((0.02 - 0.0005) / 2)
