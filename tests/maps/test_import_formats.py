"""Coordinates, tensors, AUM, arrays and long tables become runs, as they lie in the world."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit

from stg_core.maps.formats.answers import Answers
from stg_core.maps.formats.bringing import bring, look
from stg_core.maps.formats.torch_files import tensors_of
from stg_core.results.logged import LoggedRun
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from tests.maps.existing_logs import brought, in_order, logged, outputs, write_dynamics

E, N, T = 5, 24, 3
RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 2, (N, T)).astype(np.float32)
PROBABILITIES = RNG.random((E, N, T)).astype(np.float32)
NAMES = ("NR-AR", "Blood, and (lymph) disorders", "c")


def twin(probabilities: np.ndarray = PROBABILITIES, labels: np.ndarray = LABELS) -> np.ndarray:
    return logged(labels, probabilities, "probabilities")


def maps_of(run: LoggedRun) -> np.ndarray:
    maps = run.datamaps()
    assert maps is not None
    return maps


# ------------------------------------------------------------------------------------ coordinates


def write_coordinates(path: Path, seed: int) -> np.ndarray:
    """A file as Dataset Cartography writes for its pictures; confidence and variability (2, N)."""
    right = np.random.default_rng(seed).random((E, N))
    values = np.stack([right.mean(axis=0), right.std(axis=0)])
    lines = [
        {
            "guid": f"p{i}",
            "index": int(i),
            "confidence": float(values[0, i]),
            "variability": float(values[1, i]),
            "correctness": int((right[:, i] > 0.5).sum()),
        }
        for i in np.random.default_rng(seed).permutation(N)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return np.stack([right.mean(axis=0), right.std(axis=0, ddof=1)])


@pytest.fixture
def coordinates(tmp_path: Path) -> tuple[Path, np.ndarray]:
    folder = tmp_path / "winogrande"
    folder.mkdir()
    return folder, np.stack(
        [write_coordinates(folder / f"{n}.jsonl", s) for s, n in enumerate("ab")]
    )


def test_coordinates_of_a_population_are_corrected(coordinates: tuple[Path, np.ndarray]) -> None:
    folder, expected = coordinates
    asked = {question.field: question for question in look([folder]).questions}
    assert asked["epochs"].must_be_answered and asked["deviation"].default == "population"
    with pytest.raises(UserError, match="Of how many epochs"):
        bring([folder])
    run = brought(folder, epochs=E)
    assert run.spec.tasks == ("a", "b") and run.spec.recorded_epochs == (E,)
    found = in_order(run, [f"p{i}" for i in range(N)])[0]
    np.testing.assert_allclose(found, expected.swapaxes(0, 1), atol=1e-3)
    told = " ".join(run.progress.notes)
    assert "√(E/(E − 1))" in told and "no outputs" in told
    as_it_is = brought(folder, epochs=E, deviation="sample", name="as it is")
    ratio = maps_of(run)[0, 1] / maps_of(as_it_is)[0, 1]
    np.testing.assert_allclose(ratio, np.sqrt(E / (E - 1)), atol=5e-3)
    assert look([folder], Answers(epochs=1)).problem


def test_a_run_of_coordinates_alone_has_no_positives(coordinates: tuple[Path, np.ndarray]) -> None:
    run = brought(coordinates[0], epochs=E)
    assert run.summary.positives.tolist() == [-1, -1] and not run.keeps_logits
    assert run.summary.labelled.tolist() == [[N, N], [N, N]]
    with pytest.raises(UserError, match="no outputs"):
        run.logits("test")


# ---------------------------------------------------------------------------------------- tensors


def tensor(epochs: int = E) -> torch.Tensor:
    """Data maps (T, E, N, 2) as the official STG-MTL has them: NaN for the deviation of one."""
    right = torch.rand(T, epochs, N, generator=torch.Generator().manual_seed(0))
    parts = [
        torch.stack([right[:, : e + 1].mean(1), right[:, : e + 1].std(1)], -1)
        for e in range(1, epochs)
    ]
    first = torch.stack([right[:, 0], torch.full((T, N), torch.nan)], -1)
    return torch.stack([first, *parts], 1)


def test_the_tensor_of_stg_mtl_is_read_and_its_names_are_asked(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "Datamaps"
    folder.mkdir(parents=True)
    torch.save(tensor(), folder / "datamap.pt")
    (folder / "descriptor.txt").write_text("epochs: 1, 3, 5, 7, 9\n")
    assert [question.field for question in look([folder]).questions] == ["tasks"]
    run = brought(folder, tasks=NAMES)
    assert run.spec.tasks == NAMES and run.spec.recorded_epochs == (2, 4, 6, 8, 10)
    expected = tensor().numpy().transpose(1, 3, 0, 2)
    np.testing.assert_allclose(maps_of(run)[1:], expected[1:], atol=1e-3)
    with pytest.raises(UserError, match="2 names of tasks for the 3 tasks"):
        bring([folder], Answers(tasks=("a", "b"), replace=True))


def test_a_tensor_for_each_epoch_and_one_with_its_axes_turned(tmp_path: Path) -> None:
    for e in range(12):  # "10.pt" comes after "9.pt"
        torch.save(tensor(12)[:, e : e + 1], tmp_path / f"{e}.pt")
    run = brought(tmp_path, tasks=NAMES, name="each")
    assert run.progress.maps[-1] == 12 and len(run.progress.maps) == 10
    expected = tensor(12)[:, -1].numpy().transpose(2, 0, 1)
    np.testing.assert_allclose(maps_of(run)[-1], expected, atol=1e-3)
    torch.save(tensor().flip(-1), turned := tmp_path / "turned.pt")
    again = brought(turned, tasks=NAMES)
    np.testing.assert_allclose(maps_of(again)[-1], tensor()[:, -1].permute(2, 0, 1), atol=1e-3)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("harmed"),)  # type: ignore[return-value]


@pytest.mark.parametrize("kind", ["pt", "npy", "npz", "pickle"])
def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"log.{kind}"
    objects = np.array([[Harmful()]], dtype=object)
    if kind == "pt":
        torch.save({"datamap": Harmful()}, path)
    elif kind == "npy":
        np.save(path, objects, allow_pickle=True)
    elif kind == "npz":
        np.savez(path, probabilities=objects, labels=LABELS)
    else:
        path.write_bytes(pickle.dumps(Harmful()))
    seen = look([path], Answers(tasks=NAMES))
    assert "could run code" in seen.problem
    with pytest.raises(UserError, match="could run code"):
        bring([path], Answers(tasks=NAMES))
    assert not (tmp_path / "harmed").exists()


def test_one_process_takes_tensors_out_of_all_files_and_says_which_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    run = subprocess.run

    def noted(command: list[str], **how: Any) -> subprocess.CompletedProcess[str]:
        started.append(command)
        return run(command, **how)

    monkeypatch.setattr(subprocess, "run", noted)
    paths = [tmp_path / f"{e}.pt" for e in range(3)]
    for e, path in enumerate(paths):
        torch.save([tensor()[:, e], tensor()[:, -1]], path)
    (scratch := tmp_path / "whole").mkdir()
    found = list(tensors_of(paths, scratch))
    assert [path for path, _ in found] == [path for path in paths for _ in range(2)]
    np.testing.assert_array_equal(found[2][1], tensor()[:, 1].numpy())
    assert len(started) == 1
    torch.save(Harmful(), paths[1])
    (scratch := tmp_path / "harmful").mkdir()
    with pytest.raises(UserError, match=r"^1\.pt cannot be read as tensors alone"):
        list(tensors_of(paths, scratch))
    assert not Path("harmed").exists()


def test_who_looks_at_a_tensor_does_not_load_torch(tmp_path: Path) -> None:
    """The app does, and is started in whatever folder."""
    torch.save(tensor(), tmp_path / "datamap.pt")
    program = """
