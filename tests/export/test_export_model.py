"""`stg export-model`: a plan is trained, and its models come as files that are checked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import yaml
from sklearn.metrics import roc_auc_score

from stg_core.cli.main import main
from stg_core.export import Predictor, load
from stg_core.results.run import WEIGHTS
from stg_core.results.store import Store, write_spec
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS
from stg_core.training.spec import TrainingSpec

SPEC = TrainingSpec(GROUPS["digits"], epochs=4)
README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
SECTION = README.partition("\n## Take it home\n")[2].partition("\n## ")[0]
IN_README = [line[4:] for line in SECTION.splitlines() if line.startswith("    ")]
SCRIPT = IN_README[IN_README.index("import sys") :]
TO_CHECK = """
np.savez(sys.argv[3], answer=answer, each=each)
print({"torch", "stg_core", "onnx"} & {*sys.modules})
"""


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main([*words, "--json"]) == 0, capsys.readouterr().err
    return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words]) == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def trained_home(digits_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of two clusters of the digits, as the command line trains it."""
    home = tmp_path_factory.mktemp("plan") / "home"
    shutil.copytree(digits_home, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(home))
        assert main(["extract", "--group", "digits", "--epochs", "4"]) == 0
        plan = ["--k", "2", "--schemes", "mtl,specialists,plain"]
        assert main(["specialists", SPEC.key, *plan]) == 0
    return home


@pytest.fixture
def home(trained_home: Path, own_home: Path) -> Path:
    """A copy of it that a test may change."""
    shutil.copytree(trained_home, own_home, dirs_exist_ok=True)
    return own_home


