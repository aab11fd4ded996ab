"""The Specialists page: what is planned, what goes on, and what was found."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import judgement
from app.charts import quality
from app.charts.base import number
from stg_core.cli.main import parser
from stg_core.engine.derived import Answer, Progress
from stg_core.engine.job import Job
from stg_core.engine.worker import run_spec
from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.judging.plan import Plan, make_plan, mtl_spec_of
from stg_core.judging.report import bundle_report, make_report
from stg_core.judging.verdict import MEASURE_NAMES, verdict_in
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.tasks.datasets import add
from stg_core.training.spec import TrainingSpec
from tests.pages.conftest import OpenApp, StandInDerived, StandInEngine, slider, texts, titles

PLANNED = ("mtl", "specialists", "plain", "random", "longer", "wider")  # at first
VARIANTS = ("logits-soft", "logits-hard", "probabilities-soft", "probabilities-hard")


@pytest.fixture(scope="session")
def plan(trained: Run) -> Plan:
    """What the page plans for the digits at k = 2; nothing but MTL is trained."""
    space = TaskSpace(trained.summary)
    mtl = mtl_spec_of(trained, Store(trained.folder.parents[1]))
    return make_plan(mtl, group_tasks(space, 2, 2.0), space, PLANNED)


@pytest.fixture(scope="session")
def judged(plan: Plan, trained: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What that plan finds; trained elsewhere, so that `trained` stays alone in its folder."""
    store = Store(tmp_path_factory.mktemp("judged"))
    for spec in plan.trainings:
        run_spec(store, spec)
    return make_report(plan, store, resamples=100)


@pytest.fixture
def complete(
    plan: Plan, judged: dict[str, Any], derived: type[StandInDerived], monkeypatch: Any
) -> None:
    """As if all of the plan were trained, and judged in the background."""
    monkeypatch.setattr(Plan, "missing", lambda *_: ())
    derived.given["specialists"] = Answer(judged)


def job(plan: Plan, place: int, **told: Any) -> Job:
    spec = plan.trainings[place]
    return Job(spec.key, spec, **told)


def table(app: Any, column: str) -> Any:
    """The table that has this column."""
    return next(frame.value for frame in app.dataframe if column in frame.value)


def test_the_plan_is_told_before_it_starts(open_app: OpenApp, trained: Run) -> None:
    app = open_app("specialists", trained, k="2")
    assert not app.exception and not app.error
    planned = table(app, "What it is").set_index("Scheme")
    assert planned["Trainings"].to_dict() == {
        "MTL": 1,
        "Specialists": 2,
        "Plain ensemble": 2,
        "Random grouping": 2,
        "Longer model": 1,
        "Wider model": 1,
    }
    assert planned["Here"].to_dict() == {
        "MTL": 1,
        "Specialists": 0,
        "Plain ensemble": 1,
        "Random grouping": 0,
        "Longer model": 0,
        "Wider model": 0,
    }
    assert planned["Training cost"].to_dict() | {"Wider model": ""} == {
        "MTL": "1.00",
        "Specialists": "3.00",
        "Plain ensemble": "2.00",
        "Random grouping": "2.00",
        "Longer model": "3.00",
        "Wider model": "",
    }
    assert float(planned.loc["Wider model", "Serving cost"]) == pytest.approx(2, rel=0.02)
    assert "8 trainings** in all, 1 of them here" in texts(app)
    assert re.search(r"as much as 1[01]\.\d trainings of MTL, the rest as much", texts(app))
    assert re.search(r"on this machine \(cpu\): about \d+ s", texts(app))


def test_what_single_task_models_cost_is_seen_before_they_are_started(
    open_app: OpenApp, trained: Run
) -> None:
    app = open_app("specialists", trained, k="2", schemes=["MTL", "STL"])
    planned = table(app, "What it is").set_index("Scheme")
    assert planned.loc["STL", "Trainings"] == 15 and planned.loc["STL", "Time"] != "–"


def test_a_wider_model_is_planned_at_first_only_where_it_costs_little(open_app: OpenApp) -> None:
    for run, small in (("bundled:digits", True), ("bundled:g1", False)):
        app = open_app("specialists", bundles=True, run=run, result="this plan")
        schemes = table(app, "What it is")["Scheme"].tolist()
        assert ("Wider model" in schemes) == small
        assert "Longer model" in schemes and not {*schemes} & {"STL", "Warm specialists"}
        assert "Wider model" in app.button_group(key="schemes").options