import sys
from pathlib import Path
from stg_core.maps.formats.bringing import look
print(look([Path("datamap.pt")]).points, "torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(N), "False"]


def test_without_torch_a_tensor_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(tensor(), tmp_path / "datamap.pt")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert "needs torch, which is not installed" in look([tmp_path]).problem


# -------------------------------------------------------------------------------------------- AUM


def write_aum(path: Path, margins: np.ndarray, gold: np.ndarray, classes: int = 2) -> Path:
    """As AUMCalculator(…, compressed=False) does, whose columns are changed over."""
    path.mkdir()
    rows = [
        {
            "sample_id": f"s{i}",
            "num_measurements": e + 1,
            "target_logit": margins[e, i] / 2 + 0.25,
            "target_val": gold[i],
            "other_logit": -margins[e, i] / 2 + 0.25,
            "other_val": (gold[i] + 1) % classes,
            "margin": margins[e, i],
            "aum": margins[: e + 1, i].mean(),
        }
        for i in range(margins.shape[1])
        for e in range(margins.shape[0])
    ]
    table = pd.DataFrame(rows)
    table.to_csv(path / "full_aum_records.csv", index=False)
    last = table.groupby("sample_id")["margin"].mean().rename("aum").reset_index()
    last.to_csv(path / "aum_values.csv", index=False)
    return path


def test_the_margins_of_aum_are_confidences_of_two_classes(tmp_path: Path) -> None:
    margins, gold = RNG.normal(size=(E, N)) * 3, LABELS[:, 0].astype(int)
    folder = write_aum(tmp_path / "cifar", margins, gold)
    run = brought(folder)
    assert run.spec.tasks == ("cifar",) and run.spec.all_binary
    assert run.summary.positives.tolist() == [gold.sum()]
    yes = np.where(gold == 1, expit(margins), 1 - expit(margins))[:, :, None]
    expected = twin(yes.astype(np.float32), gold[:, None].astype(np.float32))
    np.testing.assert_allclose(in_order(run, [f"s{i}" for i in range(N)]), expected, atol=1e-3)
    assert "aum_values.csv" in " ".join(run.progress.notes)
    assert "compressed=False" in look([folder / "aum_values.csv"]).problem
    several = write_aum(tmp_path / "several", margins, RNG.integers(0, 3, N), classes=3)
    with pytest.raises(UserError, match="of 3 classes or more"):
        bring([several])


# ----------------------------------------------------------------------------------------- arrays


def test_arrays_are_as_a_task_log_of_the_same_outputs(tmp_path: Path) -> None:
    labels = LABELS.copy()
    labels[:5, 1] = -1
    labels[5:7, 2] = np.nan
    ids = [f"mol-{i}" for i in range(N)]
    path = tmp_path / "outputs.bin"  # a name says nothing
    with open(path, "wb") as file:
        np.savez_compressed(
            file, probabilities=PROBABILITIES, labels=labels, tasks=np.array(NAMES), ids=ids
        )
    run = brought(path, name="arrays")
    expected = twin(labels=np.where(labels == -1, np.nan, labels))
    assert run.spec.tasks == NAMES
    np.testing.assert_array_equal(in_order(run, ids), expected)
    assert np.isnan(maps_of(run)[:, :, 1, :5]).all()


def test_what_arrays_do_not_say_is_asked(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", logits=PROBABILITIES * 4 - 2, labels=LABELS)
    assert [question.field for question in look([tmp_path / "a.npz"]).questions] == ["tasks"]
    np.save(tmp_path / "b.npy", PROBABILITIES)
    assert [question.field for question in look([tmp_path / "b.npy"]).questions] == ["labels"]
    np.save(tmp_path / "labels.npy", LABELS)
    run = brought(tmp_path / "b.npy", labels=tmp_path / "labels.npy", tasks=NAMES)
    np.testing.assert_array_equal(maps_of(run), twin())


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.where(LABELS == 0, -1, 1), "−1 may be no, or a missing label"),
        (np.where(LABELS == 0, 0.1, 0.9), "as smoothed ones"),
        (LABELS[:-1], "N points and T tasks"),
    ],
)
def test_labels_that_can_mean_two_things_are_refused(
    tmp_path: Path, labels: np.ndarray, told: str
) -> None:
    np.savez(tmp_path / "a.npz", probabilities=PROBABILITIES, labels=labels, tasks=NAMES)
    assert told in look([tmp_path / "a.npz"]).problem
    with pytest.raises(UserError, match=told.split(",")[0]):
        bring([tmp_path / "a.npz"])


