"""The torch module as an ONNX file, layer by layer.

The built-in models are made of a dozen kinds of layers, which are written here directly: at once,
and with weights in half precision where a training kept them so. Whatever else a model of one's own
is made of, torch's exporter writes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from stg_core.export.about import KEY, About
from stg_core.export.predictor import OUTPUTS
from stg_core.export.served import Served, segments
from stg_core.system.extras import of_extra

OPSET = 20  # operators of ONNX, and the version of the format that goes with them
IR = 9
POINTS = "points"  # what the number of points is called


class _Unknown(Exception):
    """A layer that is not written here."""


def as_onnx(served: Served) -> bytes:
    """A file that takes any number of raw points, and says of itself what it is.

    Raises UserError where onnx is not installed.
    """
    with of_extra("export"):
        import onnx
    served = served.eval()
    try:
        model = _written(served)
    except _Unknown:
        model = _by_torch(served)
    model.doc_string = f"{served.about.title}. {served.about.verdict}"
    model.producer_name = "STG Explorer"
    onnx.helper.set_model_props(model, {KEY: served.about.to_text()})
    content: bytes = model.SerializeToString()
    return content


# ------------------------------------------------------------------------------ layer by layer


class _Graph:
    """Nodes and constants of an ONNX graph, as they are added; what goes between has a number."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.held: list[Any] = []

    def add(self, kind: str, *inputs: str, called: str = "", **attributes: Any) -> str:
        """A node; returns the name of its output."""
        from onnx import helper

        name = called or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any, kind: type = np.float32) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self.held)}"
        self.held.append(numpy_helper.from_array(np.array(value, dtype=kind), name))
        return name

    def weight(self, value: Tensor) -> str:
        """A weight, in half precision where that is exactly what it is."""
        found: NDArray[np.float32] = value.detach().float().cpu().numpy()
        with np.errstate(over="ignore"):
            half = found.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), found):
            return self.constant(found)
        return self.cast(self.constant(half, np.float16), np.float32)

    def cast(self, name: str, kind: type) -> str:
        from onnx import helper

        return self.add("Cast", name, to=helper.np_dtype_to_tensor_dtype(np.dtype(kind)))


def _written(served: Served) -> Any:
    from onnx import TensorProto, helper

    about, graph = served.about, _Graph()
    seen = _normalised(graph, about)
    own = [_network(graph, model, seen) for model in served.models]
    _answered(graph, served, own)
    kind = TensorProto.UINT8 if about.input.kind == "image" else TensorProto.FLOAT
    k, n_outputs = len(about.models), about.n_outputs
    takes = [helper.make_tensor_value_info(about.input.name, kind, [POINTS, *about.input.shape])]
    shapes: tuple[list[str | int | None], ...] = [POINTS, n_outputs], [POINTS, k, n_outputs]
    gives = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in zip(OUTPUTS, shapes, strict=True)
    ]
    whole = helper.make_graph(graph.nodes, about.scheme, takes, gives, graph.held)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)


def _normalised(graph: _Graph, about: About) -> str:
    """As `Normalised`."""
    of, name = about.input, about.input.name
    if of.kind == "image":
        levels = graph.cast(name, np.float32)
        moved = graph.add("Sub", levels, graph.constant(of.mean))
        scaled = graph.add("Div", moved, graph.constant(of.deviation))
        return graph.add("Transpose", scaled, perm=[0, 3, 1, 2])
    if not of.raw:
        return graph.add("Identity", name)
    missing, exact = graph.add("IsNaN", name), graph.cast(name, np.float64)
    moved = graph.add("Sub", exact, graph.constant(of.mean, np.float64))
    scaled = graph.add("Div", moved, graph.constant(of.deviation, np.float64))
    known = graph.add("Where", missing, graph.constant(0), graph.cast(scaled, np.float32))
    if not of.gaps:
        return known
    gaps = graph.add("Gather", missing, graph.constant(of.gaps, np.int64), axis=1)
    return graph.add("Concat", known, graph.cast(gaps, np.float32), axis=1)


def _answered(graph: _Graph, served: Served, own: Sequence[str]) -> None:
    """As `Served.forward`, from each model's own outputs."""
    about, single = served.about, graph.constant([1], np.int64)
    each = []
    for j, name in enumerate(own):
        if not served.whole[j]:
            pads = graph.constant([0, 0, 0, 1], np.int64)
            padded = graph.add("Pad", name, pads, graph.constant(np.nan))
            name = graph.add("Gather", padded, graph.constant(served.places[j], np.int64), axis=1)
        each.append(graph.add("Unsqueeze", name, single))
    stacked = graph.add("Concat", *each, axis=1)
    of_logits = about.average == "logits"
    answers = _as_answers(graph, about, stacked, OUTPUTS[1])
    averaged = stacked if of_logits else answers
    shares = served.weights.numpy()
    counts, none = graph.constant(shares > 0, np.bool_), graph.constant(0)
    parts = graph.add("Mul", averaged, graph.constant(shares))
    total = graph.add("Where", counts, parts, none)
    if of_logits:
        total = graph.add("ReduceSum", total, single, keepdims=0)
        _as_answers(graph, about, total, OUTPUTS[0])
    else:
        graph.add("ReduceSum", total, single, keepdims=0, called=OUTPUTS[0])