def test_for_which_share_warm_models_go_on_is_chosen_with_them(
    open_app: OpenApp, trained: Run, engine: type[StandInEngine]
) -> None:
    app = open_app("specialists", trained, k="2")
    assert "warm_share" not in [one.key for one in app.number_input]
    schemes = ["MTL", "Warm specialists", "Warm ensemble"]
    app = open_app("specialists", trained, k="2", schemes=schemes)
    assert app.number_input(key="warm_share").value == 0.5
    planned = table(app, "What it is").set_index("Scheme")
    assert planned.loc["Warm specialists", "Training cost"] == "2.00"
    app = open_app("specialists", trained, k="2", schemes=schemes, warm_share="1.5")
    planned = table(app, "What it is").set_index("Scheme")
    assert planned.loc["Warm ensemble", "Training cost"] == "4.00"
    app.button(key="train").click().run()
    warm = [spec for spec in engine.submitted if spec.starts_from]
    assert len(warm) == 4 and {spec.epochs for spec in warm} == {round(1.5 * trained.spec.epochs)}


def test_a_model_of_ones_own_has_no_wider_one(
    open_app: OpenApp, trained: Run, monkeypatch: Any
) -> None:
    monkeypatch.setattr("stg_core.judging.plan.multiply_adds_of", lambda _: None)
    app = open_app("specialists", trained, k="2")
    assert not app.exception and not app.error
    assert "Wider model" not in app.button_group(key="schemes").options


def test_a_start_asks_for_what_is_missing_and_nothing_else(
    open_app: OpenApp, trained: Run, plan: Plan, engine: type[StandInEngine]
) -> None:
    app = open_app("specialists", trained, k="2")
    app.button(key="train").click().run()
    assert engine.submitted == list(plan.trainings[1:])


@pytest.mark.parametrize(
    ("epoch", "told"), [(3600.0, "7 models"), (None, "not known yet"), (30.0, None)]
)
def test_a_plan_of_hours_or_of_unknown_length_asks_before_it_starts(
    open_app: OpenApp, engine: type[StandInEngine], epoch: float | None, told: str | None
) -> None:
    engine.epoch = epoch  # 7 models of 10 epochs or more are missing
    address = {"run": "bundled:g1", "k": "2", "result": "this plan"}
    app = open_app("specialists", bundles=True, **address)
    app.button(key="train").click().run()
    if told is None:
        assert len(engine.submitted) == 7
        return
    assert engine.submitted == [] and not app.exception
    assert told in texts(app)
    if epoch:
        assert "about 90 h 0 min" in texts(app)
    app.button(key="train").click()
    app.button(key="decline plan").click().run()
    assert engine.submitted == []
    app.button(key="train").click().run()
    app.button(key="train").click()
    app.button(key="confirm plan").click().run()
    assert len(engine.submitted) == 7 and not app.exception


def test_while_a_training_is_going_on_every_duration_is_rough(
    open_app: OpenApp, trained: Run, engine: type[StandInEngine]
) -> None:
    assert "roughly" not in texts(open_app("specialists", trained, k="2"))
    engine.busy = True
    app = open_app("specialists", trained, k="2")
    assert re.search(r"about \d+ s, roughly: a training is going on", texts(app))
    times = table(app, "What it is")["Time"]
    assert all(time == "–" or time.endswith(", roughly") for time in times)


def test_seeds_are_trained_once_each(
    open_app: OpenApp, trained: Run, engine: type[StandInEngine]
) -> None:
    app = open_app("specialists", trained, k="2", plan_seeds="0, 1")
    app.button(key="train").click().run()
    assert len(engine.submitted) == 15
    assert {spec.seed for spec in engine.submitted} == {0, 1, 1000, 1001}


@pytest.mark.parametrize(
    ("seeds", "sentence"), [("one", "Write seeds as 0, 1"), ("0, 1000", "share models")]
)
def test_seeds_that_cannot_be_are_explained(
    open_app: OpenApp, trained: Run, seeds: str, sentence: str
) -> None:
    app = open_app("specialists", trained, k="2", plan_seeds=seeds)
    assert not app.exception and sentence in app.error[0].value


def test_no_scheme_at_all_is_explained(open_app: OpenApp, trained: Run) -> None:
    app = open_app("specialists", trained, k="2")
    app.button_group(key="schemes").set_value([]).run()
    assert not app.exception and "Choose at least one scheme" in app.error[0].value


