"""All models of a file as one torch module: normalisation, models, and the weighted average."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from stg_core.export.about import KEY, NEITHER, About, Input, Kind, Model
from stg_core.system.errors import UserError
from stg_core.system.files import atomic
from stg_core.training.loop import weights_in
from stg_core.training.models import build
from stg_core.training.spec import BUILT_IN_MODELS

PREFIX = "models"  # of the names of the weights, as `Served` has them


class Normalised(nn.Module):
    """Raw points (N, …) as the models see them: see `Input`."""

    mean: Tensor
    deviation: Tensor
    gaps: Tensor

    def __init__(self, of: Input) -> None:
        super().__init__()
        self.of_images, self.raw = of.kind == "image", of.raw
        # the numbers of a table may be large and near each other
        kind = torch.float32 if self.of_images else torch.float64
        for name in ("mean", "deviation"):
            values = torch.tensor(getattr(of, name), dtype=kind)
            self.register_buffer(name, values, persistent=False)
        self.register_buffer("gaps", torch.tensor(of.gaps, dtype=torch.int64), persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        if self.of_images:
            return ((points.float() - self.mean) / self.deviation).permute(0, 3, 1, 2)
        if not self.raw:
            return points
        missing = points.isnan()
        scaled = ((points.double() - self.mean) / self.deviation).float()
        scaled = torch.where(missing, 0.0, scaled)
        if not len(self.gaps):
            return scaled
        return torch.cat([scaled, missing.index_select(1, self.gaps).float()], dim=1)


class Served(nn.Module):
    """Raw points to `(probabilities, each)`, (N, O) and (N, k, O), as `Prediction` says.

    about: what the file says of itself; models: its k networks, in the order of `about.models`. To
    go on training take `outputs`, which has the logits.
    """

    weights: Tensor

    def __init__(self, about: About, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.about = about
        self.normalised = Normalised(about.input)
        self.models = nn.ModuleList(models)
        of_output = [t for t, width in enumerate(about.widths) for _ in range(width)]
        shares = torch.tensor(about.matrix[:, of_output], dtype=torch.float32)
        self.register_buffer("weights", shares, persistent=False)
        self.places = [_places(about, model) for model in about.models]
        # a model of the first tasks alone has its outputs at their places, too, but not all
        self.whole = [model.tasks == tuple(range(len(about.tasks))) for model in about.models]

    def outputs(self, points: Tensor) -> list[Tensor]:
        """Of each model its own outputs, (N, outputs of its tasks), before any average: logits."""
        seen = self.normalised(points)
        return [model(seen) for model in self.models]

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor]:
        own = self.outputs(points)
        each = torch.stack([self._of_all_tasks(j, one) for j, one in enumerate(own)], dim=1)
        answers = self._answers(each)
        averaged = each if self.about.average == "logits" else answers
        # what a model does not answer is NaN, and has no weight
        total = torch.where(self.weights > 0, averaged * self.weights, 0.0).sum(dim=1)
        return self._answers(total) if self.about.average == "logits" else total, answers

    def _of_all_tasks(self, j: int, outputs: Tensor) -> Tensor:
        """The outputs of a model at the places of all tasks, (N, O); NaN where it has none."""
        if self.whole[j]:
            return outputs
        padded = torch.cat([outputs, torch.full_like(outputs[:, :1], torch.nan)], dim=1)
        return padded.index_select(1, torch.tensor(self.places[j], device=outputs.device))

    def _answers(self, outputs: Tensor) -> Tensor:
        """Logits (…, O) as probabilities, and numbers in their unit."""
        parts = []
        for kind, start, stop, (mean, deviation) in segments(self.about):
            part = outputs[..., start:stop]
            match kind:
                case "binary":
                    parts.append(part.sigmoid())
                case "multiclass":
                    parts.append(part.softmax(dim=-1))
                case "regression":
                    parts.append(part * deviation + mean)
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


def segments(about: About) -> list[tuple[Kind, int, int, tuple[float, float]]]:
    """The O columns of outputs as they are answered, in order: what kind, from where to where, and
    the unit of a regression. Binary tasks side by side are one."""
    each = [(about.kinds[t], task) for t, task in enumerate(about.tasks)]
    found: list[tuple[Kind, int, int, tuple[float, float]]] = []
    for (kind, _), several in groupby(each, lambda one: (one[0], one[0] != "binary" and one[1])):
        tasks = [task for _, task in several]
        start, stop = about.columns[tasks[0]].start, about.columns[tasks[-1]].stop
        found.append((kind, start, stop, about.units.get(tasks[0], (0.0, 1.0))))
    return found


def _places(about: About, model: Model) -> list[int]:
    """For each of the O outputs, which of the model's own it is; the one after them for none."""
    own = [o for t in model.tasks for o in range(about.n_outputs)[about.columns[about.tasks[t]]]]
    where = {output: place for place, output in enumerate(own)}
    return [where.get(output, len(own)) for output in range(about.n_outputs)]


