"""The ONNX file and the torch module answer the same, of every built-in model and kind of task."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from stg_core.export import Predictor, load
from stg_core.export.about import About, Input, Model
from stg_core.export.onnx_file import as_onnx
from stg_core.export.served import Served, built, save
from stg_core.system.errors import UserError
from stg_core.training.models import register

IMAGES = Input("image", (9, 8, 3), mean=(100.0, 120.0, 90.0), deviation=(50.0, 60.0, 70.0))
RAW = Input("table", (4,), tuple("abcd"), (1.0, 2.0, 3e6, 4.0), (1.0, 2.0, 1.5, 0.1), gaps=(1, 3))
READY = Input("table", (4,), tuple("abcd"))


def about_of(
    model: str = "tiny_cnn", given: Input = IMAGES, average: str = "logits", width: float = 1.0
) -> About:
    """Two models of all four tasks, and a third of the first three."""
    how = {"model": model, "width": width, "hidden_widths": [8], "dropout": 0.2}
    return About(
        title="Three models",
        group="toy",
        scheme="specialists",
        tasks=("yes", "one of three", "a number", "no"),
        kinds=("binary", "multiclass", "regression", "binary"),
        classes={"one of three": ("x", "y", "z")},
        units={"a number": (-3.0, 10.0)},
        models=(
            Model("cluster 1", (0, 1, 2, 3), how),
            Model("cluster 2", (0, 1, 2, 3), how),
            Model("cluster 3", (0, 1, 2), how),
        ),
        weights=((0.2, 0.3, 0.5, 1.0), (0.8, 0.7, 0.25, 0.0), (0.0, 0.0, 0.25, 0.0)),
        input=given,
        average=average,
    )


def served_of(about: About) -> Served:
    """With random weights, also of what batch normalisation has seen."""
    torch.manual_seed(1)
    served = Served(about, [built(about, model) for model in about.models])
    for module in served.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return served.eval()


def points_of(given: Input, count: int = 5) -> np.ndarray:
    rng = np.random.default_rng(2)
    if given.kind == "image":
        return rng.integers(0, 256, (count, *given.shape), dtype=np.uint8)
    rows = rng.normal(given.mean or 0, given.deviation or 1, (count, *given.shape))
    if given.raw:
        rows[0, 1] = rows[1, 2] = rows[2, 3] = np.nan
    return rows.astype(np.float32)


def assert_alike(served: Served, given: Input) -> Predictor:
    content = as_onnx(served)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    predictor, points = Predictor(content), points_of(given)
    found = predictor.predict(points)
    with torch.inference_mode():
        answer, each = served(torch.tensor(points))
    np.testing.assert_allclose(found.probabilities, answer.numpy(), atol=3e-5)
    np.testing.assert_allclose(found.each, each.numpy(), atol=3e-5)
    assert np.isfinite(found.probabilities).all()
    return predictor


@pytest.mark.parametrize("average", ["logits", "probabilities"])
@pytest.mark.parametrize(
    ("model", "given", "width"),
    [
        ("tiny_cnn", IMAGES, 1.0),
        ("small_cnn", IMAGES, 0.3),
        ("resnet18", IMAGES, 0.1),
        ("mlp", IMAGES, 1.0),
        ("mlp", RAW, 1.0),
        ("mlp", READY, 1.0),
    ],
)
def test_both_answer_the_same(model: str, given: Input, width: float, average: str) -> None:
    assert_alike(served_of(about_of(model, given, average, width)), given)


def test_the_answer_is_the_weighted_average_of_those_who_answer() -> None:
    about = about_of("mlp", READY, "probabilities")
    found = Predictor(as_onnx(served_of(about))).predict(points_of(READY))
    assert np.isnan(found.each[:, 2, 5]).all()  # the third has no such task
    columns = [0, 1, 1, 1, 2, 3]
    expected = (np.nan_to_num(found.each) * about.matrix[:, columns]).sum(axis=1)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
    np.testing.assert_allclose(found.probabilities[:, 1:4].sum(axis=1), 1, atol=1e-5)


def test_logits_are_averaged_before_they_are_probabilities() -> None:
    found = Predictor(as_onnx(served_of(about_of("mlp", READY)))).predict(points_of(READY))
    first, second = (np.log(p / (1 - p)) for p in found.each[:, :2, 0].T)
    expected = 1 / (1 + np.exp(-(0.2 * first + 0.8 * second)))
    np.testing.assert_allclose(found.probabilities[:, 0], expected, atol=1e-5)


def test_a_missing_number_is_the_mean_and_is_told() -> None:
    served, points = served_of(about_of("mlp", RAW)), torch.tensor(points_of(RAW))
    seen = served.normalised(points)
    assert seen.shape == (5, 6)
    assert seen[0, 1] == seen[1, 2] == seen[2, 3] == 0
    assert seen[:, 4].tolist() == [1, 0, 0, 0, 0] and seen[:, 5].tolist() == [0, 0, 1, 0, 0]


def test_weights_of_half_precision_take_half_the_room_and_answer_the_same() -> None:
    served = served_of(about_of("small_cnn", width=0.3))
    whole = len(as_onnx(served))
    for weights in (*served.models.parameters(), *served.models.buffers()):
        if weights.is_floating_point():
            weights.data = weights.half().float()
    assert len(as_onnx(served)) < 0.6 * whole
    assert_alike(served, IMAGES)


@register("with tanh")
def with_tanh(point_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(point_shape[0], 4), nn.Tanh(), nn.Linear(4, n_outputs))


@pytest.mark.slow
def test_a_model_of_ones_own_is_written_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    whole = onnx.load_from_string

    def noted(content: bytes) -> onnx.ModelProto:
        written.append(content)
        return whole(content)

    monkeypatch.setattr(onnx, "load_from_string", noted)
    assert_alike(served_of(about_of(f"{__name__}:with tanh", RAW)), RAW)
    assert b"site-packages" not in written[0]  # no word of the machine that wrote it


# ------------------------------------------------------------------------------ back to torch


def test_torch_takes_its_models_back_and_goes_on_training(tmp_path: Path) -> None:
    served = served_of(about_of("small_cnn", width=0.3))
    save(served, tmp_path / "model.safetensors")
    back, points = load(tmp_path / "model.safetensors"), torch.tensor(points_of(IMAGES))
    assert back.about == served.about and not back.training
    for one, other in zip(back(points), served(points), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    back.train()
    before = [value.clone() for value in back.parameters()]
    optimizer = torch.optim.SGD(back.parameters(), lr=0.1)
    torch.cat(back.outputs(points), dim=1).square().mean().backward()
    optimizer.step()
    assert all(
        not torch.equal(one, now) for one, now in zip(before, back.parameters(), strict=True)
    )


def test_files_of_others_are_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot be read as weights"):
        load(path)
    served = served_of(about_of())
    served.about = replace(served.about, models=served.about.models[:2], weights=((0.5,) * 4,) * 2)
    save(served, path)
    with pytest.raises(UserError, match="do not fit together"):
        load(path)
    huge = {"model": "mlp", "width": 1.0, "hidden_widths": [10**9] * 3, "dropout": 0.0}
    served.about = replace(served.about, models=(Model("cluster 1", (0, 1, 2, 3), huge),) * 2)
    save(served, path)
    with pytest.raises(UserError, match="do not fit together"):
        load(path)
    unknown = {**huge, "model": "antigravity:wide"}
    served.about = replace(served.about, models=(Model("cluster 1", (0, 1, 2, 3), unknown),) * 2)
    save(served, path)
    with pytest.raises(UserError, match="import the module that registers it"):
        load(path)