def test_superclasses_are_offered_where_there_are_some(open_app: OpenApp) -> None:
    for run, offered in (("bundled:g1", False), ("bundled:g3", True)):
        app = open_app("specialists", bundles=True, run=run, result="this plan")
        schemes = table(app, "What it is")["Scheme"].tolist()
        assert ("Superclass grouping" in schemes) == offered


def test_every_training_shows_how_far_it_is(
    open_app: OpenApp, trained: Run, plan: Plan, engine: type[StandInEngine]
) -> None:
    engine.known = [
        job(plan, 1, state="done", fraction=1.0, metrics={"loss": [1, 2], "mean_f1": [0.3, 0.5]}),
        job(plan, 2, state="running", fraction=0.5, seconds_left=30.0),
        job(plan, 3),
    ]
    app = open_app("specialists", trained, k="2")
    shown = table(app, "Progress").set_index("Model")
    assert shown["State"].to_dict() == {
        "MTL, all tasks": "here",
        "Specialists, cluster 1": "done",
        "Specialists, cluster 2": "running",
        "Plain ensemble, model 2": "queued",
        "Random grouping, cluster 1": "–",
        "Random grouping, cluster 2": "–",
        "Longer model, all tasks": "–",
        "Wider model, all tasks": "–",
    }
    assert shown.loc["Specialists, cluster 1", "Mean F1"] == 0.5
    assert shown.loc["Specialists, cluster 2", "Left"] == "30 s"
    (frame,) = (f for f in app.dataframe if "Progress" in f.value)
    assert frame.value["Mean F1"].isna().any() and frame.value["Left"].isna().any()
    assert frame.proto.placeholder == "–", "which else is None"
    assert "Each model alone, while it trains" in titles(app)
    assert "judgement appears here" in app.info[0].value


def test_a_plan_is_cancelled_as_a_whole_and_resumed(
    open_app: OpenApp, trained: Run, plan: Plan, engine: type[StandInEngine]
) -> None:
    engine.known = [job(plan, 1, state="running"), job(plan, 2)]
    app = open_app("specialists", trained, k="2")
    app.button(key="cancel plan").click().run()
    assert engine.cancelled == [spec.key for spec in plan.trainings[1:3]]
    engine.known = [job(plan, 1, state="cancelled"), job(plan, 2, state="cancelled")]
    app = open_app("specialists", trained, k="2")
    assert app.button(key="train").label == "Resume 7 models"


def test_a_training_that_failed_says_why(
    open_app: OpenApp, trained: Run, plan: Plan, engine: type[StandInEngine]
) -> None:
    engine.known = [job(plan, 1, state="failed", message="The disk is full. Make room.")]
    app = open_app("specialists", trained, k="2")
    assert "The disk is full" in app.error[0].value


@pytest.mark.usefixtures("complete")
def test_a_finished_plan_is_judged(open_app: OpenApp, trained: Run, judged: dict[str, Any]) -> None:
    app = open_app("specialists", trained, k="2")
    assert not app.exception and not app.error
    told = verdict_in(judged, "logits-soft")
    shown = [element.value.replace("\\", "") for element in app.markdown]
    assert told.headline in shown and told.details not in told.headline
    (behind,) = (e for e in app.expander if e.label == "What else the comparison says")
    assert not behind.proto.expanded
    assert [element.value.replace("\\", "") for element in behind.markdown] == [told.details]
    assert "AUROC minus that of MTL" in titles(app) and "F1 by weight" in titles(app)
    assert {"Test images", "Training images"} <= titles(app)
    scores = table(app, "Balanced accuracy").set_index("Scheme")
    measures = judged["variants"]["logits-soft"]["measures"]
    found = measures["auroc"]["schemes"]["plain"]
    assert scores.loc["Plain ensemble", "AUROC"].startswith(f"{found['mean']:.3f} (")
    assert scores.loc["Plain ensemble", "Best epoch"] == f"{found['best_epoch']['mean']:.3f}"
    by_f1 = measures["f1"]["schemes"]["plain"]["mean"]
    assert scores.loc["Plain ensemble", "F1"] == f"{by_f1:.3f}"
    assert scores["Training cost"].to_dict() | {"Wider model": ""} == {
        "MTL": "1.00",
        "Specialists": "3.00",
        "Plain ensemble": "2.00",
        "Random grouping": "2.00",
        "Longer model": "3.00",
        "Wider model": "",
    }
    assert scores.loc["MTL", "Measured"] == "1.00" and scores.loc["Longer model", "Measured"] != "–"
    assert "Quality and cost" in titles(app)
    assert texts(app).index("Blue: the front") < texts(app).index("Bands and intervals")
    assert set(scores["Without a model"]) == {number(judged["accuracy_baseline"], ".3f")}
    assert not [button for button in app.button if button.key == "train"]


