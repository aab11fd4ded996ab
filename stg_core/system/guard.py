"""Processes in the background: at a lower priority, and they end with the one that began them."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import psutil

PARENT = "STG_ENGINE_PARENT"


def environment() -> dict[str, str]:
    """For a process that this one is to begin: it finds this code, and its parent.

    Its threads sleep while they wait for each other, unless the user says otherwise: beside a
    browser that draws, a training whose threads spin takes several times as long.
    """
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return {
        "OMP_WAIT_POLICY": "passive",
        **os.environ,
        "PYTHONPATH": path,
        PARENT: str(os.getpid()),
    }


def dask_setup(server: Any) -> None:
    """Called by Dask in the scheduler and in the nanny; a nanny's worker ends with it."""
    end_with_parent()


def end_with_parent() -> None:
    """Called in a process that has the `environment` of its parent."""
    os.nice(10) if hasattr(os, "nice") else None  # the page stays quick meanwhile
    watch_parent()


def watch_parent() -> None:
    """As `end_with_parent`, at the priority that this process has."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    try:
        parent = psutil.Process(int(os.environ[PARENT]))
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.5)
    except psutil.NoSuchProcess:
        pass
    os._exit(1)
