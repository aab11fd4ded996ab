"""Results on disk are whole or set aside, never silently wrong and never lost."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from stg_core.results.store import Store, without_nan, write_spec
from stg_core.system.errors import UserError
from stg_core.training.loop import TrainingResult
from stg_core.training.spec import TrainingSpec


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr("stg_core.results.store.BUNDLES", tmp_path / "bundles")
    return Store(tmp_path / "home")


def test_a_saved_run_is_read_back_as_it_was(store: Store, digits_result: TrainingResult) -> None:
    saved = store.save(digits_result)
    run = Store(store.folder).run(saved.id)
    assert run.spec == digits_result.spec
    assert run.metrics["test"]["f1"] == digits_result.metrics["test"]["f1"]
    np.testing.assert_array_equal(run.datamaps(), digits_result.datamaps)
    np.testing.assert_array_equal(run.test_logits(), digits_result.test_logits)
    assert digits_result.summary is not None
    np.testing.assert_array_equal(run.summary.gram, digits_result.summary.gram)
    assert {"device", "precision", "seconds", "versions", "command", "created"} <= set(
        run.provenance
    )
    assert run.provenance["command"].startswith("python -m stg_core extract --group digits")


def test_a_saved_run_keeps_its_weights(store: Store, digits_result: TrainingResult) -> None:
    run = store.save(digits_result)
    kept = load_file(run.weights_file)
    usage = run.usage
    assert digits_result.model is not None and run.has_weights and usage is not None
    for name, value in digits_result.model.state_dict().items():
        precision = usage.precision if value.is_floating_point() else value.numpy().dtype
        np.testing.assert_array_equal(kept[name], value.numpy().astype(precision))
    bundled = store.bundle(run, "digits", store.folder)
    assert not (bundled / "model.safetensors").exists()
    assert (usage.model, usage.shape, usage.answers) == ("tiny_cnn", (8, 8, 1), 360 * 15)
    # whether an answer lies so near the threshold differs from processor to processor
    assert usage.precision == ("float32" if usage.changed else "float16")
    assert f"kept in {usage.precision}" in run.about_weights


def test_the_space_of_weights_is_given_back_and_no_result_is_lost(
    store: Store, digits_result: TrainingResult
) -> None:
    run = store.save(digits_result)
    bare = store.drop_weights(run)
    assert not bare.has_weights and not run.weights_file.exists() and bare.size < run.size
    assert "train it again" in bare.about_weights
    assert bare.metrics == run.metrics and bare.usage == run.usage and not store.damaged
    np.testing.assert_array_equal(bare.datamaps(), run.datamaps())
    with pytest.raises(UserError, match="keeps no weights here"):
        store.drop_weights(bare)


def test_weights_are_not_kept_where_the_user_says_so(
    store: Store, digits_result: TrainingResult
) -> None:
    assert store.keeps_weights
    store.keeps_weights = False
    assert not Store(store.folder).keeps_weights
    run = store.save(digits_result)
    assert not run.has_weights and run.metrics["test"]["f1"] == digits_result.metrics["test"]["f1"]


def test_a_run_from_before_weights_were_described_stays_valid(
    store: Store, digits_result: TrainingResult
) -> None:
    run = store.drop_weights(store.save(digits_result))
    old = {name: value for name, value in run.provenance.items() if name != "usage"}
    write_spec(run.folder, run.spec, old)
    run = store.run(run.id)
    assert run.usage is None and "are not kept" in run.about_weights


def test_a_run_is_found_by_the_beginning_of_its_key(
    store: Store, digits_result: TrainingResult
) -> None:
    saved = store.save(digits_result)
    assert store.run(saved.id[:5]).id == saved.id
    assert store.get(digits_result.spec) is not None


@pytest.mark.parametrize("name", ["", "0123", "bundled:none", "bundled:../../etc", "../runs", "*"])
def test_a_run_that_is_not_there_is_named(
    name: str, store: Store, digits_result: TrainingResult
) -> None:
    saved = store.save(digits_result)
    with pytest.raises(UserError, match=re.escape(saved.title)):
        store.run(name)


def truncate(folder: Path) -> None:
    (folder / "datamaps.npy").write_bytes((folder / "datamaps.npy").read_bytes()[:-1000])


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / "summary.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "summary.npz").write_bytes(data)


def remove_metrics(folder: Path) -> None:
    (folder / "metrics.json").unlink()


def scribble(folder: Path) -> None:
    (folder / "spec.json").write_text('{"spec": [1, 2]}')


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, remove_metrics, scribble])
@pytest.mark.parametrize("seen_before", [True, False])
def test_a_damaged_folder_is_reported_and_set_aside_and_never_deleted(
    damage, seen_before: bool, store: Store, digits_result: TrainingResult
) -> None:
    saved = store.save(digits_result)
    damage(saved.folder)
    reader = store if seen_before else Store(store.folder)
    assert [run.id for run in reader.runs()] == []
    [sentence] = reader.damaged
    assert saved.id in sentence and "set aside" in sentence
    [aside] = (store.folder / "damaged").iterdir()
    assert (aside / "test_logits.npy").exists()
    with pytest.raises(UserError):
        reader.run(saved.id)
    assert reader.save(digits_result).id == saved.id


def test_arrays_with_pickled_objects_are_refused(
    store: Store, digits_result: TrainingResult
) -> None:
    run = store.save(digits_result)
    np.save(run.folder / "datamaps.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        run.datamaps()


def test_a_bundle_opens_on_a_machine_without_the_arrays(
    tmp_path: Path, store: Store, digits_result: TrainingResult
) -> None:
    folder = store.bundle(store.save(digits_result), "small", tmp_path / "bundles")
    assert sorted(p.name for p in folder.iterdir()) == ["metrics.json", "spec.json", "summary.npz"]
    run = Store(tmp_path / "other home").run("bundled:small")
    assert run.summary.tasks.tolist() == list(digits_result.spec.tasks)
    assert run.datamaps() is None and run.bundled


# -------------------------------------------------------------------------- renaming and deleting


def test_a_title_of_ones_own_is_shown_and_taken_back(
    store: Store, digits_result: TrainingResult
) -> None:
    saved = store.save(digits_result)
    assert store.rename(saved, "  The one\tfor class \n").title == "The one for class"
    run = Store(store.folder).run(saved.id)
    assert run.title == "The one for class" and run.spec == saved.spec
    assert run.provenance == saved.provenance and run.files == saved.files
    assert store.rename(run, "").title == saved.title == saved.spec.title


@pytest.mark.parametrize(
    ("title", "sentence"),
    [("x" * 81, "81 characters"), ("bell \a", "cannot be shown"), ("turned \u202e", "cannot be")],
)
def test_a_title_that_cannot_be_is_refused_and_changes_nothing(
    title: str, sentence: str, store: Store, digits_result: TrainingResult
) -> None:
    run = store.rename(store.save(digits_result), "Good")
    with pytest.raises(UserError, match=sentence):
        store.rename(run, title)
    assert Store(store.folder).run(run.id).title == "Good"


def test_bundled_runs_are_neither_renamed_nor_deleted(
    tmp_path: Path, store: Store, digits_result: TrainingResult
) -> None:
    store.bundle(store.save(digits_result), "small", tmp_path / "bundles")
    run = store.run("bundled:small")
    with pytest.raises(UserError, match="import"):
        store.rename(run, "Mine")
    with pytest.raises(UserError, match="comes with the project"):
        store.delete(run)
    assert store.run("bundled:small").title == f"{run.spec.title} (bundled)"


def test_a_deleted_run_is_gone_and_can_be_kept_anew(
    store: Store, digits_result: TrainingResult
) -> None:
    run = store.save(digits_result)
    store.delete(run)
    for reader in (store, Store(store.folder)):
        assert reader.runs() == [] and reader.get(run.spec) is None and reader.damaged == []
    assert [path.name for path in (store.folder / "work").iterdir()] == [f"{run.id}.lock"]
    for act in (store.delete, lambda run: store.rename(run, "Late")):
        with pytest.raises(UserError, match="no longer on this machine"):
            act(run)
    assert store.save(digits_result).id == run.id


def test_a_run_in_use_is_neither_deleted_nor_renamed(
    store: Store, digits_result: TrainingResult
) -> None:
    run = store.save(digits_result)
    with store.lock(run.id):
        for act in (store.delete, lambda run: store.rename(run, "Mine")):
            with pytest.raises(UserError, match="in use"):
                act(run)
    assert store.runs() == [run]
    store.delete(run)


def test_a_deletion_that_is_interrupted_leaves_no_damaged_run(
    store: Store, digits_result: TrainingResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.save(digits_result)

    def killed(folder: Path, ignore_errors: bool) -> None:
        if folder.exists():
            (folder / "metrics.json").unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("stg_core.results.store.shutil.rmtree", killed)
        store.delete(run)
    restarted = Store(store.folder)
    assert restarted.runs() == [] and restarted.damaged == []
    assert [path.name for path in (store.folder / "work").iterdir()] == [f"{run.id}.lock"]


def test_a_run_that_is_deleted_while_it_is_read_is_not_reported(
    store: Store, digits_result: TrainingResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.save(digits_result)
    reader = Store(store.folder)

    def someone_else_deletes(plain: object) -> TrainingSpec:
        store.delete(run)
        return run.spec

    monkeypatch.setattr("stg_core.results.store.TrainingSpec.from_json", someone_else_deletes)
    assert reader.runs() == [] and reader.damaged == []
    with pytest.raises(UserError, match="There is no run"):
        reader.run(run.id)


def test_json_has_null_where_a_number_is_not_defined() -> None:
    assert without_nan({"a": [float("nan"), np.float32(0.5)], "b": np.array([np.inf])}) == {
        "a": [None, 0.5],
        "b": [None],
    }