def test_confidences_of_the_callback_for_keras(tmp_path: Path) -> None:
    right = np.where(LABELS == 1, PROBABILITIES, 1 - PROBABILITIES)
    for t, name in enumerate("abc"):
        np.savez(tmp_path / f"{name}.npz", gold_labels_probabilities=right[:, :, t].T)
    run = brought(tmp_path)
    assert run.spec.tasks == ("a", "b", "c") and run.summary.positives.tolist() == [-1] * 3
    np.testing.assert_allclose(maps_of(run), twin(), atol=1e-3)


# ------------------------------------------------------------------------------------ long tables


def long_rows() -> pd.DataFrame:
    rows = [
        (f"p{i}", NAMES[t], e, PROBABILITIES[e, i, t], int(LABELS[i, t]))
        for i in range(N)
        for t in range(T)
        for e in range(E)
    ]
    table = pd.DataFrame(rows, columns=["id", "task", "epoch", "probability", "label"])
    return table.sample(frac=1, random_state=0)


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_a_long_table_in_any_order(tmp_path: Path, kind: str) -> None:
    table, path = long_rows(), tmp_path / f"long.{kind}"
    if kind == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="," if kind == "csv" else "\t")
    assert set(look([path]).tasks) == set(NAMES)
    run = brought(path)
    order = [list(run.spec.tasks).index(name) for name in NAMES]
    found = in_order(run, [f"p{i}" for i in range(N)])[:, :, order]
    np.testing.assert_array_equal(found, twin())


