"""Apps on ports of their own, with an empty STG_HOME, and pages of a headless Chromium."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, BrowserType, Page, expect, sync_playwright

from tests.conftest import installed_chromium

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 90
PATIENCE_MS = 60_000  # a training in the background makes everything slow
CHROMIUM_OPTIONS = ("--no-sandbox", "--disable-background-networking", "--disable-gpu")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Address of an app whose results are in `folder`; it ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--server.port", str(port), "--server.headless", "true"]
    options += ["--server.fileWatcherType", "none"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STREAMLIT_")}
    with open(folder / "app.log", "wb") as log:
        app = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", str(ROOT / "app" / "main.py"), *options],
            cwd=folder,  # the app must not depend on the folder it is started in
            env={**environment, "STG_HOME": str(folder / "results"), "STG_THREADS": "1"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://localhost:{port}"
    try:
        _wait_for(app, f"{address}/_stcore/health", folder / "app.log")
        yield address
    finally:
        for how in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(app.pid, how)
            with suppress(subprocess.TimeoutExpired):
                app.wait(20)


@contextmanager
def stopped(address: str) -> Iterator[None]:
    """The app at this address, which this process has started, does nothing meanwhile."""
    app = listening(int(urlsplit(address).port or 0))
    app.suspend()
    try:
        yield
    finally:
        app.resume()


def listening(port: int) -> psutil.Process:
    """The child of this process that listens on the port."""
    for process in psutil.Process().children(recursive=True):
        if any(c.laddr.port == port for c in process.net_connections() if c.status == "LISTEN"):
            return process
    raise AssertionError(f"No app listens on port {port}.")


def _wait_for(app: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and app.poll() is None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"The app did not start:\n{log.read_text()}")


def settled(page: Page) -> None:
    """Waits until the app has answered the last action, and what it sent is drawn."""
    page.wait_for_timeout(300)  # lets "running" register
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for(
        state="attached"
    )
    page.wait_for_timeout(300)


def keep_screenshot(page: Page, name: str) -> None:
    """Keeps what a page looks like in tests/artifacts, or where STG_ARTIFACTS says."""
    folder = Path(os.environ.get("STG_ARTIFACTS") or ROOT / "tests" / "artifacts")
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an app whose home nobody changes: nothing is trained or imported there."""
    with served(tmp_path_factory.mktemp("app")) as url:
        yield url


@pytest.fixture(scope="module")
def own_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an app with an empty home that the tests of one file may change."""
    with served(tmp_path_factory.mktemp("app")) as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> Iterator[BrowserType]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        yield playwright.chromium


@pytest.fixture(scope="session")
def context(chromium: BrowserType, tmp_path_factory: pytest.TempPathFactory) -> BrowserContext:
    """Of all pages that a mouse is used on: it keeps the app's scripts, compiled."""
    folder = tmp_path_factory.mktemp("chromium")
    return chromium.launch_persistent_context(
        folder, executable_path=installed_chromium(), args=[*CHROMIUM_OPTIONS, "--process-per-site"]
    )


@pytest.fixture(scope="session")
def browser(chromium: BrowserType) -> Browser:
    """For contexts of another kind."""
    return chromium.launch(executable_path=installed_chromium(), args=CHROMIUM_OPTIONS)


@pytest.fixture
def open_page(context: BrowserContext) -> Iterator[Callable[..., Page]]:
    """Opens a page that knows nothing of others; fails if one asked another host for anything."""
    foreign: list[str] = []
    opened: list[Page] = []

    def open_at(
        url: str, colour_scheme: str = "light", script: str = "", width: int = 1280
    ) -> Page:
        page = context.new_page()
        page.emulate_media(color_scheme="dark" if colour_scheme == "dark" else "light")
        page.set_default_timeout(PATIENCE_MS)
        page.set_viewport_size({"width": width, "height": 1500})
        page.add_init_script(script)
        allowed = url.split("/")[2]

        def note(requested: str) -> None:
            local = requested.startswith(("data:", "blob:", "about:"))
            if not local and requested.split("/")[2] != allowed:
                foreign.append(requested)

        page.on("request", lambda request: note(request.url))
        page.on("websocket", lambda socket: note(socket.url))
        page.goto(url)
        opened.append(page)
        return page

    yield open_at
    for page in opened:
        expect(page.get_by_test_id("stException")).to_have_count(0)
        page.evaluate("localStorage.clear()")
        page.close()
    assert foreign == []