@pytest.mark.usefixtures("complete")
def test_logits_or_probabilities_and_soft_or_hard_train_nothing_again(
    open_app: OpenApp, trained: Run, judged: dict[str, Any], engine: type[StandInEngine]
) -> None:
    for variant in VARIANTS:
        average, routing = variant.split("-")
        app = open_app("specialists", trained, k="2", average=average, routing=routing)
        scores = judged["variants"][variant]["measures"]["auroc"]["schemes"]["specialists"]
        shown = table(app, "Balanced accuracy").set_index("Scheme")
        assert shown.loc["Specialists", "AUROC"].startswith(f"{scores['mean']:.3f} (")
    assert engine.submitted == []


@pytest.mark.usefixtures("complete")
def test_another_measure_is_one_click_away(
    open_app: OpenApp, trained: Run, judged: dict[str, Any]
) -> None:
    app = open_app("specialists", trained, k="2")
    app.button_group(key="measure").set_value("f1").run()
    assert not app.exception and "F1 minus that of MTL" in titles(app)
    told = verdict_in(judged, "logits-soft", "f1")
    assert told.headline in [element.value.replace("\\", "") for element in app.markdown]
    mean = judged["variants"]["logits-soft"]["measures"]["f1"]["schemes"]["plain"]["mean"]
    shown = table(app, "Balanced accuracy").set_index("Scheme")
    assert shown.loc["Plain ensemble", "F1"].startswith(f"{mean:.3f} (")


def test_a_judgement_that_failed_says_why_and_can_be_tried_again(
    open_app: OpenApp, trained: Run, derived: type[StandInDerived], monkeypatch: Any
) -> None:
    monkeypatch.setattr(Plan, "missing", lambda *_: ())
    derived.given["specialists"] = Answer(problem="It could not be computed.")
    app = open_app("specialists", trained, k="2")
    assert "It could not be computed." in app.warning[0].value
    assert "Try again" in [button.label for button in app.button]


def test_a_judgement_says_how_far_it_is(
    open_app: OpenApp, trained: Run, derived: type[StandInDerived], monkeypatch: Any
) -> None:
    monkeypatch.setattr(Plan, "missing", lambda *_: ())
    derived.given["specialists"] = Answer(progress=Progress(3, 16, "ensembles"))
    app = open_app("specialists", trained, k="2")
    assert [bar.proto.text for bar in app.get("progress")] == ["3 of 16 ensembles are done."]


def shown_place(app: Any) -> str:
    return str(app.button_group(key="place_choice").value)


def test_a_finished_judgement_and_a_plan_are_two_places(open_app: OpenApp) -> None:
    app = open_app("specialists", bundles=True, run="bundled:g1")
    assert not app.exception and shown_place(app) == "Finished judgements"
    found = judgement.bundled()
    shown = str(app.selectbox(key="result_choice").value)
    assert found[shown]["group"] == "g1"
    said = [option for option in app.selectbox(key="result_choice").options if "k = 5" in option]
    assert said and said[0].startswith("100 questions about CIFAR-100 (G3), small_cnn, 10 epochs")
    assert verdict_in(found[shown], "logits-soft").headline in texts(app).replace("\\", "")
    assert [box.key for box in app.selectbox] == ["result_choice", "gains_of"], "no run above it"
    components = {component.key for component in app.get("bidi_component")}
    assert components == {"address bar", "theme"}, "no slider that moves nothing"
    assert not any("The plan" in e.label for e in app.expander)

    app.button_group(key="place_choice").set_value("Your plan").run()
    assert not app.exception and "Not judged yet" in app.info[0].value
    (plan,) = (e.label for e in app.expander if "The plan" in e.label)
    assert "CIFAR-10 (G1), resnet18" in plan.replace("\\", "") and "k = 2" in plan
    assert slider(app, "Clusters (k)").value == "2"
    assert not titles(app) and "Does the grouping pay?**" not in texts(app)
    assert app.query_params["result"] == "this plan"

    app.button_group(key="place_choice").set_value("Finished judgements").run()
    assert not app.exception and app.selectbox(key="result_choice").value == shown