def _as_answers(graph: _Graph, about: About, name: str, called: str) -> str:
    """Logits (…, O) as probabilities and numbers in their unit: as `Served`."""
    parts = []
    for kind, start, stop, unit in segments(about):
        ends = (graph.constant([place], np.int64) for place in (start, stop, -1))
        part = graph.add("Slice", name, *ends)
        if kind == "binary":
            parts.append(graph.add("Sigmoid", part))
        elif kind == "multiclass":
            parts.append(graph.add("Softmax", part, axis=-1))
        else:
            mean, deviation = map(graph.constant, unit)
            parts.append(graph.add("Add", graph.add("Mul", part, deviation), mean))
    return graph.add("Concat", *parts, axis=-1, called=called)


def _network(graph: _Graph, module: nn.Module, points: str) -> str:
    """One model, from the name of what it sees to that of its outputs, (N, those of its tasks)."""
    try:
        traced = fx.symbolic_trace(module)
    except Exception as error:  # a model of one's own that cannot be followed, for any reason
        raise _Unknown from error
    names: dict[fx.Node, str] = {}
    for node in traced.graph.nodes:
        inputs = [names[one] for one in node.all_input_nodes]
        if node.op == "placeholder":
            names[node] = points
        elif node.op == "call_module":
            layer = traced.get_submodule(str(node.target))
            names[node] = _layer(graph, layer, *inputs)
        elif node.op == "call_function" and node.target in FUNCTIONS:
            kind, attributes = FUNCTIONS[node.target]
            if len(inputs) != len(node.args) and kind == "Add":
                raise _Unknown(node)
            if kind == "Flatten" and (node.args[1:] != (1,) or node.kwargs):
                raise _Unknown(node)
            names[node] = graph.add(kind, *inputs, **attributes)
        elif node.op == "output":
            return inputs[0]
        else:
            raise _Unknown(node.op, node.target)
    raise _Unknown("no output")


FUNCTIONS: dict[Any, tuple[str, dict[str, Any]]] = {
    operator.add: ("Add", {}),
    operator.iadd: ("Add", {}),
    torch.flatten: ("Flatten", {"axis": 1}),
}


def _layer(graph: _Graph, layer: nn.Module, name: str) -> str:
    for kinds, write in LAYERS:
        if type(layer) in kinds:
            return write(graph, layer, name)
    raise _Unknown(type(layer))


def _dense(graph: _Graph, layer: Any, name: str) -> str:
    biases = [] if layer.bias is None else [graph.weight(layer.bias)]
    return graph.add("Gemm", name, graph.weight(layer.weight), *biases, transB=1)


def _convolution(graph: _Graph, layer: Any, name: str) -> str:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise _Unknown(layer)
    biases = [] if layer.bias is None else [graph.weight(layer.bias)]
    return graph.add(
        "Conv",
        *(name, graph.weight(layer.weight), *biases),
        kernel_shape=list(layer.kernel_size),
        strides=list(layer.stride),
        pads=[*layer.padding, *layer.padding],
        dilations=list(layer.dilation),
        group=layer.groups,
    )


def _batch_norm(graph: _Graph, layer: Any, name: str) -> str:
    if not (layer.affine and layer.track_running_stats):
        raise _Unknown(layer)
    held = (layer.weight, layer.bias, layer.running_mean, layer.running_var)
    return graph.add("BatchNormalization", name, *map(graph.weight, held), epsilon=layer.eps)


def _largest(graph: _Graph, layer: Any, name: str) -> str:
    if layer.ceil_mode or layer.return_indices or layer.dilation != 1:
        raise _Unknown(layer)

    def pair(value: Any) -> list[int]:
        return [value, value] if isinstance(value, int) else list(value)

    strides, pads = pair(layer.stride), pair(layer.padding)
    return graph.add(
        "MaxPool", name, kernel_shape=pair(layer.kernel_size), strides=strides, pads=pads + pads
    )


def _mean(graph: _Graph, layer: Any, name: str) -> str:
    if layer.output_size not in (1, (1, 1)):
        raise _Unknown(layer)
    return graph.add("GlobalAveragePool", name)


def _flat(graph: _Graph, layer: Any, name: str) -> str:
    if (layer.start_dim, layer.end_dim) != (1, -1):
        raise _Unknown(layer)
    return graph.add("Flatten", name, axis=1)


Write = Callable[[_Graph, Any, str], str]
LAYERS: tuple[tuple[tuple[type[nn.Module], ...], Write], ...] = (
    ((nn.Linear,), _dense),
    ((nn.Conv2d,), _convolution),
    ((nn.BatchNorm1d, nn.BatchNorm2d), _batch_norm),
    ((nn.ReLU,), lambda graph, _, name: graph.add("Relu", name)),
    ((nn.MaxPool2d,), _largest),
    ((nn.AdaptiveAvgPool2d,), _mean),
    ((nn.Flatten,), _flat),
    ((nn.Dropout, nn.Identity), lambda _, __, name: name),
)


# ------------------------------------------------------------------------------ torch's exporter


def _by_torch(served: Served) -> Any:
    with of_extra("export"):
        import onnxscript  # noqa: F401, which torch's exporter needs
    about = served.about
    kind = torch.uint8 if about.input.kind == "image" else torch.float32
    program: Any = torch.onnx.export(
        served,
        (torch.ones((2, *about.input.shape), dtype=kind),),
        dynamo=True,
        input_names=[about.input.name],
        output_names=list(OUTPUTS),
        dynamic_shapes=({0: torch.export.Dim(POINTS)},),
        verbose=False,
    )
    model = program.model_proto
    _forget(model)
    return model


def _forget(model: Any) -> None:
    """Leaves out how torch came to it: it names files of the machine that exported it."""
    graph = model.graph
    parts = [model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info]
    for part in [*parts, *graph.initializer, *model.functions]:
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
        part.doc_string = ""
