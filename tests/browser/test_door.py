"""Nobody but this machine reaches the app, and nothing of it stays when it ends."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from tests.browser.conftest import served
from tests.conftest import command_line


def app_processes(address: str) -> list[psutil.Process]:
    port = address.rsplit(":", 1)[1]
    app = next(process for process in psutil.process_iter() if port in command_line(process))
    return [app, *app.children(recursive=True)]


def wait_for_engine(address: str) -> list[psutil.Process]:
    deadline = time.monotonic() + 90
    while len(found := app_processes(address)) < 4 or not any(
        "spawn_main" in " ".join(command_line(process)) for process in found
    ):
        assert time.monotonic() < deadline, "the engine did not start"
        time.sleep(0.2)
    return found


@pytest.mark.slow
def test_every_port_is_on_loopback_and_no_process_stays_behind(tmp_path: Path, open_page) -> None:
    with served(tmp_path) as address:
        open_page(address).get_by_role("heading", name="Which tasks belong together?").wait_for()
        processes = wait_for_engine(address)
        time.sleep(2)  # for the worker's ports to open
        listening = {
            connection.laddr.ip
            for process in processes
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening and listening <= {"127.0.0.1", "::1"}
        processes[0].kill()
        _, alive = psutil.wait_procs(processes, timeout=20)
        assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