def test_a_run_of_ones_own_opens_its_plan(
    open_app: OpenApp, trained: Run, engine: type[StandInEngine], plan: Plan
) -> None:
    app = open_app("specialists", trained, bundles=True, run=trained.id)
    assert shown_place(app) == "Your plan"
    app = open_app("specialists", trained, bundles=True, run=trained.id, result="g3-k5")
    assert shown_place(app) == "Finished judgements"
    assert app.selectbox(key="result_choice").value == "g3-k5"
    engine.known = [job(plan, 1, state="running")]
    assert shown_place(open_app("specialists", bundles=True, run="bundled:g1")) == "Your plan"


def test_without_bundled_judgements_there_is_the_plan_alone(
    open_app: OpenApp, trained: Run
) -> None:
    app = open_app("specialists", trained, result="g3-k5")
    assert not app.exception and slider(app, "Clusters (k)")
    assert "place_choice" not in [group.key for group in app.button_group]


@pytest.mark.parametrize(("run", "k"), [("digits", 3), ("g1", 2), ("g1", 3), ("g2", 4), ("g3", 5)])
def test_of_bundled_judgements_that_of_the_nearest_k_is_shown(
    open_app: OpenApp, run: str, k: int
) -> None:
    app = open_app("specialists", bundles=True, run=f"bundled:{run}", k=str(k))
    shown = judgement.bundled()[str(app.selectbox(key="result_choice").value)]
    nearest = {"digits": 3, "g1": k, "g2": 3, "g3": 5}[run]
    assert (shown["group"], shown["k"]) == (run, nearest)
    assert f"k = {nearest}" in texts(app)


def test_a_judgement_can_be_taken_away(judged: dict[str, Any]) -> None:
    frame = judgement.all_scores(judged, "logits-soft")
    assert [*frame["measure"].unique()] == judged["measures"]
    plain = frame[(frame.scheme == "plain") & (frame.measure == "f1")].set_index("task")
    assert len(plain) == 16
    counted = plain[plain["in the mean"] == True]  # noqa: E712
    assert {*plain.index} - {*counted.index} == {*judged["left_out"], "mean over tasks"}
    mean = plain.loc["mean over tasks"]
    assert mean["score"] == pytest.approx(counted["score"].mean(), abs=1e-5)
    assert (mean["training_cost"], mean["serving_cost"]) == (2, 2) and mean["measured_cost"] > 1
    assert mean[f"seed_{judged['seeds'][0]}"] == mean["score"] and 0 < mean["best_epoch"] < 1
    assert json.loads(judgement.as_json(judged)) == judged
    html = judgement.as_html(judged, "logits-soft", "auroc", [0, 1]).decode()
    told = verdict_in(judged, "logits-soft")
    first, _, rest = unescape(html).partition("<details>")
    assert told.headline in first and told.details not in first and told.details in rest
    # quality and cost, scores, each scheme's differences to MTL, specialisation
    assert html.count("<svg") == 1 + 2 + 5 + 2
    assert all(f"By {MEASURE_NAMES[name]}" in html for name in judged["measures"][1:])
    assert "Best epoch" in html and "Measured" in html
    assert not re.search(r'(src|href)="http', html)
    assert judgement.command(judged).startswith("python -m stg_core specialists")


def test_a_name_in_a_report_stays_text(judged: dict[str, Any]) -> None:
    html = judgement.as_html(
        {**judged, "title": "<script>alert(1)</script>"}, "logits-soft", "auroc", [0, 1]
    )
    assert b"<script>" not in html


# ------------------------------------------------------------------------- tasks of other kinds


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Two epochs of a data set of one's own: a colour, two numbers, and what no test plant has."""
    from stg_core.training.loop import train

    home = tmp_path_factory.mktemp("plants")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(home))
        rng = np.random.default_rng(0)
        rows, for_test = rng.normal(size=(200, 4)), np.arange(200) % 4 == 0
        labels = {
            "colour": np.array(["red", "blue", "white"])[rows[:, :3].argmax(axis=1)],
            "height": rows[:, 0] + rows[:, 1],
            "weight": rows[:, 0] - rows[:, 2],
            "rare": (rows[:, 3] > 1) & ~for_test,
        }
        families = {"height": "measures", "weight": "measures", "rare": "health"}
        group = add("plants", rows, labels, families=families, split=for_test).group
        kept, spec = Store(home), TrainingSpec(group, epochs=2)
        yield kept.save(train(spec, folder=kept.work_folder(spec.key)))


