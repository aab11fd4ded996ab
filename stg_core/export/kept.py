"""Exported models, kept in the store: made once, checked before they are kept.

STG_HOME/exports/<key>/   model.onnx, model.safetensors, README.md (the model card)
"""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stg_core.engine.derived import Question, Tell, question_of
from stg_core.export.about import FORMAT
from stg_core.export.card import card
from stg_core.export.folders import CARD, EXPORTS, FILES, ONNX, WEIGHTS
from stg_core.export.making import Made, Wanted, make
from stg_core.judging.plan import WARM, Plan
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.system.files import atomic

if TYPE_CHECKING:
    from stg_core.grouping.memberships import Grouping, TaskSpace

REVISION = 1  # of what is written, besides FORMAT
SERVED = {  # what is served for comparison, where it is trained
    "MTL": Wanted("mtl"),
    "specialists": Wanted("specialists"),
    "specialists, hard routing": Wanted("specialists", "hard"),
}


@dataclass(frozen=True)
class Exported:
    """An exported model: its folder, and what is told of it: title, check, serving, bytes."""

    folder: Path
    told: dict[str, Any]


def export_question(
    store: Store, run: Run, space: TaskSpace, plan: Plan, wanted: Wanted
) -> Question:
    """What the app asks for: the command that keeps an export, and the key of what it tells.

    plan: of the schemes that are judged beside it; another question once one of its trainings is
    another.
    """
    grouping = plan.grouping
    seed = plan.spec.seed if wanted.seed is None else wanted.seed
    asked = question_of(
        run,
        space,
        "export-model",
        *("--k", str(grouping.k), "--fuzzifier", repr(float(grouping.fuzzifier))),
        *("--method", grouping.method, "--scheme", wanted.scheme),
        *("--routing", wanted.routing, "--average", wanted.average, "--seed", str(seed)),
        *("--beside", ",".join(plan.schemes)),
        *(("--warm-share", repr(float(plan.warm_share))) if {*WARM} & {*plan.schemes} else ()),
    )
    trainings = [(spec.key, store.get(spec)) for spec in plan.trainings]
    made = [
        [key, run and [run.provenance.get("created"), run.has_weights]] for key, run in trainings
    ]
    digest = hashlib.sha256(json.dumps([FORMAT, REVISION, made]).encode()).hexdigest()[:16]
    return replace(asked, key=f"{asked.key} {digest}")


def kept_export(
    store: Store,
    run: Run,
    space: TaskSpace,
    grouping: Grouping,
    wanted: Wanted,
    tell: Tell = lambda _: None,
) -> Exported:
    """A model that was checked, from the store where it was exported before.

    Raises UserError where it cannot be made, or does not pass its check.
    """
    made = make(store, run, space, grouping, wanted, tell)
    question = export_question(store, run, space, made.plan, wanted)
    folder = folder_of(store, question)
    told = store.cache.get(question.key)
    if told is not None and all((folder / name).is_file() for name in FILES):
        return Exported(folder, dict(told))
    told = _keep(store, run, space, grouping, made, folder)
    with suppress(Exception):  # it is no less there where that cannot be kept
        store.cache[question.key] = told
    return Exported(folder, told)


def folder_of(store: Store, question: Question) -> Path:
    name = hashlib.sha256(question.key.encode()).hexdigest()[:16]
    return store.folder / EXPORTS / name


def _keep(
    store: Store, run: Run, space: TaskSpace, grouping: Grouping, made: Made, folder: Path
) -> dict[str, Any]:
    from stg_core.export import checking, serving
    from stg_core.export.onnx_file import as_onnx
    from stg_core.export.predictor import Predictor
    from stg_core.export.served import save, served_of
    from stg_core.tasks.data import load_task_data

    about = made.about
    served = served_of(about, [one.weights_file for one in made.runs])
    content = as_onnx(served)
    data = load_task_data(made.plan.spec.group)
    passed = checking.check(Predictor(content), served, made, data)
    files = _beside(store, run, space, grouping, made) | {_called(made): content}
    points = checking.raw_points(about, np.asarray(data.test_points[: serving.MANY]))
    measured = serving.measure(files, points)
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        with atomic(temporary / ONNX) as file:
            file.write(content)
        save(served, temporary / WEIGHTS)
        with atomic(temporary / CARD) as file:
            file.write(card(made, passed, measured).encode())
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise UserError(f"The model cannot be kept in {folder.parent} ({error}).") from error
    return {
        "title": about.title,
        "scheme": about.scheme,
        "routing": about.routing,
        "average": about.average,
        "seed": made.ensemble.seed,
        "verdict": about.verdict,
        "folder": folder.name,
        "called": _called(made),
        "bytes": {name: (folder / name).stat().st_size for name in FILES},
        "check": passed.to_json(),
        "serving": {name: one.to_json() for name, one in measured.items()},
    }


def _called(made: Made) -> str:
    """As SERVED calls it, or its scheme."""
    about = made.about
    own = about.scheme, about.routing
    return next(
        (name for name, one in SERVED.items() if (one.scheme, one.routing) == own),
        about.scheme + ", hard routing" * (about.routing == "hard"),
    )


def _beside(
    store: Store, run: Run, space: TaskSpace, grouping: Grouping, made: Made
) -> dict[str, bytes]:
    """Files of MTL, specialists and hard routing, to be timed in turns with what was made."""
    from stg_core.export.onnx_file import as_onnx
    from stg_core.export.served import served_of

    found = {}
    for name, wanted in SERVED.items():
        if wanted.scheme not in made.plan.schemes:
            continue
        with suppress(UserError):  # without weights: it is not timed
            own = make(
                store,
                run,
                space,
                grouping,
                replace(
                    wanted,
                    average=made.about.average,
                    seed=made.ensemble.seed,
                    beside=made.plan.schemes,
                    warm_share=made.plan.warm_share,
                ),
            )
            found[name] = as_onnx(served_of(own.about, [one.weights_file for one in own.runs]))
    return found
