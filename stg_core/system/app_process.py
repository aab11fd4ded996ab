"""The app, seen from a process that is not the app: found where it runs, else started."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from stg_core.system.errors import UserError
from stg_core.system.home import home

ENTRY = Path("app", "main.py")
PORT = 8501  # Streamlit's own, if it is free
START_SECONDS = 90


@dataclass(frozen=True)
class App:
    """The app that shows the results of `STG_HOME`: its address, and the id of its process."""

    address: str
    process: int


def running_app() -> App:
    """The app of this user with this `STG_HOME`, started in the background if there is none.

    It goes on when this process ends. Raises UserError where it is not installed, and where it does
    not start.
    """
    return _found() or _started()


def _found() -> App | None:
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if _is_app(process) and home(process.environ()) == home():
                for connection in process.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN and _answers(connection.laddr.port):
                        return App(_address(connection.laddr.port), process.pid)
    return None


def _is_app(process: psutil.Process) -> bool:
    """Whether it is `streamlit run …/app/main.py` of a checkout of this project."""
    words = process.cmdline()
    if not any("streamlit" in word for word in words) or "run" not in words:
        return False
    entries = [Path(process.cwd(), word) for word in words if word.endswith(str(ENTRY))]
    return any((entry.parents[1] / "stg_core").is_dir() for entry in entries)


def _started() -> App:
    root = Path(__file__).resolve().parents[2]
    if not (root / ENTRY).exists() or not (root / "pages").is_dir():
        raise UserError(
            "Only the library is installed here, and not the app: get the whole project, start the"
            f" app there (make app) with STG_HOME={home()}, and call this again."
        )
    if importlib.util.find_spec("streamlit") is None:
        raise UserError(
            "The app needs Streamlit, which is not installed here:"
            f" {sys.executable} -m pip install -r {root / 'requirements.txt'}"
        )
    home().mkdir(parents=True, exist_ok=True)
    port, log = _free_port(), home() / "app.log"
    command = [sys.executable, "-m", "streamlit", "run", str(root / ENTRY)]
    command += ["--server.port", str(port), "--server.headless", "true"]
    with open(log, "wb") as written:
        process = subprocess.Popen(
            command,
            cwd=root,
            env={**os.environ, "STG_HOME": str(home())},
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            start_new_session=True,  # it outlives this process, and hears no Ctrl+C meant for it
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(port):
            return App(_address(port), process.pid)
        time.sleep(0.1)
    process.kill()
    raise UserError(f"The app did not start; see {log}, or start it with make app.")


def _free_port() -> int:
    for port in (PORT, 0):
        with suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return int(free.getsockname()[1])
    raise UserError("No port is free for the app: end a program that listens on one.")


def _address(port: int) -> str:
    return f"http://localhost:{port}"


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"{_address(port)}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
