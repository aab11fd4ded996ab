"""How far a command is: a bar on a terminal, elsewhere a line now and then, always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from tqdm import tqdm

from stg_core.training.spec import TrainingSpec

if TYPE_CHECKING:
    from stg_core.engine.derived import Progress
    from stg_core.judging.plan import Plan

FORMAT = "{percentage:3.0f}%|{bar:20}| {desc}"


class Bar:
    """A bar on a terminal, gone once it is full; nothing elsewhere."""

    def __init__(self) -> None:
        self.on_terminal = sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None

    def show(self, share: float, text: str) -> None:
        """share: in [0, 1]."""
        if not self.on_terminal:
            return
        if self._bar is None:
            self._bar = tqdm(
                total=1.0, bar_format=FORMAT, leave=False, dynamic_ncols=True, file=sys.stderr
            )
        self._bar.n = share
        self._bar.set_description_str(text)
        if share >= 1:
            self._bar.close()
            self._bar = None


def say(sentence: str, to: TextIO | None = None) -> None:
    """A line that stays, above a bar where there is one; to stderr if nothing else is said."""
    stream = to or sys.stderr
    tqdm.write(sentence, file=stream)
    stream.flush()


def tell_of_one() -> Callable[[dict[str, Any]], None]:
    """Of a training, or one after the other: a bar; elsewhere one line per finished epoch."""
    bar = Bar()
    epochs_told: int | None = None  # unknown, as where a training goes on that was interrupted

    def tell(record: dict[str, Any]) -> None:
        nonlocal epochs_told
        if "waits" in record:
            return say(record["waits"])
        bar.show(record.get("fraction", 0.0), _told(record))
        epoch = record.get("epoch")
        if not bar.on_terminal and _is_new(epoch, epochs_told):
            say(_told(record))
        epochs_told = epoch

    return tell


def tell_of_all(plan: Plan, count: int) -> Callable[[TrainingSpec, dict[str, Any]], None]:
    """Of some trainings at once: a bar of all of them; elsewhere one line per epoch of each."""
    bar = Bar()
    shares: dict[str, float] = {}
    epochs_told: dict[str, int | None] = {}

    def tell(spec: TrainingSpec, record: dict[str, Any]) -> None:
        if "waits" in record:
            return say(record["waits"])
        name = plan.name_of(spec)
        shares[name] = record.get("fraction", 0.0)
        so_far = f"{sum(share == 1 for share in shares.values())} of {count} trained."
        going = (f"{name} {share:.0%}" for name, share in shares.items() if share < 1)
        bar.show(sum(shares.values()) / count, f"{so_far} {'; '.join(going)}")
        epoch = record.get("epoch")
        if not bar.on_terminal and _is_new(epoch, epochs_told.get(name)):
            say(f"{so_far} {name}: {_told(record)}")
        epochs_told[name] = epoch

    return tell


def tell_of_cell(
    head: str, plan: Plan, count: int
) -> Callable[[TrainingSpec, dict[str, Any]], None]:
    """Of a cell of a study: a bar; elsewhere one line per training."""
    bar = Bar()
    done: set[TrainingSpec] = set()

    def tell(spec: TrainingSpec, record: dict[str, Any]) -> None:
        if "waits" in record:
            return say(record["waits"])
        ended = record.get("epoch") == spec.epochs and spec not in done
        if ended:
            done.add(spec)
        so_far = f"{head}: {len(done)} of {count} trained."
        line = f"{so_far} {plan.name_of(spec)}: {_told(record)}"
        bar.show(len(done) / count, line)
        if not bar.on_terminal and ended:
            say(line)

    return tell


def tell_of_share() -> Callable[[str, float], None]:
    """What is being done and how far it is, in a bar; elsewhere nothing."""
    bar = Bar()
    return lambda what, share: bar.show(share, what)


def tell_of_steps() -> Callable[[Progress], None]:
    """How far a slow result is, in a bar; elsewhere nothing."""
    bar = Bar()
    return lambda progress: bar.show(progress.share, str(progress))


def _is_new(epoch: int | None, told: int | None) -> bool:
    """Whether an epoch has ended since what was told last of the same training."""
    return epoch is not None and told is not None and epoch > told


def _told(record: dict[str, Any]) -> str:
    parts = [record["message"].removesuffix(".")]
    if record.get("seconds_left") is not None:
        rate, left = record["images_per_second"], record["seconds_left"]
        parts.append(f"{rate:,.0f} points/s, {left:,.0f} s left")
    if record.get("loss"):
        parts.append(f"loss {record['loss'][-1]:.3f}")
    if record.get("mean_f1") and record["mean_f1"][-1] is not None:
        parts.append(f"mean score {record['mean_f1'][-1]:.3f}")
    return ", ".join(parts)
