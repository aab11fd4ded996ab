"""What the design promises about speed, measured: `python -m tests.benchmarks.bench [a b c …]`.

Each benchmark compares two things in one run, in turn, and prints the ratio of their medians, so
that other work on the machine meets both alike.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from tests.conftest import installed_chromium, realistic_maps

if TYPE_CHECKING:
    from stg_core.training.spec import TrainingSpec

ROOT = Path(__file__).resolve().parents[2]
RECORDED = (2, 4, 6, 8, 10)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def told(letter: str, what: str, ratio: float, target: float | None, detail: str) -> None:
    promise = f" (promised: at most {target:g})" if target else ""
    print(f"({letter}) {what}: {ratio:.3f}{promise}\n    {detail}", flush=True)


def spread(times: Sequence[float]) -> str:
    unit, scale = ("s", 1) if statistics.median(times) >= 1 else ("ms", 1000)
    median, low, high = (scale * f(times) for f in (statistics.median, min, max))
    return f"{median:.3g} {unit} (from {low:.3g} to {high:.3g}, {len(times)} times)"


# ------------------------------------------------------------------------------- (a), (b): training


def _synthetic(points: int) -> Any:
    from stg_core.tasks.data import TaskData
    from stg_core.tasks.groups import GROUPS, label_matrix

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (points, 32, 32, 3), dtype=np.uint8)
    labels = label_matrix(GROUPS["g1"], rng.integers(0, 10, points).astype(np.uint8), "train")
    return TaskData(GROUPS["g1"].task_names, images, labels, images[:100], labels[:100])


class _Bare:
    """The same model, batch and precision in the shortest loop that trains."""

    def __init__(
        self, model: str, n_tasks: int, point_shape: tuple[int, ...] = (3, 32, 32)
    ) -> None:
        import torch

        from stg_core.training.inputs import choose_device
        from stg_core.training.models import build

        self.device, self.precision = choose_device()
        self.model = build(model, point_shape, n_tasks).to(self.device)
        self.model = self.model.to(memory_format=torch.channels_last).train()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)
        self.weight = torch.full((n_tasks,), 9.0, device=self.device)

    def step(self, images: Any, targets: Any) -> Any:
        import torch.nn.functional as F

        from stg_core.training.inputs import autocast

        with autocast(self.device, self.precision):
            logits = self.model(images)
        logits = logits.float()
        loss = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=self.weight)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return logits

    def wait(self) -> None:
        import torch

        if self.device.type != "cpu":
            torch.accelerator.synchronize()


def _epochs_in_turn(
    spec: TrainingSpec, data: Any, other: Callable[[], None], wait: Callable[[], None]
) -> tuple[list[float], list[float]]:
    """Seconds of the epochs of `train`, and of `other` after each of them, without the first."""
    from stg_core.training.callbacks import Callback
    from stg_core.training.loop import train

    def whole() -> None:
        other()
        wait()

    class Between(Callback):
        def on_epoch_end(self, training: Any) -> None:
            theirs.append(seconds(whole))

    theirs: list[float] = []
    ours = train(spec, data, callbacks=[Between()]).metrics["seconds"]
    return ours[1:], theirs[1:]


def _spec_of_g1(options: argparse.Namespace) -> TrainingSpec:
    from stg_core.tasks.groups import GROUPS
    from stg_core.training.spec import TrainingSpec

    return TrainingSpec(GROUPS["g1"], model=options.model, epochs=options.repetitions + 1)


def bench_a(options: argparse.Namespace) -> None:
    import torch

    data = _synthetic(options.points)
    bare = _Bare(options.model, 10)
    images = torch.randn(options.points, 3, 32, 32, device=bare.device)
    batches = [batch.contiguous(memory_format=torch.channels_last) for batch in images.split(256)]
    targets = torch.tensor(data.train_labels, device=bare.device).split(256)

    def epoch() -> None:
        for batch, target in zip(batches, targets, strict=True):
            bare.step(batch, target)

    ours, theirs = _epochs_in_turn(_spec_of_g1(options), data, epoch, bare.wait)
    told(
        "a",
        f"an epoch of train() over a bare loop, {options.model}",
        statistics.median(ours) / statistics.median(theirs),
        1.05,
        f"train {spread(ours)}, bare {spread(theirs)}",
    )


def bench_b(options: argparse.Namespace) -> None:
    import torch
    from PIL import Image
    from torchvision import transforms
    from torchvision.datasets import VisionDataset

    data = _synthetic(options.points)
    bare = _Bare(options.model, 10)

    class Items(VisionDataset):
        """As torchvision's CIFAR10: a picture, and its labels made item by item."""

        def __len__(self) -> int:
            return len(data.train_points)

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            assert self.transform is not None
            picture = self.transform(Image.fromarray(data.train_points[index]))
            return picture, torch.tensor([float(label) for label in data.train_labels[index]])

    usual = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.25,) * 3)]
    )
    loader: torch.utils.data.DataLoader[Any] = torch.utils.data.DataLoader(
        Items(None, transform=usual),
        batch_size=256,
        shuffle=True,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
    )

    def epoch() -> None:
        for images, targets in loader:
            on_device = images.to(bare.device, memory_format=torch.channels_last)
            bare.step(on_device, targets.to(bare.device))

    ours, theirs = _epochs_in_turn(_spec_of_g1(options), data, epoch, bare.wait)
    told(
        "b",
        f"an epoch of train() over one fed by a DataLoader, {options.model}",
        statistics.median(ours) / statistics.median(theirs),
        None,
        f"train {spread(ours)}, DataLoader {spread(theirs)}",
    )


