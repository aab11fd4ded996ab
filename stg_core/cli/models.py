"""The command that writes a model to take home."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stg_core.cli.options import (
    Answer,
    Command,
    add_input_options,
    add_method_options,
    grouping_from,
    words,
)
from stg_core.cli.progress import tell_of_steps
from stg_core.judging.ensembles import AVERAGES
from stg_core.judging.plan import SCHEMES, WARM_SHARE
from stg_core.judging.report import ROUTINGS
from stg_core.judging.verdict import MEASURE_NAMES
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.system.files import atomic

if TYPE_CHECKING:
    from stg_core.export.kept import Exported

WITHOUT_CLUSTERS = ("mtl", "stl")


def add_commands(command: Command) -> None:
    export = command(
        "export-model",
        _export_model,
        "Write the models of a scheme as one file that predicts, once it is checked.",
    )
    export.add_argument("--k", type=int, help="number of clusters; not needed for mtl and stl")
    add_method_options(export)
    add_input_options(export)
    export.add_argument(
        "--scheme", choices=SCHEMES, default="specialists", help="default: specialists"
    )
    export.add_argument(
        "--routing",
        choices=ROUTINGS,
        default="soft",
        help="soft: all models answer, with their weights; hard: of each task the strongest alone",
    )
    export.add_argument("--average", choices=AVERAGES, default="logits")
    export.add_argument("--seed", type=int, help="of its trainings; default: the run's own")
    export.add_argument(
        "--warm-share",
        type=float,
        default=WARM_SHARE,
        metavar="SHARE",
        help=f"of MTL's epochs, for which warm models went on: default {WARM_SHARE:g}",
    )
    export.add_argument(
        "--beside",
        type=words,
        default=(),
        metavar="SCHEME,…",
        help="judged with it, of those that are trained (default: all)",
    )
    export.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="what to write: .onnx, .safetensors (for torch), .md (the model card), or all three"
        " into a folder; without it they are kept in the folder of results",
    )


def _export_model(options: argparse.Namespace) -> Answer:
    from stg_core.export.kept import kept_export
    from stg_core.export.making import Wanted

    if options.output is not None:
        _file_in(options.output)  # before the work is done, not after
    store = Store()
    run = store.run(options.run)
    if options.k is None:
        if options.scheme not in WITHOUT_CLUSTERS:
            raise UserError("Say into how many clusters the tasks are grouped, such as --k 3.")
        options.k = min(2, len(run.spec.tasks))
    space, grouping = grouping_from(options, run)
    wanted = Wanted(
        options.scheme,
        options.routing,
        options.average,
        options.seed,
        tuple(options.beside),
        options.warm_share,
    )
    exported = kept_export(store, run, space, grouping, wanted, tell_of_steps())
    place = exported.folder if options.output is None else _copied(exported, options.output)
    return {**exported.told, "file": str(place)}, _told(exported, place)


def _file_in(output: Path) -> str:
    """Which file is wanted; empty for all, in a folder."""
    from stg_core.export.folders import CARD, ONNX, WEIGHTS

    files = {".onnx": ONNX, ".safetensors": WEIGHTS, ".md": CARD}
    if output.is_dir() or not output.suffix:
        return ""
    if output.suffix not in files:
        raise UserError(
            f"A model is written as {', '.join(files)} or into a folder, and not as"
            f" {output.name}: name the file so."
        )
    return files[output.suffix]


def _copied(exported: Exported, output: Path) -> Path:
    name = _file_in(output)
    try:
        if not name:
            shutil.copytree(exported.folder, output, dirs_exist_ok=True)
            return output
        with atomic(output) as file:
            file.write((exported.folder / name).read_bytes())
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error.strerror or error}).") from error
    return output


def _told(exported: Exported, place: Path) -> str:
    told = exported.told
    check: dict[str, Any] = told["check"]
    scores = ", ".join(
        f"{MEASURE_NAMES[name]} {both['file']:.4f} (judged {both['judged']:.4f})"
        for name, both in check["scores"].items()
    )
    lines = [
        f"{told['title']} is in {place}.",
        f"Checked on {check['points']:,} test points: onnxruntime and torch differ by"
        f" {check['difference']:.1g} at most; mean {scores}.",
        "",
        f"{'':27}  models     MB  ms for one point  each of many",
    ]
    lines += [
        f"{name:27}  {one['models']:6}  {one['bytes'] / 1e6:5.2f}  {one['one']:16.2f}"
        f"  {one['many']:12.3f}"
        for name, one in told["serving"].items()
    ]
    return "\n".join(lines)