def built(about: About, model: Model) -> nn.Module:
    """A fresh network of the kind of a model in a file; its weights are still to come."""
    how = model.about
    widths = tuple(about.widths[t] for t in model.tasks)
    network: nn.Module = build(
        how["model"],
        about.input.model_shape,
        sum(widths),
        widths=widths,
        hidden_widths=tuple(how["hidden_widths"]),
        dropout=how["dropout"],
        width=how["width"],
    )
    return network


def served_of(about: About, files: Sequence[Path]) -> Served:
    """The module with weights from files of trainings, one for each model."""
    models = []
    for model, path in zip(about.models, files, strict=True):
        network = built(about, model)
        network.load_state_dict(weights_in(path))
        models.append(network)
    return Served(about, models).eval()


# ---------------------------------------------------------------------------------- safetensors


def save(served: Served, path: Path) -> None:
    """Writes the weights with what the file says of itself, for `load`."""
    state = {name: value.contiguous() for name, value in served.state_dict().items()}
    with atomic(path) as file:
        file.write(safetensors.torch.save(state, metadata={KEY: served.about.to_text()}))


def load(path: str | Path) -> Served:
    """The models of a .safetensors file as a torch module, ready to predict or to go on training.

    It takes raw points as `Predictor` does, and gives the same. Raises UserError for a file that is
    none, is damaged or is of a newer version, and for models of one's own that are not known yet:
    import the module that registers them before. Nothing is imported because a file says so.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY, "")
            if not text:
                raise UserError(NEITHER)
            about = About.from_text(text)
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            models = _fitting(about, shapes)
            state = {name: file.get_tensor(name) for name in shapes}
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"{path} cannot be read as weights ({error}).") from error
    served = Served(about, models)
    served.load_state_dict(state)
    return served.eval()


def _fitting(about: About, shapes: dict[str, tuple[int, ...]]) -> list[nn.Module]:
    """Fresh networks for a file's weights; UserError where those are of others.

    They are first built without memory, so that a file cannot ask for more than it has itself.
    """
    names = [str(model.about.get("model")) for model in about.models]
    for name in names:
        module = name.partition(":")[0] if ":" in name else ""
        if name not in BUILT_IN_MODELS and module not in sys.modules:
            raise UserError(
                f"The model {name!r} is not built in: import the module that registers it, and load"
                " the file again."
            )
    try:
        with torch.device("meta"):
            expected = _shapes([built(about, model) for model in about.models])
        if expected != shapes:
            raise ValueError("its weights are of another model")
        return [built(about, model) for model in about.models]
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise UserError(f"The weights of this file do not fit together ({error}).") from error


def _shapes(models: Sequence[nn.Module]) -> dict[str, tuple[int, ...]]:
    return {
        f"{PREFIX}.{j}.{name}": tuple(value.shape)
        for j, model in enumerate(models)
        for name, value in model.state_dict().items()
    }