# ------------------------------------------------------------------------------- (c): the recorder


def bench_c(options: argparse.Namespace) -> None:
    import torch

    from stg_core.maps.recorder import DataMapRecorder, confidence

    bare = _Bare(options.model, 100)
    images = torch.randn(256, 3, 32, 32, device=bare.device)
    images = images.contiguous(memory_format=torch.channels_last)
    targets = (torch.rand(256, 100, device=bare.device) < 0.01).float()
    recorder = DataMapRecorder(50_000, 100, bare.device)
    order = torch.randperm(50_000, device=bare.device)
    steps, records = [], []
    for i in range(10 * options.repetitions + 3):
        indices = order[(256 * i) % 49_000 :][:256]
        started = time.perf_counter()
        logits = bare.step(images, targets)
        bare.wait()
        between = time.perf_counter()
        recorder.update(indices, confidence(logits, targets))
        bare.wait()
        steps.append(between - started)
        records.append(time.perf_counter() - between)
    steps, records = steps[3:], records[3:]
    told(
        "c",
        f"recording the data maps of 100 tasks over a training step, {options.model}",
        statistics.median(records) / statistics.median(steps),
        0.01,
        f"recording {spread(records)}, step {spread(steps)}",
    )


# -------------------------------------------------------------------------------- (d): the grouping


def bench_d(options: argparse.Namespace) -> None:
    from sklearn.cluster import KMeans

    from stg_core.grouping.memberships import TaskSpace, group_tasks
    from stg_core.maps.summary import summarise

    n_tasks = 100
    maps, labels = realistic_maps(n_tasks, options.map_points, RECORDED)
    summary = summarise(maps, labels, [f"task {t}" for t in range(n_tasks)], RECORDED)
    vectors = maps.transpose(2, 0, 1, 3).reshape(n_tasks, -1).astype(np.float32)
    del maps
    space = TaskSpace(summary)
    group_tasks(space, 20, 2.0)
    fuzzy = [
        seconds(partial(group_tasks, space, 20, float(fuzzifier)))
        for fuzzifier in np.linspace(1.1, 4, 10 * options.repetitions)
    ]
    first, again = [], []
    for _ in range(options.repetitions):
        fresh = TaskSpace(summary)
        first.append(seconds(partial(group_tasks, fresh, 21, 2.0)))
        again.append(seconds(partial(group_tasks, fresh, 21, 2.0)))
    # Once: a comparison of a minute is enough to tell a factor of hundreds.
    raw = [seconds(partial(KMeans(21, n_init=10, random_state=0).fit, vectors))]
    told(
        "d",
        "seconds for a change of the fuzzifier, over 5 ms",
        statistics.median(fuzzy) / 0.005,
        1,
        spread(fuzzy),
    )
    told(
        "d",
        "seconds for a new number of clusters, over 100 ms",
        statistics.median(first) / 0.1,
        1,
        spread(first),
    )
    told(
        "d",
        "seconds for a number of clusters seen before, over 20 ms",
        statistics.median(again) / 0.02,
        1,
        spread(again),
    )
    told(
        "d",
        "ten starts of k-means in scikit-learn on the raw vectors, over ours",
        statistics.median(raw) / statistics.median(first),
        None,
        f"scikit-learn {spread(raw)}, ours {spread(first)}",
    )


# ------------------------------------------------------------------------------------- (e): the app


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1):
            return True
    except OSError:
        return False


