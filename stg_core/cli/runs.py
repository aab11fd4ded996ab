"""Commands about finished runs: list, rename, delete, export, import, bundle."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stg_core.cli.options import Answer, Command
from stg_core.cli.printing import asked, run_line
from stg_core.export.folders import Kept, delete_export, kept_exports
from stg_core.results.run import WEIGHTS, Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.system.files import atomic
from stg_core.system.words import counted


def add_commands(command: Command) -> None:
    command("runs", _runs, "List the runs of this machine, bundled ones first.")

    export = command("export", _export, "Write a run to a .zip file, for another machine.")
    export.add_argument("run", metavar="RUN")
    export.add_argument(
        "--output", type=Path, default=Path(), metavar="FILE", help="default: after its title, here"
    )
    export.add_argument(
        "--with-arrays", action="store_true", help="also data maps and logits of every point"
    )
    export.add_argument("--with-weights", action="store_true", help="also the weights of the model")

    command("import", _import, "Take a run from a .zip file.").add_argument(
        "file", type=Path, metavar="FILE"
    )

    rename = command("rename", _rename, "Give a run a title of your own.")
    rename.add_argument("run", metavar="RUN")
    rename.add_argument("title", metavar="TITLE", help='"" takes the generated one back')

    delete = command("delete", _delete, "Delete a run for good.")
    delete.add_argument("run", metavar="RUN")
    delete.add_argument("--yes", action="store_true", help="do not ask")

    weights = command(
        "weights", _weights, "Tell which runs keep the weights of their models; give space back."
    )
    weights.add_argument("run", metavar="RUN", nargs="*", help="some runs only; default: all")
    weights.add_argument(
        "--delete", action="store_true", help="delete their weights; no result is lost"
    )
    weights.add_argument(
        "--exports",
        action="store_true",
        help="with --delete: also the models that were exported of them (export-model)",
    )
    weights.add_argument("--yes", action="store_true", help="do not ask")
    weights.add_argument(
        "--keep",
        choices=("yes", "no"),
        help="whether trainings keep weights from now on (default: yes)",
    )

    bundle = command("bundle", _bundle, "Copy a run into the bundles that come with the project.")
    bundle.add_argument("run", metavar="RUN")
    bundle.add_argument("name", metavar="NAME")


def _runs(_: argparse.Namespace) -> Answer:
    store = Store()
    runs = store.runs()
    for sentence in store.damaged:
        print(sentence, file=sys.stderr)
    lines = [run_line(run) for run in runs] or [
        "No runs yet: python -m stg_core extract --group digits"
    ]
    return {"runs": [described(run) for run in runs], "damaged": store.damaged}, "\n".join(lines)


def _bundle(options: argparse.Namespace) -> Answer:
    from stg_core.engine.derived import bundle_answers

    store = Store()
    folder = store.bundle(store.run(options.run), options.name)
    bundle_answers(store, store.run(f"bundled:{options.name}"))
    return {"bundled": f"bundled:{options.name}"}, f"Bundled as {folder.parent.name}/{folder.name}."


def _export(options: argparse.Namespace) -> Answer:
    from stg_core.results.archive import export_run, file_name

    run = Store().run(options.run)
    path: Path = options.output
    if path.is_dir():
        path = path / file_name(run)
        if path.exists():
            raise UserError(f"{path} is here already: name the file with --output FILE.")
    try:
        with atomic(path) as file:
            export_run(run, file, options.with_arrays, options.with_weights)
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}).") from error
    answer = {"run": run.id, "file": str(path), "bytes": size}
    return answer, f"{run.title} is in {path}, {size / 1e6:,.1f} MB."


def _import(options: argparse.Namespace) -> Answer:
    from stg_core.results.archive import import_run

    try:
        with options.file.open("rb") as file:
            run = import_run(Store(), file)
    except OSError as error:
        raise UserError(f"{options.file} cannot be read ({error.strerror}).") from error
    return described(run), run_line(run)


def _rename(options: argparse.Namespace) -> Answer:
    store = Store()
    run = store.rename(store.run(options.run), options.title)
    return described(run), run_line(run)


def _delete(options: argparse.Namespace) -> Answer:
    store = Store()
    run = store.run(options.run)
    if not (options.yes or run.bundled or agreed(f"Delete {run.title} ({run.id}) for good?")):
        return {"deleted": None}, "Nothing was deleted."
    store.delete(run)
    return {"deleted": run.id}, f"Deleted: {run.title}"


def _weights(options: argparse.Namespace) -> Answer:
    store = Store()
    if options.exports and not options.delete:
        raise UserError("Exported models are only deleted with --delete: say both.")
    if options.keep:
        store.keeps_weights = options.keep == "yes"
    runs = [store.run(name) for name in options.run] or store.runs()
    there = [run for run in runs if run.has_weights and not run.bundled]
    exports = kept_exports(store, {run.spec.key for run in runs} if options.run else ())
    answer = {
        "keep": store.keeps_weights,
        "bytes": sum(run.files[WEIGHTS]["bytes"] for run in there),
        "runs": [run.id for run in there],
        "exports": [one.folder.name for one in exports],
        "export_bytes": sum(one.bytes for one in exports),
        "deleted": [],
        "deleted_exports": [],
    }
    if options.delete and (there or (options.exports and exports)):
        return _space_back(store, there, exports, answer, options)
    lines = [f"{run.id}  {run.title}: {run.about_weights}" for run in runs]
    from_now_on = "keep" if store.keeps_weights else "do not keep"
    lines += [f"Weights are kept of {_of_runs(answer)}."]
    lines += [f"Trainings {from_now_on} theirs from now on."]
    lines += [f"There are {_of_exports(answer)}, in {one.folder.parent}." for one in exports[:1]]
    return answer, "\n".join(lines)


def _space_back(
    store: Store,
    there: Sequence[Run],
    exports: Sequence[Kept],
    answer: dict[str, Any],
    options: argparse.Namespace,
) -> Answer:
    """Deletes the weights of runs and, where that is said, exported models."""
    leaving = [f"the weights of {_of_runs(answer)}"] * bool(there)
    leaving += [_of_exports(answer)] * (options.exports and bool(exports))
    of_all = ", and ".join(leaving)
    if not (options.yes or agreed(f"Delete {of_all}? Results stay.")):
        return answer, "Nothing was deleted."
    for run in there:
        store.drop_weights(run)
    if options.exports:
        for one in exports:
            delete_export(one)
        answer["deleted_exports"] = answer["exports"]
    stays = f" {_of_exports(answer)}, stay: --exports deletes them too."
    told = f"Deleted: {of_all}." + stays * (bool(exports) and not options.exports)
    return answer | {"deleted": answer["runs"]}, told


def _of_runs(answer: Mapping[str, Any]) -> str:
    return f"{counted(len(answer['runs']), 'run')}, {answer['bytes'] / 1e6:,.1f} MB"


def _of_exports(answer: Mapping[str, Any]) -> str:
    models = counted(len(answer["exports"]), "exported model")
    return f"{models}, {answer['export_bytes'] / 1e6:,.1f} MB"


def agreed(question: str) -> bool:
    """Asks on a terminal; UserError elsewhere, where a script must say so."""
    if not sys.stdin.isatty():
        raise UserError(f"{question} Say so with --yes.")
    return asked(question)


def described(run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
        "title": run.title,
        "live": run.live,
        "how_far": run.how_far,
        "key": run.spec.key,
        "mean_f1": run.mean_score if run.score_name == "F1" else None,
        "score": {"name": run.score_name, "mean": run.mean_score},
        "bytes": run.size,
        "weights": run.files[WEIGHTS]["bytes"] if run.has_weights else None,
        "provenance": run.provenance,
        "spec": run.spec.to_json(),
    }