def judged_elsewhere(spec: TrainingSpec, run: Run, folder: Path) -> dict[str, Any]:
    """The judgement of two clusters of some tasks of a run."""
    store = Store(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(run.folder.parents[1]))  # where its data are
        space = TaskSpace(run_spec(store, spec).summary)
        plan = make_plan(spec, group_tasks(space, 2, 2.0), space, ("mtl", "specialists", "plain"))
        for each in plan.trainings:
            run_spec(store, each)
    return make_report(plan, store, resamples=50)


def test_tasks_of_every_kind_are_planned_with_their_families(
    open_app: OpenApp, plants: Run, engine: type[StandInEngine]
) -> None:
    app = open_app("specialists", plants, k="2")
    assert not app.exception and not app.error
    planned = table(app, "What it is").set_index("Scheme")
    assert "families" in planned.loc["Family grouping", "What it is"]
    app.button(key="train").click().run()
    metrics: dict[str, list[Any]] = {"loss": [2.0, 1.0], "mean_f1": [None, -0.25]}
    first, *others = engine.submitted
    engine.known = [
        Job(first.key, first, state="running", metrics=metrics),
        *(Job(spec.key, spec, metrics={"loss": [2.0], "mean_f1": [None]}) for spec in others),
    ]
    app = open_app("specialists", plants, k="2")
    assert not app.exception
    shown = table(app, "Progress")["Mean score"]
    assert -0.25 in shown.tolist() and "Each model alone, while it trains" in titles(app)


def test_a_mixture_is_judged_by_its_score_and_what_is_not_defined_has_no_row(
    open_app: OpenApp,
    plants: Run,
    derived: type[StandInDerived],
    monkeypatch: Any,
    tmp_path: Path,
) -> None:
    report = judged_elsewhere(plants.spec, plants, tmp_path / "elsewhere")
    monkeypatch.setattr(Plan, "missing", lambda *_: ())
    derived.given["specialists"] = Answer(report)
    app = open_app("specialists", plants, k="2")
    assert not app.exception and not app.error
    scores = table(app, "AUROC or R²").set_index("Scheme")
    mean = report["variants"]["logits-soft"]["measures"]["auroc"]["schemes"]["mtl"]["mean"]
    assert scores.loc["MTL", "AUROC or R²"].startswith(f"{number(mean, '.3f')} (")
    assert {"Test points", "AUROC or R² minus that of MTL", "Score by weight"} <= titles(app)
    assert re.search(r"(\d+) tasks? gains?, (\d+) lose, of (\d+) it", texts(app))
    said = texts(app).replace("\\", "")
    assert "AUROC or R² is not defined (–) for rare: such a task is in no mean." in said
    told = per_task(report, "mtl", "auroc")
    assert told["score"].isna().to_dict()["rare"] and told["score"].notna().sum() == 4
    html = judgement.as_html(report, "logits-soft", "auroc", [0, 1]).decode()
    assert html.count("<svg") == 7 and "Test points" in html and " images" not in html


def per_task(report: dict[str, Any], scheme: str, measure: str) -> Any:
    frame = judgement.all_scores(report, "logits-soft")
    return frame[(frame.scheme == scheme) & (frame.measure == measure)].set_index("task")


def test_numbers_alone_have_no_accuracy_and_a_dash_says_so(
    open_app: OpenApp, plants: Run, monkeypatch: Any, tmp_path: Path
) -> None:
    spec = TrainingSpec(plants.spec.group, tasks=("height", "weight"), epochs=2)
    report = judged_elsewhere(spec, plants, tmp_path / "elsewhere")
    monkeypatch.setattr("stg_core.results.store.BUNDLES", tmp_path / "bundles")
    bundle_report(report, "numbers")
    app = open_app("specialists", plants, bundles=True, result="numbers")
    assert not app.exception and not app.error
    scores = table(app, "R²")
    assert not {"Balanced accuracy", "Accuracy", "Without a model"} & {*scores.columns}
    assert "measure" not in [group.key for group in app.button_group]
    assert "R² minus that of MTL" in titles(app) and "F1" not in texts(app)
    assert per_task(report, "plain", "r2")["score"].notna().all()


