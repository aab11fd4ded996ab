"""Preloaded by the engine's processes: they end when the process that started them does."""

import os
import threading
import time
from typing import Any

import psutil

PARENT = "STG_ENGINE_PARENT"


def dask_setup(server: Any) -> None:
    """Called by Dask in the scheduler and in the nanny; a nanny's worker ends with it."""
    os.nice(10) if hasattr(os, "nice") else None  # the page stays quick while a model trains
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    try:
        parent = psutil.Process(int(os.environ[PARENT]))
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.5)
    except psutil.NoSuchProcess:
        pass
    os._exit(1)
