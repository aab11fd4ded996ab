"""Exported models for pages: real answers of logistic regressions, in files made without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import safetensors.numpy
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

from stg_core.export.about import KEY, About, Input, Model
from stg_core.export.folders import ONNX, WEIGHTS
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS, Kind
from stg_core.training.spec import TrainingSpec

Floats = NDArray[np.float64]


def write_model(path: Path, about: About, slopes: Floats, offsets: Floats) -> Path:
    """A file of k models of T binary tasks: slopes (k, F, T), offsets (k, T) of raw numbers."""
    shape, k, t = about.input.shape, *offsets.shape
    kind = TensorProto.UINT8 if about.input.kind == "image" else TensorProto.FLOAT
    constants = {
        "slopes": np.moveaxis(slopes, 0, 1).reshape(-1, k * t),
        "offsets": offsets.reshape(-1),
        "weights": about.matrix[None],
    }
    nodes = [
        helper.make_node("Cast", [about.input.name], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["numbers"], ["rows"]),
        helper.make_node("MatMul", ["rows", "slopes"], ["sums"]),
        helper.make_node("Add", ["sums", "offsets"], ["flat"]),
        helper.make_node("Reshape", ["flat", "models"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["specialists"]),
        helper.make_node("Mul", ["logits", "weights"], ["weighed"]),
        helper.make_node("ReduceSum", ["weighed", "axis"], ["together"], keepdims=0),
        helper.make_node("Sigmoid", ["together"], ["probabilities"]),
    ]
    numbers = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in constants.items()]
    numbers += [numpy_helper.from_array(np.array([-1, k, t]), "models")]
    numbers += [numpy_helper.from_array(np.array([1]), "axis")]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(about.input.name, kind, ["N", *shape])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", t]),
            helper.make_tensor_value_info("specialists", TensorProto.FLOAT, ["N", k, t]),
        ],
        numbers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {KEY: about.to_text()})
    onnx.save(model, path)
    return path


def about(
    tasks: Sequence[str], scheme: str, weights: Floats, given: Input, **more: object
) -> About:
    models = tuple(Model(f"cluster {j + 1}", tuple(range(len(tasks)))) for j in range(len(weights)))
    kind: Kind = "binary"
    found = About(
        title=f"A model for tests, {scheme}",
        group="15 questions about handwritten digits",
        scheme=scheme,
        tasks=tuple(tasks),
        kinds=(kind,) * len(tasks),
        models=models,
        weights=tuple(tuple(row) for row in weights.tolist()),
        input=given,
    )
    return replace(found, **more)  # type: ignore[arg-type]


def digits_models(folder: Path, data: TaskData, spec: TrainingSpec | None = None) -> list[Path]:
    """MTL and three specialists of the digits, each fitted to a part of them."""
    folder.mkdir(parents=True, exist_ok=True)
    n_tasks = len(data.tasks)
    rows = data.train_points.reshape(len(data.train_points), -1)
    fitted = [_fitted(rows[part::4], data.train_labels[part::4]) for part in range(4)]
    given = Input("image", data.train_points.shape[1:], mean=(0.0,), deviation=(1.0,))
    weights = np.full((3, n_tasks), 0.25)
    weights[np.arange(n_tasks) % 3, np.arange(n_tasks)] = 0.5
    said: Mapping[str, object] = {
        "run": (spec or TrainingSpec(GROUPS["digits"], epochs=2)).key,
        "data": data.digest,
        "verdict": "It cannot be told that the grouping pays.",
        "scores": {"auroc": {"mean": 0.95, "ci": [0.94, 0.96], "tasks": {}}},
    }
    paths = []
    for scheme, parts, shares in (
        ("mtl", fitted[:1], np.ones((1, n_tasks))),
        ("specialists", fitted[1:], weights),
    ):
        slopes, offsets = (np.stack(each) for each in zip(*parts, strict=True))
        one = about(data.tasks, scheme, shares, given, **said)
        paths.append(write_model(folder / f"digits-{scheme}.onnx", one, slopes, offsets))
    return paths


def _fitted(rows: NDArray[np.uint8], labels: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Slopes (F, T) and offsets (T,) of a logistic regression of each task, of raw levels."""
    slopes, offsets = [], []
    for own in labels.T:
        model = LogisticRegression(C=0.1, max_iter=300).fit(rows / 255, own)
        slopes.append(model.coef_[0] / 255)
        offsets.append(model.intercept_[0])
    return np.stack(slopes, axis=1), np.array(offsets)


def as_exports(paths: Sequence[Path], folder: Path, **changes: object) -> list[Path]:
    """The same files as the folder of results has what was exported; changes: of what they say."""
    folders = []
    for path in paths:
        model = onnx.load(path)
        said = replace(About.from_text(model.metadata_props[0].value), **changes)  # type: ignore[arg-type]
        helper.set_model_props(model, {KEY: said.to_text()})
        own = folder / f"{len(list(folder.glob('*'))):016x}"
        own.mkdir(parents=True)
        onnx.save(model, own / ONNX)
        head = {"weights": np.zeros(1)}
        safetensors.numpy.save_file(head, own / WEIGHTS, metadata={KEY: said.to_text()})
        folders.append(own)
    return folders
