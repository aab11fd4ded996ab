"""What the command line says of itself: where to begin, and an example of each command."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

COMMAND = "stg"  # where the library is installed
EXAMPLES: Mapping[str, str] = {
    "add": "add tox21.csv --task 'NR-*' --task 'SR-*' --hash-text smiles --id mol_id",
    "data": "data tox21",
    "import-log": "import-log training_dynamics --name 'my run'",
    "groups": "groups",
    "extract": "extract --group digits --epochs 10",
    "group": "group bundled:digits --k 3 --fuzzifier 2",
    "group-maps": "group-maps maps.npy labels.npy --k 20",
    "agreement": "agreement bundled:g3 --k 20",
    "choose": "choose bundled:g1",
    "layout": "layout bundled:g1 --how pca",
    "specialists": "specialists bundled:digits --k 3",
    "export-model": "export-model bundled:digits --k 3 --output specialists.onnx",
    "study": "study plan.toml",
    "affinity": "affinity --group digits --method tag",
    "methods": "methods --table digits-8 --budget 3",
    "runs": "runs",
    "export": "export bundled:g1 --output g1.zip",
    "import": "import g1.zip",
    "rename": "rename RUN 'My first run'",
    "delete": "delete RUN",
    "weights": "weights --delete",
    "bundle": "bundle RUN g4",
}
FOR_NEWCOMERS: Mapping[str, str] = {  # a command, and what it is for
    "add tasks.csv": "keep a data set of yours, a column for each task",
    "extract --group digits": "train on a task group and keep its data maps",
    "group bundled:digits --k 3": "see which tasks belong together",
    "specialists bundled:digits --k 3": "train specialists and learn whether the grouping pays",
    "runs": "list what is here",
}


def called() -> str:
    """What was typed to get here."""
    return COMMAND if Path(sys.argv[0]).stem == COMMAND else "python -m stg_core"


def where_to_begin() -> str:
    """The commands that a newcomer needs."""
    width = max(map(len, FOR_NEWCOMERS))
    lines = [f"  {called()} {words:<{width}}  {what}" for words, what in FOR_NEWCOMERS.items()]
    return "\n".join(
        [
            "Which tasks of a multi-task model belong together? To begin with:",
            "",
            *lines,
            "",
            f"All commands: {called()} --help. What one can do, with an example:"
            f" {called()} group --help.",
        ]
    )