def test_a_script_of_ten_lines_predicts_with_the_judged_scores(
    home: Path, digits_data: TaskData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "specialists.onnx"
    found = told(capsys, "export-model", SPEC.key, "--k", "2", "--output", str(file))
    assert found["check"]["points"] == 360
    assert found["check"]["difference"] < 1e-4
    for both in found["check"]["scores"].values():
        assert both["file"] == pytest.approx(both["judged"], abs=1e-3)
    served = found["serving"]
    assert [*served] == ["MTL", "specialists", "specialists, hard routing"]
    assert all(one["bytes"] > 10_000 and one["one"] > 0 < one["many"] for one in served.values())
    assert served["specialists"]["models"] == 2 and served["MTL"]["models"] == 1

    np.save(tmp_path / "images.npy", digits_data.test_points)
    words = [file, tmp_path / "images.npy", tmp_path / "answers.npz"]
    assert len(SCRIPT) <= 10
    ran = subprocess.run(
        [sys.executable, "-c", "\n".join([*SCRIPT, TO_CHECK]), *map(str, words)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines()[-1] == "set()"
    answers = np.load(tmp_path / "answers.npz")
    judged = Predictor(file).about.scores["auroc"]["tasks"]
    for t, task in enumerate(digits_data.tasks):
        score = roc_auc_score(digits_data.test_labels[:, t], answers["answer"][:, t])
        assert score == pytest.approx(judged[task]["score"], abs=3e-3)
    assert answers["each"].shape == (360, 2, 15)


def test_all_three_files_go_into_a_folder_and_agree(
    home: Path, digits_data: TaskData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    words = ["export-model", SPEC.key, "--k", "2", "--average", "probabilities"]
    told(capsys, *words, "--output", str(folder))
    predictor, module = Predictor(folder / "model.onnx"), load(folder / "model.safetensors")
    assert predictor.about == module.about
    assert predictor.about.average == "probabilities"
    assert predictor.about.data == digits_data.digest
    assert predictor.weights.sum(axis=0) == pytest.approx(np.ones(15))
    import torch

    points = digits_data.test_points[:50]
    with torch.inference_mode():
        answer, _ = module(torch.tensor(points))
    assert predictor.predict(points).probabilities == pytest.approx(answer.numpy(), abs=1e-4)

    card = (folder / "README.md").read_text()
    _, head, text = card.split("---\n", 2)
    known = yaml.safe_load(head)
    result = known["model-index"][0]["results"][0]
    assert known["pipeline_tag"] == "image-classification"
    mean = predictor.about.scores["auroc"]["mean"]
    assert result["metrics"][0]["value"] == mean
    assert f"specialists (this file) | {mean:.3f} (" in text
    assert predictor.about.verdict in text and predictor.about.data in text
    assert all(f"| {task} |" in text for task in predictor.tasks)
    assert "Controls that were not tried: one model trained longer" in text
    assert "Random" in text.split("## Limits")[1]
    code = text.split("```python\n")[1].split("```")[0].replace("...  #", "np.load('p.npy')  #")
    np.save(folder / "p.npy", points)
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)


@pytest.mark.parametrize("scheme", ["mtl", "plain"])
def test_other_schemes_are_written_likewise(
    scheme: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.onnx"
    words = [] if scheme == "mtl" else ["--k", "2"]
    told(capsys, "export-model", SPEC.key, "--scheme", scheme, *words, "--output", str(file))
    predictor = Predictor(file)
    assert predictor.scheme == scheme
    assert np.unique(predictor.weights) == pytest.approx([1.0 if scheme == "mtl" else 0.5])


def test_hard_routing_asks_the_strongest_alone(
    home: Path, digits_data: TaskData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soft, hard = tmp_path / "soft.onnx", tmp_path / "hard.onnx"
    words = ["export-model", SPEC.key, "--k", "2", "--output"]
    told(capsys, *words, str(soft))
    told(capsys, *words, str(hard), "--routing", "hard")
    one, other = Predictor(soft), Predictor(hard)
    strongest = one.weights.argmax(axis=0)
    assert {*other.weights.ravel()} == {0.0, 1.0}
    assert [one.models[j] for j in strongest] == [
        other.models[j] for j in other.weights.argmax(axis=0)
    ]
    points = digits_data.test_points[:9]
    each = one.predict(points).each
    expected = np.take_along_axis(each, strongest[None, None], axis=1)[:, 0]
    assert other.predict(points).probabilities == pytest.approx(expected, abs=1e-6)


def test_what_cannot_be_exported_is_said(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = ["export-model", SPEC.key]
    assert "--k 3" in refused(capsys, *export)
    said = refused(capsys, *export, "--k", "3")
    assert "are not done yet" in said and f"specialists {SPEC.key} --k 3" in said
    plain = [*export, "--k", "2", "--scheme", "plain"]
    assert "no such weights" in refused(capsys, *plain, "--routing", "hard")
    assert "name the file" in refused(capsys, *plain, "--output", str(tmp_path / "model.pt"))
    assert main(["weights", SPEC.key, "--delete", "--yes"]) == 0
    said = refused(capsys, *export, "--k", "2", "--scheme", "mtl")
    assert f"all tasks ({SPEC.key})" in said and f"delete {SPEC.key}" in said
    assert main(["weights", "--delete", "--yes"]) == 0
    said = refused(capsys, *export, "--k", "2")
    assert "cluster 1" in said and "cluster 2" in said and said.count("stg_core delete ") == 2


def test_other_weights_than_those_that_were_judged_are_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store()
    run = store.run(SPEC.key)
    weights = safetensors.numpy.load_file(run.weights_file)
    worn = {name: np.zeros_like(value) for name, value in weights.items()}
    run.weights_file.write_bytes(safetensors.numpy.save(worn))
    write_spec(run.folder, run.spec, run.provenance)
    assert WEIGHTS in Store().run(SPEC.key).files
    said = refused(capsys, "export-model", SPEC.key, "--scheme", "mtl")
    assert "The file is not offered: its mean AUROC on the test points is 0.5000" in said
    assert not list((home / "exports").glob("*"))


def test_a_score_that_half_precision_alone_has_changed_is_no_reason_to_refuse(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a few points it may be far from what was judged: here any distance is too far."""
    monkeypatch.setattr("stg_core.export.checking.ROUNDING", 0.0)
    monkeypatch.setattr("stg_core.export.checking.OF_INTERVAL", 0.0)
    found = told(capsys, "export-model", SPEC.key, "--k", "2")["check"]
    assert any(both["file"] != both["judged"] for both in found["scores"].values())


def test_warm_models_are_exported_as_the_judged_plan_trained_them(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a quarter of MTL's epochs, which is one of four, and not for the usual half."""
    share = ["--warm-share", "0.25"]
    assert main(["specialists", SPEC.key, "--k", "2", "--schemes", "mtl,warm", *share]) == 0
    warm = ["export-model", SPEC.key, "--k", "2", "--scheme", "warm"]
    assert "Or say with which --warm-share they went on" in refused(capsys, *warm)
    told(capsys, *warm, *share, "--output", str(tmp_path / "warm.onnx"))
    about = Predictor(tmp_path / "warm.onnx").about
    assert [model.about["epochs"] for model in about.models] == [1, 1]
    assert about.made["command"].endswith("--scheme warm --warm-share 0.25")


def test_the_space_of_exported_models_is_told_and_given_back_when_that_is_said(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = told(capsys, "export-model", SPEC.key, "--scheme", "mtl")
    folder = home / "exports" / exported["folder"]
    known = told(capsys, "weights")
    assert known["exports"] == [folder.name]
    assert known["export_bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert told(capsys, "weights", "bundled:g2")["exports"] == []
    assert "say both" in refused(capsys, "weights", "--exports")

    assert main(["weights", "--delete", "--yes"]) == 0
    assert "1 exported model, " in (said := capsys.readouterr().out)
    assert "stay: --exports deletes them too" in said
    assert Predictor(folder / "model.onnx").scheme == "mtl"
    (folder / "model.safetensors").write_bytes(b"damaged")
    assert told(capsys, "weights")["exports"] == [folder.name]
    gone = told(capsys, "weights", "--delete", "--exports", "--yes")
    assert gone["deleted_exports"] == [folder.name] and gone["deleted"] == []
    assert not folder.exists() and Store().run(SPEC.key).has_data_maps


# ------------------------------------------------------------------------ tables, of every kind


def write_table(path: Path, count: int = 300) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(5, 2, (count, 3))
    ill = x[:, 0] > 5
    colour = np.digitize(x[:, 1], [4, 6])
    size = 100 * x[:, 2] + rng.normal(0, 10, count)
    cells = [[f"{value:.6g}" for value in row] for row in x]
    for i in rng.choice(count, 30, replace=False):
        cells[i][1] = ""
    rows: list[Sequence[str]] = [["a", "b", "c", "task:ill", "task:colour", "task:size"]]
    for i, row in enumerate(cells):
        rows.append([*row, str(int(ill[i])), ["red", "blue", "grey"][colour[i]], f"{size[i]:.5g}"])
    path.write_text("\n".join(map(",".join, rows)))


def test_rows_come_in_as_they_stand_in_their_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(tmp_path / "flowers.csv")
    told(capsys, "add", str(tmp_path / "flowers.csv"))
    run = told(capsys, "extract", "--group", "flowers", "--epochs", "6")["run"]
    told(capsys, "specialists", run, "--k", "2", "--schemes", "mtl,specialists", "--method", "hard")
    folder = tmp_path / "model"
    found = told(
        capsys, "export-model", run, "--k", "2", "--method", "hard", "--output", str(folder)
    )
    assert found["check"]["difference"] < 1e-4
    predictor = Predictor(folder / "model.onnx")
    assert predictor.input.columns == ("a", "b", "c") and predictor.input.raw
    assert sorted(predictor.kinds) == ["binary", "multiclass", "regression"]
    known = predictor.predict([[5.0, 5.0, 5.0], [5.0, np.nan, 5.0], [8.0, 5.0, 8.0]]).probabilities
    size = known[:, predictor.columns("size")][:, 0]
    assert 200 < size[0] < 800  # in the unit of its labels
    assert known[:, predictor.columns("colour")].sum(axis=1) == pytest.approx([1, 1, 1])
    card = (folder / "README.md").read_text()
    assert "In this order: a, b, c." in card
    assert "blue" in card and "R²" in card