def test_what_is_wrong_in_a_long_table_is_told_with_its_line(tmp_path: Path) -> None:
    table = long_rows().reset_index(drop=True)
    table.loc[7, "probability"] = 1.5
    table.to_csv(tmp_path / "long.csv", index=False)
    with pytest.raises(UserError, match=r"line 9: the output is 1\.5"):
        bring([tmp_path / "long.csv"])
    table.loc[7, "probability"] = np.inf
    table.to_csv(tmp_path / "long.csv", index=False)
    with pytest.raises(UserError, match="line 9: the output is inf"):
        bring([tmp_path / "long.csv"])


def test_arrays_of_one_task_with_classes_are_that_task_or_one_for_each_class(
    tmp_path: Path,
) -> None:
    logits, gold = outputs(E, N, 3)
    np.savez(tmp_path / "k.npz", logits=logits, labels=gold)
    assert [question.field for question in look([tmp_path / "k.npz"]).questions] == ["whole"]
    folder = write_dynamics(tmp_path / "dynamics", logits, gold.tolist())
    for said in ("whole", "each class"):
        ours = brought(tmp_path / "k.npz", whole=said, tasks=None if said != "whole" else ("k",))
        theirs = brought(folder, whole=said)
        np.testing.assert_array_equal(maps_of(ours), in_order(theirs, range(N)))
        for run in (ours, theirs):
            Store().delete(run)


def test_probabilities_of_a_single_time_are_refused_with_the_reason(tmp_path: Path) -> None:
    np.savez(tmp_path / "cleanlab.npz", labels=LABELS[:, 0], pred_probs=PROBABILITIES[0])
    assert "a single time" in look([tmp_path / "cleanlab.npz"]).problem
    np.savez(tmp_path / "texts.npz", probabilities=PROBABILITIES.astype(str), labels=LABELS)
    assert "holds no numbers" in look([tmp_path / "texts.npz"]).problem
