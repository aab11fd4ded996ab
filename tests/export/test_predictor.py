"""A file that predicts answers as it says, or says in a sentence why it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from stg_core.export import Predictor
from stg_core.export.about import About, Input
from stg_core.system.errors import UserError
from tests.export.files import ABOUT, file_of

ROOT = Path(__file__).resolve().parents[2]


def test_it_tells_what_it_is_and_answers(tmp_path: Path) -> None:
    (tmp_path / "toy.onnx").write_bytes(file_of())
    predictor = Predictor(tmp_path / "toy.onnx")
    assert (predictor.title, predictor.scheme) == ("Two models", "specialists")
    assert predictor.tasks == ("a", "b", "c")
    assert predictor.models == ("cluster 1", "cluster 2")
    assert predictor.input.columns == ("x", "y")
    assert predictor.columns("c") == slice(2, 3)
    prediction = predictor.predict(np.zeros((5, 2)))
    assert prediction.each.shape == (5, 2, 3)
    assert prediction.each[4, 1] == pytest.approx([0.75] * 3)
    assert prediction.probabilities[0] == pytest.approx([0.25 * 0.25 + 0.75 * 0.75, 0.5, 0.25])
    assert predictor.predict(np.empty((0, 2))).probabilities.shape == (0, 3)


def test_nothing_heavy_is_imported_to_predict() -> None:
    program = (
        "import sys; from stg_core.export import Predictor; Predictor(sys.stdin.buffer.read());"
        "print({'torch', 'onnx', 'pandas', 'scipy', 'streamlit'} & {*sys.modules})"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], input=file_of(), cwd=ROOT, capture_output=True, check=True
    )
    assert told.stdout.decode().strip() == "set()"


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (np.zeros((3, 4)), "an array of (points, 2), and not of 3 × 4"),
        (np.zeros(2), "an array of (points, 2), and not of 2"),
        (3.0, "not of a single number"),
        ([["a", "b"]], "Rows are numbers"),
        ([[1.0, np.inf]], "infinite"),
    ],
)
def test_other_points_are_refused_in_a_sentence(inputs: Any, says: str) -> None:
    with pytest.raises(UserError) as error:
        Predictor(file_of()).predict(inputs)
    assert says in str(error.value)


def damaged(**changes: Any) -> str:
    return json.dumps({**json.loads(ABOUT.to_text()), **changes})


WRONG_SHAPE = replace(ABOUT, input=Input("table", (3,), (), (0.0,) * 3, (1.0,) * 3))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no ONNX model, or damaged"),
        (b"a text, and no model", "no ONNX model, or damaged"),
        (file_of()[:-400], "no ONNX model, or damaged"),
        (file_of(said=""), "none that STG Explorer made"),
        (file_of(said="no JSON"), "none that STG Explorer made"),
        (file_of(said="[" * 100_000), "none that STG Explorer made"),
        (file_of(said=damaged(format=2)), "install a newer one"),
        (file_of(said=damaged(weights=[[1, 1, 1]])), "damaged (its weights are not of its models"),
        (file_of(said=damaged(weights=[[1, 1, 1]] * 2)), "do not sum to 1"),
        (file_of(said=damaged(tasks=["a", "a", "b"])), "its tasks cannot be"),
        (file_of(said=damaged(kinds=["binary"])), "differ in number"),
        (file_of(said=damaged(kinds=["binary", "binary", "multiclass"])), "damaged"),
        (file_of(said=damaged(title=[1])), "a name is no text"),
        (file_of(said=damaged(input={"kind": "sound"})), "damaged"),
        (file_of(said=damaged(more=1)), "damaged"),
        (file_of(said=WRONG_SHAPE.to_text()), "does not take or give what it says"),
        (file_of(names=("other",)), "does not take or give what it says"),
    ],
)
def test_what_is_none_of_ours_is_refused_in_a_sentence(content: bytes, says: str) -> None:
    with pytest.raises(UserError) as error:
        Predictor(content)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_path_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.onnx cannot be read"):
        Predictor(tmp_path / "no.onnx")


def test_what_a_file_says_of_itself_comes_back_as_it_was() -> None:
    assert About.from_text(ABOUT.to_text()) == ABOUT


def test_a_file_reads_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_bytes(np.ones(64, dtype=np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    model = onnx.ModelProto.FromString(file_of())
    kind = onnx.TensorProto.FLOAT
    read = model.graph.initializer.add(name="read", data_type=kind, dims=[64])
    read.data_location = onnx.TensorProto.EXTERNAL
    read.external_data.add(key="location", value="secret")
    model.graph.node.append(onnx.helper.make_node("Identity", ["read"], ["told"]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("told", kind, [64]))
    with pytest.raises(UserError, match="no ONNX model, or damaged"):
        Predictor(model.SerializeToString())
