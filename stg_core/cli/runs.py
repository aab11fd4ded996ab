"""Commands about finished runs: list, rename, delete, export, import, bundle."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from stg_core.cli.options import Answer, Command
from stg_core.cli.printing import asked, run_line
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.system.files import atomic


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

    command("import", _import, "Take a run from a .zip file.").add_argument(
        "file", type=Path, metavar="FILE"
    )

    rename = command("rename", _rename, "Give a run a title of your own.")
    rename.add_argument("run", metavar="RUN")
    rename.add_argument("title", metavar="TITLE", help='"" takes the generated one back')

    delete = command("delete", _delete, "Delete a run for good.")
    delete.add_argument("run", metavar="RUN")
    delete.add_argument("--yes", action="store_true", help="do not ask")

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
            export_run(run, file, options.with_arrays)
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
        "provenance": run.provenance,
        "spec": run.spec.to_json(),
    }
