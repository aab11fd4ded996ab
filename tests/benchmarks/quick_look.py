"""How near the grouping of a quick look comes to that of the bundled run: needs the images.

`python -m tests.benchmarks.quick_look [g1 g2 g3]`, with STG_DATA where CIFAR is. What it prints is
what `stg_core.training.quick_look.MEASURED` says.
"""

from __future__ import annotations

import sys

from stg_core.engine.worker import run_spec
from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.grouping.settling import change_between
from stg_core.results.store import Store
from stg_core.tasks.groups import GROUPS
from stg_core.training.quick_look import quick_look
from stg_core.training.speed import total_seconds

K = {"g1": 2, "g2": 3, "g3": 20}


def main() -> None:
    store = Store()
    for name in sys.argv[1:] or K:
        spec = quick_look(GROUPS[name])
        assert spec is not None
        run, full = run_spec(store, spec), store.run(f"bundled:{name}")
        groupings = [group_tasks(TaskSpace(each.summary), K[name]) for each in (full, run)]
        found = change_between(*groupings)
        print(
            f"{name}, k = {K[name]}: adjusted Rand index {found.index:.3f}, mean difference of"
            f" memberships {found.moved:.4f}; {total_seconds(run.metrics):.0f} s of the thread"
            f" that trains, {run.provenance['threads']} threads, {run.provenance['seconds']:.0f} s"
            " in all",
            flush=True,
        )


if __name__ == "__main__":
    main()
