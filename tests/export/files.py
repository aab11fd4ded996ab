"""A file that predicts, made by hand: two models of three tasks over rows of two numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from stg_core.export.about import KEY, About, Input, Model

ABOUT = About(
    title="Two models",
    group="toy",
    scheme="specialists",
    tasks=("a", "b", "c"),
    kinds=("binary", "binary", "binary"),
    models=(Model("cluster 1", (0, 1, 2)), Model("cluster 2", (0, 1, 2))),
    weights=((0.25, 0.5, 1.0), (0.75, 0.5, 0.0)),
    input=Input("table", (2,), ("x", "y"), (0.0, 0.0), (1.0, 1.0)),
)


def file_of(about: About = ABOUT, said: str | None = None, names: Any = ("features",)) -> bytes:
    """Answers 0.25 by the first model and 0.75 by the second, whatever comes in.

    said: what the file says of itself, in place of `about`; names: of its inputs.
    """
    each = np.full((1, 2, 3), [[0.25], [0.75]], dtype=np.float32)
    weights = np.array(about.weights, dtype=np.float32)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["points", 2]) for name in names
    ]
    outputs = [
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["points", 3]),
        helper.make_tensor_value_info("specialists", TensorProto.FLOAT, ["points", 2, 3]),
    ]
    nodes = [
        helper.make_node("Shape", [names[0]], ["count"], start=0, end=1),
        helper.make_node("Concat", ["count", "ones"], ["shape"], axis=0),
        helper.make_node("Expand", ["each", "shape"], ["specialists"]),
        helper.make_node("Mul", ["specialists", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "axis"], ["probabilities"], keepdims=0),
    ]
    constants = {"each": each, "weights": weights, "ones": np.array([1, 1]), "axis": np.array([1])}
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {KEY: about.to_text() if said is None else said})
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