def _torch_is_in(pid: int) -> bool | None:
    """None on systems that do not tell."""
    maps = Path(f"/proc/{pid}/maps")
    return "libtorch" in maps.read_text() if maps.exists() else None


def _first_page(browser: Any, folder: Path) -> tuple[float, bool | None]:
    """Seconds from `streamlit run` to the first page's heading, and whether torch was loaded."""
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    page = browser.new_page()
    started = time.perf_counter()
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app" / "main.py")]
    process = subprocess.Popen(
        [*command, f"--server.port={port}", "--server.headless=true"],
        env={**os.environ, "STG_HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _answers(address):
            if process.poll() is not None:
                raise SystemExit("The app ended before it answered; start it with `make app`.")
            time.sleep(0.02)
        page.goto(address, wait_until="commit")
        page.get_by_role("heading").first.wait_for(timeout=60_000)
        taken = time.perf_counter() - started
        return taken, _torch_is_in(process.pid)
    finally:
        page.close()
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def bench_e(options: argparse.Namespace) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(
            executable_path=installed_chromium(),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        # The first start warms the disk cache.
        starts = [_first_page(browser, Path(folder)) for _ in range(options.repetitions + 1)][1:]
        browser.close()
    loaded = {with_torch for _, with_torch in starts}
    told(
        "e",
        "seconds from `streamlit run` to the first rendered page, over 3 s",
        statistics.median([taken for taken, _ in starts]) / 3,
        1,
        f"{spread([taken for taken, _ in starts])}; torch in that process: "
        + ("not known on this system" if None in loaded else "yes" if True in loaded else "no"),
    )
    if True in loaded:
        raise SystemExit("The app's process has loaded torch, which it must not.")


def bench_f(options: argparse.Namespace) -> None:
    from tests.benchmarks.pages import measure_pages

    measure_pages()


# -------------------------------------------------------------------------------- (g): the engine


def bench_g(options: argparse.Namespace) -> None:
    from tests.benchmarks.plan import K, plan_and_bare_loops

    ours, theirs = plan_and_bare_loops(options.points, max(2, options.repetitions // 2))
    told(
        "g",
        f"a plan of {K} specialists over {K} bare training loops, small_cnn",
        statistics.median(ours) / statistics.median(theirs),
        1.05,
        f"plan {spread(ours)}, bare {spread(theirs)}; shortest {min(ours) / min(theirs):.3f}",
    )


# ------------------------------------------------------------------ (h): affinities while it trains


def bench_h(options: argparse.Namespace) -> None:
    from stg_core.affinity.gradients import AffinityRecorder
    from stg_core.tasks.groups import GROUPS
    from stg_core.training.callbacks import Callback
    from stg_core.training.loop import train
    from stg_core.training.spec import TrainingSpec

    class Clock(Callback):
        def __init__(self) -> None:
            self.ends = [0.0]

        def on_batch_end(self, training: Any) -> None:
            self.ends.append(time.perf_counter())

    spec = TrainingSpec(
        GROUPS["g1"], model="small_cnn", epochs=1, batch_size=128, recorded_epochs=()
    )
    n_tasks, warm = len(spec.tasks), 4
    data = _synthetic(128 * (8 * options.repetitions + warm))
    for method, passes in (("tag", 3), ("etap", 2)):
        clock = Clock()
        train(spec, data, callbacks=[AffinityRecorder([method], every=2), clock])
        steps = np.diff(clock.ends)[warm:].tolist()  # an ordinary one, a recorded one, and so on
        ordinary, recorded = steps[::2], steps[1::2]
        ratio = statistics.median(recorded) / statistics.median(ordinary)
        counted = (1 + passes * n_tasks) / 3
        told(
            "h",
            f"a step with {method} of {n_tasks} tasks, over {counted:.2f} ordinary ones, small_cnn",
            ratio / counted,
            1.15,
            f"{ratio:.2f} ordinary ones: recorded {spread(recorded)}, ordinary {spread(ordinary)}",
        )

    def whole(callbacks: Sequence[Callback]) -> float:
        return sum(train(spec, data, callbacks=callbacks).metrics["seconds"])

    data = _synthetic(128 * 40)
    pairs = [(whole([AffinityRecorder(["tag"])]), whole([])) for _ in range(options.repetitions)]
    ours, theirs = zip(*pairs, strict=True)
    told(
        "h",
        "a training with tag at every 10th step over an ordinary one, 10 tasks, small_cnn",
        statistics.median(ours) / statistics.median(theirs),
        2.1,
        f"with tag {spread(ours)}, ordinary {spread(theirs)}",
    )


# ----------------------------------------------------------------------------------- (i): judging


def bench_i(options: argparse.Namespace) -> None:
    from tests.benchmarks.judgement import seconds_of_digits_plan, seconds_of_evaluations

    taken = seconds_of_evaluations(options.repetitions)
    size = "20 specialists × 100 tasks × 10,000 images"
    for name, what, target in (
        ("measures", f"all six measures of {size} × 1,000 resamples", 5),
        ("epochs", f"scores of {size} × 10 epochs, and the best epoch", 2),
    ):
        each = taken[name]
        ratio = statistics.median(each) / target
        told("i", f"seconds of {what}, over {target} s", ratio, 1, spread(each))
    plan, alone = seconds_of_digits_plan()
    told(
        "i",
        "seconds of the plan of the digits, k = 3, from start to verdict, over 90 s",
        plan / 90,
        1,
        f"{plan:.1f} s for 8 trainings and their judgement; one training alone took {alone:.1f} s",
    )


# -------------------------------------------------------------------------- (j): adding a data set


def _large_table(path: Path) -> None:
    """100,000 rows of 200 features and 100 tasks, as CSV."""
    import pandas as pd

    rng = np.random.default_rng(0)
    rows = 100_000
    features = {f"f{j}": rng.standard_normal(rows).round(5) for j in range(200)}
    shares = rng.uniform(0.02, 0.5, 100)
    tasks = {f"task:t{t}": (rng.random(rows) < share) * 1 for t, share in enumerate(shares)}
    pd.DataFrame(features | tasks).to_csv(path, index=False)


def bench_j(options: argparse.Namespace) -> None:
    import pandas as pd

    from stg_core.tasks.checks import facts_of
    from stg_core.tasks.sources import Choices, add_source

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.csv"
        _large_table(path)
        ours, theirs = [], []
        with patch.dict(os.environ, STG_HOME=folder):
            for _ in range(options.repetitions + 1):
                ours.append(seconds(lambda: facts_of(add_source(path, Choices(replace=True)))))
                theirs.append(seconds(lambda: pd.read_csv(path)))
    told(
        "j",
        "stg add of 100,000 rows × 200 features × 100 tasks over pandas.read_csv of the file",
        statistics.median(ours[1:]) / statistics.median(theirs[1:]),
        3,
        f"add with its checks {spread(ours[1:])}, read_csv {spread(theirs[1:])}",
    )


# ------------------------------------------------------------------------------ (k): rows, with mlp


def bench_k(options: argparse.Namespace) -> None:
    import torch

    from stg_core.tasks.data import TaskData
    from stg_core.tasks.groups import Task, TaskGroup
    from stg_core.training.spec import TrainingSpec

    rng = np.random.default_rng(0)
    n_points, n_features, n_tasks = 50_000, 200, 20
    rows = rng.standard_normal((n_points, n_features), dtype=np.float32)
    labels = (rng.random((n_points, n_tasks)) < 0.1).astype(np.float32)
    names = tuple(f"t{t}" for t in range(n_tasks))
    tasks = tuple(Task(name, rule="column") for name in names)
    group = TaskGroup("rows", "rows", tasks, "synthetic", (n_features,))
    data = TaskData(names, rows, labels, rows[:1_000], labels[:1_000])
    bare = _Bare("mlp", n_tasks, (n_features,))
    points = torch.tensor(rows, device=bare.device)
    targets = torch.tensor(labels, device=bare.device)

    def epoch() -> None:
        for batch in torch.randperm(n_points).to(bare.device).split(256):
            bare.step(points[batch], targets[batch])

    spec = TrainingSpec(group, epochs=options.repetitions + 1)
    ours, theirs = _epochs_in_turn(spec, data, epoch, bare.wait)
    told(
        "k",
        f"an epoch of train() over a bare loop, mlp, {n_points:,} rows × {n_features} features",
        statistics.median(ours) / statistics.median(theirs),
        1.1,
        f"train {spread(ours)}, bare {spread(theirs)}",
    )


# ------------------------------------------------------------------------- (l): what schemes cost


def bench_l(options: argparse.Namespace) -> None:
    from tests.benchmarks.judgement import costs_on_digits

    for scheme, (counted, measured) in costs_on_digits(options.repetitions).items():
        told(
            "l",
            f"the training cost of {scheme} on digits, k = 3: measured over counted",
            statistics.median(measured) / counted,
            None,
            f"counted {counted:.2f}; measured {statistics.median(measured):.2f}"
            f" (from {min(measured):.2f} to {max(measured):.2f}, {len(measured)} seeds)",
        )


# -------------------------------------------------------------- (m): the log of somebody's own loop


def bench_m(options: argparse.Namespace) -> None:
    from tests.benchmarks.logs import TASKS, seconds_of_end, seconds_of_steps

    for model, target in (("small_cnn", 2.0), ("mlp", None)):
        updates, steps = seconds_of_steps(model, 6 * options.repetitions)
        told(
            "m",
            f"per cent of a step that log.update takes, {TASKS} tasks, batch 256, {model}",
            100 * statistics.median(updates) / statistics.median(steps),
            target,
            f"update {spread(updates)}, step {spread(steps)}",
        )
        ends, n_points = seconds_of_end(options.repetitions)
        epoch = statistics.median(steps) * n_points / 256
        told(
            "m",
            f"per cent of an epoch of {n_points:,} points that log.end_epoch takes, {model}",
            100 * statistics.median(ends) / epoch,
            None,
            f"end_epoch {spread(ends)}, epoch {epoch:.3g} s by its steps",
        )


# ------------------------------------------------------------------------------- (n): many tasks


def bench_n(options: argparse.Namespace) -> None:
    from tests.benchmarks.many import SIZES, K, accuracy, cost_of, exponent

    costs = [cost_of(n_tasks, options.map_points) for n_tasks in SIZES]
    for n_tasks, cost in zip(SIZES, costs, strict=True):
        told(
            "n",
            f"seconds from data maps on disk to memberships, {n_tasks:,} tasks, over 120 s",
            cost["wall"] / 120,
            1,
            f"{cost['wall']:.1f} s, of the processor {cost['processor']:.1f} s; peak, with what is"
            " mapped of files,"
            f" {cost['peak'] / 2**30:.2f} GiB; summary {cost['summary'] / 1e6:.1f} MB; opened in"
            f" {cost['open']:.2f} s, a new k in {1000 * cost['new k']:.0f} ms, stability in"
            f" {'–' if cost['stability'] is None else round(cost['stability'], 1)} s (processor);"
            f" way: {cost['way']}; load of the machine {cost['load']:.1f}",
        )
    for name in ("processor", "peak", "summary", "open", "new k"):
        grows = exponent(SIZES, [cost[name] for cost in costs])
        told("n", f"exponent with which {name} grows with the tasks", grows, None, f"of {SIZES}")
    found = accuracy(1_000, options.map_points)
    for k, agreement in found.projected.items():
        told(
            "n",
            f"ARI of projected and exact clusters, 1,000 tasks of 20 patterns, k = {k}",
            agreement,
            None,
            f"0.98 or more are promised for k = {K}; of two exact ones from different starts:"
            f" {found.begun_elsewhere[k]:.3f}",
        )
    for seed, (typical, nearly_all, most) in found.off.items():
        told(
            "n",
            f"largest error of projected distances over 2 %, 1,000 tasks, seed {seed}",
            most / 0.02,
            1,
            f"of all pairs: {typical:.2%} in two of three, {nearly_all:.2%} in 99 of 100, at most"
            f" {most:.2%}",
        )


# ------------------------------------------------------------- (o): a choice on Try, to its answers


def bench_o(_: argparse.Namespace) -> None:
    from tests.benchmarks.trying import tell

    tell()


BENCHMARKS: dict[str, Callable[[argparse.Namespace], None]] = {
    "a": bench_a,
    "b": bench_b,
    "c": bench_c,
    "d": bench_d,
    "e": bench_e,
    "f": bench_f,
    "g": bench_g,
    "h": bench_h,
    "i": bench_i,
    "j": bench_j,
    "k": bench_k,
    "l": bench_l,
    "m": bench_m,
    "n": bench_n,
    "o": bench_o,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.bench", description=__doc__)
    parser.add_argument("which", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all without any")
    parser.add_argument("--model", default="resnet18", help="backbone of a, b and c")
    parser.add_argument("--points", type=int, default=5_120, help="training images of a, b and g")
    parser.add_argument("--map-points", type=int, default=50_000, help="training images of d")
    parser.add_argument("--repetitions", type=int, default=5, help="after one to warm up")
    options = parser.parse_args()
    if unknown := set(options.which) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    for letter in options.which or BENCHMARKS:
        BENCHMARKS[letter](options)


if __name__ == "__main__":
    main()