# --------------------------------------------------------------------------- quality and cost


def report_of(means: dict[str, tuple[float, float, float]], better: set[tuple[str, str]]) -> Any:
    """A report of schemes by mean, training cost and serving cost; better: who is than whom."""
    pairs = [(a, b) for i, b in enumerate(means) for a in [*means][i + 1 :]]
    signs = {(a, b): ((a, b) in better) - ((b, a) in better) for a, b in pairs}
    schemes = {
        scheme: {"mean": mean, "ci": [mean - 0.1, mean + 0.1], "seeds": [mean - 0.01, mean + 0.01]}
        for scheme, (mean, _, _) in means.items()
    }
    differences = [
        {
            "scheme": a,
            "other": b,
            "mean": means[a][0] - means[b][0],
            "ci": [0.01 * sign - 0.005, 0.01 * sign + 0.005],
            "seeds": [0.01 * sign] * 2,
        }
        for (a, b), sign in signs.items()
    ]
    return {
        "seeds": [0, 1],
        "intervals": "points and seeds",
        "costs": {
            scheme: {"training": training, "serving": serving, "measured": None}
            for scheme, (_, training, serving) in means.items()
        },
        "variants": {
            "logits-soft": {"measures": {"f1": {"schemes": schemes, "differences": differences}}}
        },
    }


def test_the_front_is_who_is_not_beaten_beyond_the_noise_at_no_more_cost() -> None:
    means = {
        "mtl": (0.5, 1.0, 1.0),
        "specialists": (0.7, 3.0, 2.0),
        "plain": (0.6, 2.0, 2.0),
        "longer": (0.8, 3.0, 1.0),
        "warm": (0.65, 2.0, 2.0),
    }
    known = {("specialists", "mtl"), ("longer", "specialists"), ("longer", "plain")}
    picture = quality.quality_and_cost(report_of(means, known), "logits-soft", "f1", False)
    shown = picture.data["means"].set_index("scheme")
    assert shown["beaten"].to_dict() == {
        "MTL": False,  # what beats it costs more
        "Plain ensemble": False,  # that the warm ones are better is noise
        "Warm specialists": False,
        "Specialists": True,
        "Longer model": False,
    }
    in_order = "MTL", "Plain ensemble", "Warm specialists", "Specialists", "Longer model"
    assert tuple(shown.index) == in_order
    assert len(picture.data["seeds"]) == 10
    assert picture.description == (
        "Scatter plot: mean F1 of 5 schemes by training cost. The best from a cost of 1 times MTL:"
        " MTL 0.500; 2 times MTL: Warm specialists 0.650; 3 times MTL: Longer model 0.800. Beaten"
        " by one of no more cost: Specialists."
    )


@pytest.mark.parametrize(
    ("width", "step"), [(quality.WIDE, quality.WIDE_STEP), (quality.NARROW, quality.STEP)]
)
def test_columns_of_the_same_cost_stand_apart_and_others_at_their_cost(
    width: int, step: int
) -> None:
    costs = np.array([1.0, 2, 2, 2, 2, 2, 2, 2, 3, 3, 12])
    x = np.log(costs) / np.log(12) * width
    drawn = x + quality.shifts([*costs], width, step)
    assert (np.diff(drawn) >= step - 1e-6).all()
    alone = quality.shifts([1.0, 4, 16], width, step)
    assert alone == pytest.approx([0, 0, 0], abs=1e-9)


def test_every_measure_is_one_click_and_says_what_is_shown(
    open_app: OpenApp, trained: Run, judged: dict[str, Any], complete: None
) -> None:
    app = open_app("specialists", trained, k="2")
    for name in judged["measures"]:
        title = judgement.measure_title(judged, name)
        app.button_group(key="measure").set_value(name).run()
        assert not app.exception and not app.error
        found = judged["variants"]["logits-soft"]["measures"][name]
        shown = table(app, "Each seed").set_index("Scheme")
        mean = found["schemes"]["longer"]["mean"]
        assert shown.loc["Longer model", title].startswith(f"{mean:.3f} (")
        assert f"{title} minus that of MTL" in titles(app)
        assert verdict_in(judged, "logits-soft", name).headline in texts(app).replace("\\", "")
        again = open_app("specialists", trained, k="2", measure=title)
        assert again.button_group(key="measure").value == name


