"""How long it takes on Try from the choice of a point to its painted answers."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from playwright.sync_api import Page

from tests.benchmarks.pages import chromium
from tests.browser.conftest import ROOT, listening, served

K, TASKS, POINTS, CHOICES = 5, 10, 400, 24
PROMISED = 100  # milliseconds
REST_MS = 700

# When the browser had painted the answers about a point, by their title, since a click.
WATCH = """
(() => {
  window.painted = {};
  const clear = CanvasRenderingContext2D.prototype.clearRect;
  CanvasRenderingContext2D.prototype.clearRect = function (...box) {
    const stage = this.canvas.closest?.("figure.answers .stage");
    if (stage && this.canvas.className !== "above") {
      const [title] = stage.getAttribute("aria-label").split(":"), since = window.clicked;
      requestAnimationFrame(() => setTimeout(() => {
        if (since === window.clicked) painted[title] ??= performance.now();
      }));
    }
    return clear.apply(this, box);
  };
  window.addEventListener("click", () => {
    [window.clicked, window.painted] = [performance.now(), {}];
  }, true);
})();
"""


def told(results: Path, *words: str) -> dict[str, Any]:
    """What a command says, with the results in a folder."""
    done = subprocess.run(
        [sys.executable, "-m", "stg_core", *words, "--json"],
        cwd=ROOT,
        env={**os.environ, "STG_HOME": str(results), "STG_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def export_small_cnn(results: Path) -> list[str]:
    """Trains MTL and five specialists on random images of CIFAR's size, and exports them."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (POINTS, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 2, (POINTS, TASKS))
    file = results.parent / "noise.npz"
    np.savez(file, X=images, y=labels)
    group = told(results, "add", str(file))["name"]
    run = told(results, "extract", "--group", group, "--model", "small_cnn", "--epochs", "2")["run"]
    told(results, "specialists", run, "--k", str(K), "--schemes", "mtl,specialists")
    return [
        told(results, "export-model", run, "--k", str(K), "--scheme", scheme)["title"]
        for scheme in ("mtl", "specialists")
    ]


def measured(page: Page, app: psutil.Process) -> tuple[list[float], list[float]]:
    """Milliseconds to the painted answers, and of the app's processor, of each choice."""
    pictures = page.get_by_role("radiogroup", name="Gallery").get_by_role("radio")
    painted, spent = [], []
    for i in range(1, CHOICES + 2):
        name, before = str(pictures.nth(i).get_attribute("aria-label")), app.cpu_times()
        pictures.nth(i).click()
        page.wait_for_function("name => painted[name]", arg=name)
        painted.append(float(page.evaluate("name => painted[name] - clicked", name)))
        page.wait_for_timeout(REST_MS)
        after = app.cpu_times()
        spent.append(1000 * (after.user + after.system - before.user - before.system))
    return painted[1:], spent[1:]


def measure() -> tuple[list[float], list[float]]:
    """The same of five specialists of `small_cnn` and MTL."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_small_cnn(folder / "results")
        with served(folder) as address, chromium() as browser:
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            page.set_default_timeout(120_000)
            page.add_init_script(WATCH)
            page.goto(f"{address}/try?which=all")
            page.locator("figure.answers canvas").first.wait_for()
            page.wait_for_function("window.stgExplorerHand?.sent.size > 0")
            page.wait_for_timeout(5_000)
            return measured(page, listening(int(address.rsplit(":", 1)[1])))


def tell() -> None:
    painted, spent = measure()
    ranked = sorted(painted)
    late = ranked[round(0.95 * (len(ranked) - 1))]
    print(
        f"(o) Try, small_cnn, k = {K}, from a click on a point to its painted answers: median"
        f" {statistics.median(ranked):.0f} ms, 95th percentile {late:.0f} ms, {len(ranked)} times"
        f" (promised: below {PROMISED}); then the app takes {statistics.median(spent):.0f} ms of"
        " the processor",
        flush=True,
    )
