"""Slow results are computed once, in the background, by processes that come and go cleanly."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil
import pytest

from stg_core.cli.main import main
from stg_core.engine.derived import (
    PROGRESS,
    SO_FAR,
    Derived,
    Progress,
    Question,
    bundled_answers,
    kept_choice,
    kept_layout,
    layout_question,
    quality_question,
    stability_question,
)
from stg_core.grouping.choosing import Stability, choose, stability, stability_by_k
from stg_core.grouping.layout import task_map
from stg_core.grouping.memberships import METHODS, TaskSpace
from stg_core.maps.summary import summarise
from stg_core.results.run import Run
from stg_core.results.store import Store
from tests.conftest import command_line, realistic_maps

PATIENCE = 120  # seconds, on a busy machine
NO_SUCH_RUN = Question("no such run", ("choose", "bundled:nothing"))
T = TypeVar("T")


@pytest.fixture
def derived(own_home: Path) -> Iterator[Derived]:
    found = Derived(Store(own_home))
    yield found
    found.stop()
    assert not children()


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "stg_core" in command_line(p)]


def until(ask: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if (found := ask()) is not None:
            return found
        time.sleep(0.05)
    raise AssertionError("It did not come in time.")


def run_and_space(store: Store, name: str = "bundled:g1") -> tuple[Run, TaskSpace]:
    """A run, and a choice of its epochs whose answers do not come with the bundles."""
    run = store.run(name)
    return run, TaskSpace(run.summary, run.summary.epochs.tolist()[1:])


def test_a_choice_is_computed_once_in_the_background_and_kept(derived: Derived) -> None:
    run, space = run_and_space(derived.store)
    assert derived.choice(run, space, 2.0, "soft").pending
    seconds = []
    for _ in range(200):
        began = time.perf_counter()
        assert derived.choice(run, space, 1.5, "hard").pending
        seconds.append(time.perf_counter() - began)
    assert statistics.median(seconds) < 0.001
    assert len(children()) == 1  # for all of these
    until(lambda: children()[0].nice() > psutil.Process().nice() or None)

    found = until(lambda: derived.choice(run, space, 2.0, "soft").value)
    expected = choose(space, stability(space), 2.0, "soft")
    assert (found.ks, found.why) == (expected.ks, expected.why)
    assert found.measures["stability"] == pytest.approx(expected.measures["stability"], abs=0.01)
    softer = derived.choice(run, space, 3.0, "soft").value
    assert softer is not None and softer.measures["xie_beni"] != found.measures["xie_beni"]

    after_restart = Derived(Store(derived.store.folder))
    assert after_restart.choice(run, space, 2.0, "soft").value == found
    assert not children()


@pytest.mark.slow
def test_quality_that_is_slow_comes_with_its_own_question(derived: Derived) -> None:
    run, space = run_and_space(derived.store)
    found = until(lambda: derived.choice(run, space, 1.5, "fcm").value)
    expected = choose(space, stability(space), 1.5, "fcm")
    assert (found.ks, found.why) == (expected.ks, expected.why)
    assert found.measures["xie_beni"] == pytest.approx(expected.measures["xie_beni"])
    votes = [quality_question(run, space, fuzzifier, "points") for fuzzifier in (1.5, 2)]
    assert votes[0] == votes[1]


def test_failed_and_killed_processes_are_reported_and_can_be_asked_again(derived: Derived) -> None:
    run, space = run_and_space(derived.store)
    umap = layout_question(run, space, "umap")
    assert derived.get(NO_SUCH_RUN).pending and derived.get(umap).pending
    assert derived.choice(run, space, 2.0, "soft").pending
    assert len(children()) == 2  # the third waits
    victim = next(p for p in children() if "umap" in p.cmdline())
    victim.kill()
    assert until(lambda: derived.get(umap).problem or None) == "Its process was ended (SIGKILL)."
    assert "no run “bundled:nothing”" in until(lambda: derived.get(NO_SUCH_RUN).problem or None)
    assert derived.get(umap).problem  # still, and nothing was begun for it
    assert until(lambda: derived.choice(run, space, 2.0, "soft").value).suggested == 2
    derived.ask_again()
    assert derived.get(umap).pending
    assert any("umap" in p.cmdline() for p in children())


class Killed(Exception):
    """Stands for whatever ends a process."""


def test_what_is_done_is_kept_and_gone_on_from(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stg_core.engine.derived.NOTE_EVERY", 0)
    store = Store(own_home)
    run, space = run_and_space(store)
    key = stability_question(run, space).key
    for limit in (3, 6):

        def tell(progress: Progress, limit: int = limit) -> None:
            if progress.done > limit:
                raise Killed

        with pytest.raises(Killed):
            kept_choice(store, run, space, 2.0, "soft", tell)
        assert store.cache[key + PROGRESS] == {"done": limit, "total": 8, "unit": "values of k"}
        assert len(store.cache[key + SO_FAR]["labels"]) == limit

    told: list[Progress] = []
    found = kept_choice(store, run, space, 2.0, "soft", told.append)
    assert [str(progress) for progress in told] == [
        "6 of 8 values of k",
        "7 of 8 values of k",
        "8 of 8 values of k",
    ]
    assert found == choose(space, stability(space))
    assert not [name for name in store.cache if name.endswith((SO_FAR, PROGRESS))]


def test_quality_says_how_far_it_is_too(own_home: Path) -> None:
    store = Store(own_home)
    run, space = run_and_space(store)
    told: list[Progress] = []
    kept_choice(store, run, space, 1.5, "fcm", told.append)
    assert [progress.done for progress in told] == [*range(9), *range(9)]


def test_a_page_is_told_how_far_a_result_is_and_what_there_is_of_it(derived: Derived) -> None:
    run, space = run_and_space(derived.store)
    begun = list(islice(stability_by_k(space), 3))[-1]
    for question in (NO_SUCH_RUN, Question("another", NO_SUCH_RUN.words)):
        derived.get(question)
    key = stability_question(run, space).key
    assert derived.choice(run, space, 2.0, "soft").waits  # for the two
    derived.store.cache[key + SO_FAR] = asdict(begun)
    derived.store.cache[key + PROGRESS] = asdict(Progress(3, 8, "values of k"))
    answer = derived.choice(run, space, 2.0, "hard")
    assert answer.pending
    assert str(answer.progress) == "3 of 8 values of k"
    assert answer.so_far is not None and answer.so_far.ks == (2, 3, 4)
    assert answer.so_far.measures["stability"] == begun.mean
    assert not derived.choice(run, space, 2.0, "fcm").so_far  # of which nothing is known
    found = until(lambda: derived.choice(run, space, 2.0, "soft").value)
    assert found == choose(space, stability(space))


def test_no_clock_ends_a_result(derived: Derived, monkeypatch: pytest.MonkeyPatch) -> None:
    run, space = run_and_space(derived.store)
    assert derived.choice(run, space, 2.0, "soft").pending
    (process,) = children()
    now = time.monotonic()
    with monkeypatch.context() as clock:
        clock.setattr(time, "monotonic", lambda: now + 1e6)
        answer = derived.choice(run, space, 2.0, "soft")
    assert not answer.problem and process.is_running()
    assert until(lambda: derived.choice(run, space, 2.0, "soft").value)


def test_an_answer_of_an_earlier_version_about_more_k_is_cut(own_home: Path) -> None:
    store = Store(own_home)
    space = run_and_space(store)[1]
    known = stability(space)
    more = Stability([*known.mean, 0.5], [*known.error, 0.1], [*known.labels, list(range(10))])
    assert choose(space, more) == choose(space, known)


@pytest.mark.parametrize("method", METHODS)
def test_of_two_tasks_there_is_an_answer_too(own_home: Path, method: str) -> None:
    maps, labels = realistic_maps(2, 50, (2, 3))
    store = Store(own_home)
    run, space = store.run("bundled:g1"), TaskSpace(summarise(maps, labels, ["a", "b"], (2, 3)))
    found = kept_choice(store, run, space, 2.0, method)
    assert found.ks == () and "three tasks" in found.why
    assert Derived(store).choice(run, space, 2.0, method).value == found  # kept: no process begins
    assert not children()


def test_maps_that_are_quick_are_there_at_once(derived: Derived) -> None:
    run, space = run_and_space(derived.store)
    for how in ("pca", "mds"):
        for _ in range(2):
            found = derived.layout(run, space, how).value
            assert found is not None
            np.testing.assert_array_equal(found.positions, task_map(space, how).positions)
    assert not children()


def test_mds_of_many_tasks_is_computed_in_the_background(
    derived: Derived, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stg_core.grouping.layout.QUICK_MDS", 5)
    run, space = run_and_space(derived.store)
    assert derived.layout(run, space, "mds").pending and len(children()) == 1
    derived.stop()
    kept_layout(derived.store, run, space, "mds")  # as that command does
    found = derived.layout(run, space, "mds").value
    assert found is not None and found.correlation == task_map(space, "mds").correlation


def test_another_choice_or_a_newer_run_is_another_question(derived: Derived) -> None:
    run, space = run_and_space(derived.store)
    newer = Run(run.id, run.folder, run.spec, {**run.provenance, "created": "later"}, {}, {})
    fewer = TaskSpace(run.summary, epochs=[2], features=["confidence"])
    questions = [
        layout_question(run, space, "umap"),
        layout_question(newer, space, "umap"),
        layout_question(run, fewer, "umap"),
        quality_question(run, space, 1.5, "fcm"),
        quality_question(run, space, 1.6, "fcm"),
    ]
    assert len({question.key for question in questions}) == 5


APP = """
import sys, time
from stg_core.engine.derived import Derived, Question
from stg_core.results.store import Store
derived = Derived(Store())
derived.get(Question("slow", ("layout", "bundled:g1", "--how", "umap")))
print(derived._running["slow"]._process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_app(ending: signal.Signals, own_home: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    app = subprocess.Popen(
        [sys.executable, "-c", APP],
        env={**os.environ, "PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert app.stdout is not None
    with app.stdout:
        helper = psutil.Process(int(app.stdout.readline()))
    assert helper.is_running()
    app.send_signal(ending)
    app.wait()
    helper.wait(PATIENCE)  # raises where it is still there
    assert not len(Store(own_home).cache)  # it did not just come to its end


def test_the_commands_print_what_the_app_shows(
    capsys: pytest.CaptureFixture[str], own_home: Path
) -> None:
    assert main(["choose", "bundled:g2", "--json"]) == 0
    choice = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert choice["suggested"] == 3 and choice["ks"] == list(range(2, 15))
    assert len(choice["measures"]["stability"]) == 13
    assert main(["choose", "bundled:g2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith("suggested")] == ["3"]
    assert lines[-1] == choice["why"]

    words = "layout bundled:g2 --how mds --recorded-epochs 2,4 --features confidence"
    assert main([*words.split(), "--json"]) == 0
    layout = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(layout["positions"]) == len(layout["tasks"]) == 15
    assert layout["recorded_epochs"] == [2, 4] and layout["features"] == ["confidence"]
    assert sorted(layout["dendrogram"]["order"]) == list(range(15))
    assert main(words.split()) == 0
    printed = capsys.readouterr().out
    assert "Not living being" in printed
    assert f"with the true ones: {layout['correlation']:.2f}" in printed
    assert main(["layout", "bundled:g2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["how"] == "mds"
    assert main("layout bundled:g2 --how globe".split()) == 2
    assert "choose one of mds, pca, umap" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["digits", "g1", "g2", "g3"])
def test_what_a_bundled_run_is_asked_first_comes_with_it(derived: Derived, name: str) -> None:
    run = derived.store.run(f"bundled:{name}")
    space = TaskSpace(run.summary)
    choice, layout = derived.choice(run, space, 2.0, "soft"), derived.layout(run, space, "umap")
    assert choice.value is not None and layout.value is not None
    assert not children()
    assert layout.value.positions.shape == (len(space.tasks), 2)


def test_what_comes_with_a_bundle_is_what_would_be_computed(derived: Derived) -> None:
    run = derived.store.run("bundled:g1")
    space = TaskSpace(run.summary)
    here = choose(space, stability(space))
    there = derived.choice(run, space, 2.0, "soft").value
    assert there is not None and there.suggested == here.suggested
    assert there.measures["stability"] == pytest.approx(here.measures["stability"], abs=0.02)


def test_damaged_answers_of_the_bundles_are_computed_again(
    derived: Derived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "derived.json").write_text('{"derived')
    monkeypatch.setattr("stg_core.engine.derived.BUNDLED_ANSWERS", tmp_path / "derived.json")
    bundled_answers.cache_clear()
    run = derived.store.run("bundled:g1")
    assert derived.choice(run, TaskSpace(run.summary), 2.0, "soft").pending
    bundled_answers.cache_clear()