def test_a_judgement_of_the_first_version_says_what_it_did_not_keep(
    open_app: OpenApp, judged: dict[str, Any], monkeypatch: Any, tmp_path: Path
) -> None:
    app = open_app("specialists", bundles=True, result="g1-k2", measure="AUROC")
    assert not app.exception and not app.error
    assert app.button_group(key="measure").value == "f1"
    said = "AUROC, average precision, F1 at a tuned threshold were not kept"
    assert said in texts(app)
    assert "Quality and cost" in titles(app)
    assert set(table(app, "Best epoch")["Best epoch"]) == {"–"}
    assert set(table(app, "Measured")["Measured"]) == {"–"}
    html = judgement.as_html(judgement.bundled()["g1-k2"], "logits-soft", "f1", [0, 1]).decode()
    assert said in html and "Quality and cost" in html


def test_costs_that_are_not_measured_as_they_are_counted_are_named() -> None:
    costs: dict[str, Any] = {
        "mtl": {"training": 1.0, "measured": 1.0},
        "longer": {"training": 4.0, "measured": 3.7},
        "wider": {"training": 3.0, "measured": 2.0},
        "random": {"training": 3.0, "measured": None},
    }
    told = judgement.about_costs({"costs": costs})
    assert told.startswith("Not within a tenth of each other: one wider model (3.0 counted, 2.0")
    assert "longer" not in told and "random" not in told
    assert judgement.about_costs({"costs": {"mtl": costs["mtl"]}}) == ""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The words of all that pages ask for in the background."""
    words: list[tuple[str, ...]] = []
    get = StandInDerived.get

    def noted(self: Any, question: Any) -> Any:
        words.append(question.words)
        return get(self, question)

    monkeypatch.setattr(StandInDerived, "get", noted)
    return words


def test_the_models_are_made_in_the_background_and_downloaded(
    open_app: OpenApp,
    trained: Run,
    plan: Plan,
    complete: None,
    derived: type[StandInDerived],
    asked: list[tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in ("model.onnx", "model.safetensors", "README.md"):
        (tmp_path / name).write_bytes(b"it")
    monkeypatch.setattr("stg_core.export.kept.folder_of", lambda *_: tmp_path)
    app = open_app("specialists", trained, k="2", routing="hard")
    assert "export-model" not in {words[0] for words in asked}
    app.button(key="take home").click().run()
    assert not app.exception and not app.error
    assert "The file is being made, and checked." in [info.value for info in app.info]
    words = next(words for words in asked if words[0] == "export-model")
    assert parser().parse_args([*words]).command
    options = dict(zip(words[2::2], words[3::2], strict=True))
    assert options["--scheme"] == "specialists" and options["--routing"] == "hard"
    assert options["--k"] == "2" and options["--beside"] == ",".join(PLANNED)

    served = {"bytes": 2_000_000, "models": 2, "one": 0.5, "many": 0.1}
    derived.given["export-model"] = Answer(
        {
            "scheme": "specialists",
            "seed": 0,
            "bytes": {"model.onnx": 2_000_000, "model.safetensors": 1, "README.md": 1},
            "check": {
                "points": 360,
                "difference": 3e-6,
                "scores": {"auroc": {"file": 0.98765, "judged": 0.98764}},
            },
            "serving": {"specialists": served},
        }
    )
    app.run()
    assert "360 test points" in texts(app) and "PyTorch differ by 3e-06 at most" in texts(app)
    assert "mean AUROC of the file is 0.9877, and 0.9876 was judged" in texts(app)
    assert table(app, "Models asked")["MB"].tolist() == [2.0]


def test_warm_models_are_made_for_the_share_of_the_plan(
    open_app: OpenApp,
    trained: Run,
    complete: None,
    derived: type[StandInDerived],
    asked: list[tuple[str, ...]],
) -> None:
    schemes = ["MTL", "Warm specialists", "Warm ensemble"]
    app = open_app("specialists", trained, k="2", schemes=schemes, warm_share="1.5")
    app.selectbox(key="taken scheme").set_value("warm").run()
    app.button(key="take home").click().run()
    assert not app.exception and not app.error
    words = next(words for words in asked if words[0] == "export-model")
    options = parser().parse_args([*words])
    assert options.scheme == "warm" and options.warm_share == 1.5
