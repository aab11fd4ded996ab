"""Start: the steps of the method, task groups, a training and its progress, and all runs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from app import run_list
from app.examples import CELL, GAP, contact_sheet
from stg_core.engine.job import Job
from stg_core.export.folders import EXPORTS, WEIGHTS
from stg_core.results.archive import export_run, import_run
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.tasks.groups import GROUPS, custom_group
from stg_core.training.quick_look import quick_look
from stg_core.training.spec import TrainingSpec
from tests.conftest import write_tree
from tests.pages.conftest import OpenApp, StandInEngine, texts


@pytest.fixture
def own(trained: Run, tmp_path: Path) -> Run:
    """A copy of `trained` that a test may change, in a results folder of its own."""
    file = io.BytesIO()
    export_run(trained, file)
    return import_run(Store(tmp_path / "own results"), file)


def shown_runs(app: AppTest) -> list[dict]:
    return app.dataframe[0].value.to_dict("records")


def links(app: AppTest) -> dict[str, str]:
    """Label and page of each link on the page."""
    return {link.proto.label: link.proto.page for link in app.get("page_link")}


# ------------------------------------------------------------------------------ steps and groups


def test_each_step_of_the_method_leads_to_its_page(open_app: OpenApp) -> None:
    app = open_app()
    assert links(app) == {
        "Data maps": "data_maps",
        "Grouping": "grouping",
        "Specialists": "specialists",
    }
    assert "**1. Train one model**" in texts(app)  # it is on this page, to which nothing leads


def shown_page(app: AppTest) -> str:
    return app.title[0].value


def test_three_buttons_say_where_to_begin(open_app: OpenApp) -> None:
    app = open_app("start", None, bundles=True)
    labels = [button.label for button in app.button[:3]]
    assert labels == ["Begin with the lesson", "Explore a finished run", "Train"]
    app.button(key="train").click().run()
    assert not app.exception and shown_page(app) == "Which tasks belong together?"
    app.button(key="begin").click().run()
    assert not app.exception and shown_page(app) == "Lesson"


def test_every_page_opens_on_the_run_that_start_explores(open_app: OpenApp) -> None:
    app = open_app("start", None, bundles=True)
    app.button(key="explore").click().run()
    assert not app.exception and not app.error
    assert shown_page(app) == "Data maps"
    assert app.selectbox(key="run_choice").value == "bundled:digits"
    start = open_app("start", None, bundles=True)
    assert start.button(key="choose digits").disabled  # and it is the group that is chosen
    for page in ("data_maps", "grouping", "agreement"):
        opened = open_app(page, None, bundles=True)
        assert opened.selectbox(key="run_choice").value == "bundled:digits", page
    judged = open_app("specialists", None, bundles=True)
    assert str(judged.selectbox(key="result_choice").value).startswith("digits")


def test_without_runs_there_is_none_to_explore(open_app: OpenApp) -> None:
    app = open_app()
    assert app.button(key="explore").disabled and not app.button(key="begin").disabled


def test_cards_show_images_where_they_are_on_the_machine(
    open_app: OpenApp, cifar10_tree: Path
) -> None:
    app = open_app()
    assert not app.exception and not app.error
    alts = [image.proto.imgs[0].alt for image in app.image]
    assert [alt for alt in alts if "training images" in alt] == [
        f"Ten training images: {GROUPS[name].title}" for name in ("digits", "g1", "g2")
    ]
    assert texts(app).count("The first run downloads") == 1


def test_start_promises_what_is_done_and_no_more(open_app: OpenApp) -> None:
    said = texts(open_app())
    assert "*learned alike*" in said and "test whether training them apart pays" in said
    assert "suit each other" not in said


def test_half_of_the_images_of_g2_are_upside_down(cifar10_tree: Path, open_app: OpenApp) -> None:
    open_app()
    sheets = []
    for name in ("g1", "g2"):
        sheet = contact_sheet(GROUPS[name])
        assert sheet
        sheets.append(np.asarray(Image.open(io.BytesIO(sheet)).convert("RGB")))
    plain, turned = (sheet[:CELL, :CELL] for sheet in sheets)
    np.testing.assert_array_equal(plain, turned)
    plain, turned = (sheet[:CELL, CELL + GAP : 2 * CELL + GAP] for sheet in sheets)
    np.testing.assert_array_equal(plain[::-1], turned)


def test_images_that_come_later_are_shown_later(tmp_path: Path, open_app: OpenApp) -> None:
    app = open_app()
    assert texts(app).count("The first run downloads") == 3
    write_tree(tmp_path / "data" / "cifar100", per_class=1, dataset="cifar100")
    assert texts(app.run()).count("The first run downloads") == 2


def test_choosing_a_card_sets_the_group(open_app: OpenApp, engine: type[StandInEngine]) -> None:
    app = open_app("start", None, group="g1")
    assert app.button(key="choose g1").disabled
    app.button(key="choose g3").click().run()
    assert app.selectbox(key="group").value == "g3"
    assert app.query_params["group"] == "g3"
    assert app.button(key="choose g3").disabled and not app.button(key="choose g1").disabled
    app.button(key="start").click().run()
    assert engine.submitted == [TrainingSpec(GROUPS["g3"])]


def test_groups_say_what_they_are_and_links_keep_their_short_names(open_app: OpenApp) -> None:
    app = open_app("start", None, group="g2")
    assert app.selectbox(key="group").value == "g2"
    assert app.selectbox(key="group").options == [
        "15 questions about handwritten digits",
        "10 questions about CIFAR-10 (G1)",
        "15 questions about CIFAR-10 (G2)",
        "100 questions about CIFAR-100 (G3)",
        "Questions of my own",
    ]
    assert all(f"**{group.title}**" in texts(app) for group in GROUPS.values())
    app.selectbox(key="group").select("custom").run()
    assert app.query_params["group"] == "custom"
    assert app.selectbox(key="dataset").options == ["handwritten digits", "CIFAR-10", "CIFAR-100"]
    app.selectbox(key="dataset").select("cifar10").run()
    assert app.query_params["dataset"] == "cifar10"
    app.selectbox(key="group").select("digits").run()
    assert "group" not in app.query_params  # the usual choice makes no link longer


# -------------------------------------------------------------------------------- all the runs


def test_start_without_runs(open_app: OpenApp) -> None:
    app = open_app()
    assert not app.exception and not app.error
    assert "about 2 min 0 s" in texts(app)
    assert "None yet" in texts(app)


def test_start_lists_runs(open_app: OpenApp, trained: Run) -> None:
    app = open_app("start", trained)
    assert not app.exception and not app.error
    (row,) = shown_runs(app)
    assert (row["Run"], row["Model"]) == (trained.title, "tiny_cnn")
    assert row["Group"] == "15 questions about handwritten digits"
    assert row["Epochs"] == 2 and row["Mean F1"] == pytest.approx(trained.mean_score)
    assert row["Size"] == trained.size and row["When"] is not None
    assert "Tick a run" in texts(app)


def test_bundled_runs_can_be_opened_and_exported_but_not_changed(
    open_app: OpenApp, tmp_path: Path
) -> None:
    app = open_app("start", None, bundles=True, run="bundled:g3")
    assert not app.exception and not app.error
    groups = [row["Group"] for row in shown_runs(app)]
    built_in = [GROUPS[name].title for name in ("digits", "g1", "g2", "g3")]
    others = {"cal500": 174, "oes97": 16, "tox21": 12, "yeast": 14}
    assert groups == built_in + [f"{tasks} tasks of {name}" for name, tasks in others.items()]
    assert {"Data maps", "Grouping", "Agreement"} <= set(links(app))
    assert app.button(key="rename").disabled and app.button(key="delete").disabled
    assert not app.download_button(key="export").disabled


def test_a_link_to_a_run_that_is_not_here_says_so(open_app: OpenApp, trained: Run) -> None:
    app = open_app("start", trained, run="0123456789abcdef")
    assert not app.exception
    assert "There is no run “0123456789abcdef”" in app.error[0].value
    assert "import it" in app.error[0].value and shown_runs(app)


def test_a_run_gets_a_title(open_app: OpenApp, own: Run) -> None:
    app = open_app("start", own, run=own.id)
    app.button(key="rename").click().run()
    app.text_input(key=f"title {own.id}").set_value("For *class* ![](http://a.b/c.png)")
    app.button(key="rename").click()
    app.button(key="save title").click().run()
    assert not app.exception and not app.error
    (row,) = shown_runs(app)
    assert row["Run"] == "For *class* ![](http://a.b/c.png)"
    assert "![](" not in texts(app)  # as Markdown it would fetch the picture


def test_a_finished_job_has_the_title_of_its_run(
    open_app: OpenApp, own: Run, engine: type[StandInEngine]
) -> None:
    Store(own.folder.parents[1]).rename(own, "The one for class")
    engine.known = [Job(own.spec.key, own.spec, "done")]
    app = open_app("start", own)
    assert not app.exception
    assert "**The one for class**" in texts(app) and own.spec.title not in texts(app)


def test_a_title_that_cannot_be_shown_is_refused_in_the_dialog(open_app: OpenApp, own: Run) -> None:
    app = open_app("start", own, run=own.id)
    app.button(key="rename").click().run()
    app.text_input(key=f"title {own.id}").set_value("\a")
    app.button(key="rename").click()
    app.button(key="save title").click().run()
    assert not app.exception
    assert "cannot be shown" in app.error[0].value
    assert shown_runs(app)[0]["Run"] == own.title


def test_a_run_is_deleted_after_a_second_question(open_app: OpenApp, own: Run) -> None:
    app = open_app("start", own, run=own.id)
    app.button(key="delete").click().run()
    assert "gone for good" in texts(app) and shown_runs(app)
    app.button(key="delete").click()
    app.button(key="keep").click().run()
    assert shown_runs(app) and "gone for good" not in texts(app)
    app.button(key="delete").click().run()
    app.button(key="delete").click()
    app.button(key="delete for good").click().run()
    assert not app.exception and not app.error
    assert "None yet" in texts(app) and not own.folder.exists()


def test_a_run_in_use_is_not_deleted(open_app: OpenApp, own: Run) -> None:
    app = open_app("start", own, run=own.id)
    app.button(key="delete").click().run()
    with Store(own.folder.parents[1]).lock(own.id):
        app.button(key="delete").click()
        app.button(key="delete for good").click().run()
    assert not app.exception
    assert "in use by a training" in app.error[0].value
    assert shown_runs(app)


def test_the_space_of_weights_is_given_back(
    open_app: OpenApp, trained: Run, tmp_path: Path
) -> None:
    file, store = io.BytesIO(), Store(tmp_path / "own results")
    export_run(trained, file, with_weights=True)
    own = import_run(store, file)
    app = open_app("start", own, run=own.id)
    assert "Its weights are kept in float" in texts(app)
    keep = next(t for t in app.toggle if t.label == "Keep the weights of trainings")
    keep.set_value(False).run()
    app.button(key="drop weights").click().run()
    assert not app.exception and not app.error
    assert not store.keeps_weights and not store.run(own.id).has_weights
    assert "Its weights are not kept" in texts(app)
    exported = store.folder / EXPORTS / "0" / WEIGHTS
    exported.parent.mkdir(parents=True)
    exported.write_bytes(bytes(1_000_000))
    app.run()
    assert "1 exported model, 1.0 MB" in texts(app)
    app.button(key="drop exports").click().run()
    assert not app.exception and not app.error
    assert not exported.parent.exists() and "0 exported models" in texts(app)


def upload(app: AppTest, name: str, content: bytes) -> AppTest:
    app.button(key="import").click().run()
    app.button(key="import").click()
    app.file_uploader(key="file").set_value((name, content, "application/zip"))
    return app.run()


def test_an_exported_run_is_imported_and_chosen(
    open_app: OpenApp, trained: Run, own: Run, tmp_path: Path
) -> None:
    file = io.BytesIO()
    export_run(trained, file)
    Store(own.folder.parents[1]).delete(own)
    app = open_app("start", own)
    assert "None yet" in texts(app)
    upload(app, "run.zip", file.getvalue())
    assert not app.exception and not app.error
    assert [row["Run"] for row in shown_runs(app)] == [trained.title]
    assert not app.button(key="delete").disabled


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"PK", "not a whole export"), (b"", "not a whole export")]
)
def test_a_wrong_file_is_refused_in_one_sentence(
    content: bytes, sentence: str, open_app: OpenApp, own: Run
) -> None:
    app = upload(open_app("start", own), "wrong.zip", content)
    assert not app.exception
    assert sentence in app.error[0].value
    assert len(shown_runs(app)) == 1


def test_a_run_that_is_here_is_not_imported_again(open_app: OpenApp, own: Run) -> None:
    file = io.BytesIO()
    export_run(own, file)
    app = upload(open_app("start", own), "again.zip", file.getvalue())
    assert not app.exception
    assert "here already" in app.error[0].value


def test_a_damaged_result_is_reported(open_app: OpenApp, trained: Run, tmp_path: Path) -> None:
    (tmp_path / "runs" / trained.id).mkdir(parents=True)
    app = open_app()
    assert not app.exception and not app.error
    assert "damaged" in app.warning[0].value


# ---------------------------------------------------------------------------------- a training


def test_run_submits_what_is_chosen(open_app: OpenApp, engine: type[StandInEngine]) -> None:
    app = open_app("start", None, group="g1", model_cifar10="small_cnn", epochs="3", seed="5")
    (run,) = (button for button in app.button if button.label == "Run")
    run.click().run()
    assert not app.exception
    assert engine.submitted == [TrainingSpec(GROUPS["g1"], model="small_cnn", epochs=3, seed=5)]


def test_a_quick_look_is_one_click_and_the_whole_training_one_more(
    open_app: OpenApp, engine: type[StandInEngine]
) -> None:
    assert "quick look" not in [b.key for b in open_app("start", group="digits").button]
    app = open_app("start", group="g3", seed="2")
    app.button(key="quick look").click().run()
    (spec,) = engine.submitted
    assert spec == quick_look(GROUPS["g3"], seed=2)
    engine.known = [Job(spec.key, spec, "done")]
    app.run()
    assert "adjusted Rand index 0.42" in texts(app)
    app.button(key=f"in full {spec.key}").click().run()
    assert engine.submitted[1:] == [TrainingSpec(GROUPS["g3"], seed=2)]


def test_more_settings_are_submitted_too(open_app: OpenApp, engine: type[StandInEngine]) -> None:
    app = open_app("start", None, epochs="6", augmentation="shift", batch_size="64")
    app.text_input(key="recorded_epochs").set_value("6, 3,").run()
    app.number_input(key="learning_rate").set_value(0.01).run()
    app.toggle(key="single_task_models").set_value(True).run()
    app.button(key="start").click().run()
    assert engine.submitted == [
        TrainingSpec(
            GROUPS["digits"],
            epochs=6,
            recorded_epochs=(3, 6),
            batch_size=64,
            learning_rate=0.01,
            augmentation="shift",
            single_task_models=True,
        )
    ]


@pytest.mark.parametrize(
    ("recorded", "sentence"), [("two", "as 2, 4, 6"), ("1, 11", "between 2 and the last")]
)
def test_recorded_epochs_that_cannot_be_are_explained(
    recorded: str, sentence: str, open_app: OpenApp
) -> None:
    app = open_app("start", None, recorded_epochs=recorded)
    assert not app.exception
    assert sentence in app.error[0].value


def test_a_run_that_is_here_is_not_trained_again(open_app: OpenApp, trained: Run) -> None:
    assert "not trained again" in texts(open_app("start", trained, epochs="2"))


def test_a_custom_group(open_app: OpenApp, engine: type[StandInEngine]) -> None:
    app = open_app("start", None, group="custom")
    app.multiselect(key="classes_digits").set_value(["1", "7"])
    app.text_area(key="unions_digits").set_value("Round = 0, 6, 8, 9").run()
    (run,) = (button for button in app.button if button.label == "Run")
    run.click().run()
    expected = custom_group("digits", ["1", "7"], {"Round": ["0", "6", "8", "9"]})
    assert [spec.group for spec in engine.submitted] == [expected]
    app.text_area(key="unions_digits").set_value("Round").run()
    assert not app.exception
    assert "name = class, class" in app.error[0].value


def test_progress_cancel_and_resume(open_app: OpenApp, engine: type[StandInEngine]) -> None:
    spec, other = (TrainingSpec(GROUPS["digits"], seed=seed) for seed in (1, 2))
    curves = {"loss": [3.0, 2.0], "mean_f1": [0.5, 0.7]}
    engine.known = [
        Job(other.key, other, "queued", place=1),
        Job(spec.key, spec, "running", 0, 2, 0.25, 800.0, 75.0, curves, "Training epoch 3."),
    ]
    app = open_app()
    assert not app.exception and not app.error
    shown = {metric.label: metric.value for metric in app.metric}
    assert shown == {"Epoch": "3 of 10", "Points/s": "800", "Time left": "1 min 15 s"}
    assert "1 before it" in texts(app)
    assert len(app.get("vega_lite_chart")) == 2
    app.button(key=f"cancel {spec.key}").click().run()
    assert engine.cancelled == [spec.key]

    engine.known = [Job(spec.key, spec, "failed", message="The disk is full. Make room.")]
    app.run()
    assert not app.exception
    assert app.error[0].value == "The disk is full. Make room."
    app.button(key=f"resume {spec.key}").click().run()
    assert engine.submitted == [spec]


@pytest.mark.parametrize("there", [False, True], ids=["gone", "there"])
def test_the_tick_of_a_run_that_was_deleted_meanwhile_opens_nothing(
    own: Run, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STG_HOME", str(own.folder.parents[1]))
    if not there:
        Store().delete(own)
    chosen: list[str | None] = []
    monkeypatch.setattr(run_list.state, "keep", lambda name, value: chosen.append(value))
    monkeypatch.setattr(run_list.st, "rerun", lambda scope: None)
    monkeypatch.setattr(run_list.st, "session_state", {"table": {"selection": {"rows": [0]}}})
    run_list.tick("table", [own.id])
    assert chosen == ([own.id] if there else [])
