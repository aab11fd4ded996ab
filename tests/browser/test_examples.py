"""The examples, each started as a user does, appear in the open app while they train."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from stg_core.maps.log_folder import LogFolder
from tests.browser.conftest import ROOT, served

pytestmark = [pytest.mark.browser, pytest.mark.slow]

START_SECONDS = 240  # of a process that imports a library, beside others
SCRIPTS = {
    "plain_pytorch": ("Digits, plain PyTorch", ()),
    "numpy_only": ("digits in NumPy", ()),
    "lightning_script": ("Digits, Lightning", ("lightning",)),
    "huggingface_trainer": ("Digits, Trainer", ("transformers", "accelerate")),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of an app on a new machine, and its results."""
    folder = tmp_path_factory.mktemp("app")
    with served(folder) as address:
        yield address, folder / "results"


def halted_after(script: subprocess.Popen[bytes], log: LogFolder, epochs: int) -> None:
    """Lets a script train for so many epochs, and then no further: it is over in a second."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and log.progress().epoch < epochs:
        assert script.poll() is None, "the script ended before it was seen"
        time.sleep(0.002)
    script.send_signal(signal.SIGSTOP)


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_appears_in_the_open_app_while_it_trains(
    place: tuple[str, Path], open_page: Callable[..., Page], script: str
) -> None:
    title, libraries = SCRIPTS[script]
    for library in libraries:
        if find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    address, results = place
    start = open_page(address)
    expect(start.get_by_text("Tick a run to open it.")).to_be_visible(timeout=90_000)
    expect(start.get_by_text(title)).to_have_count(0)
    process = subprocess.Popen(
        [sys.executable, "-m", f"examples.{script}"],
        cwd=ROOT,
        env={**os.environ, "STG_HOME": str(results), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        halted_after(process, LogFolder.named(title, results / "logs"), 2)
        logging = re.compile(re.escape(title) + r" \(logging, epoch \d+")
        expect(start.get_by_text(logging).last).to_be_attached()
        assert process.poll() is None
        process.send_signal(signal.SIGCONT)
        assert process.wait(START_SECONDS) == 0
        expect(start.get_by_text(logging)).to_have_count(0)
        expect(start.get_by_text(title).last).to_be_attached()
    finally:
        process.kill()
        process.wait()
