"""Where things live on this machine: `STG_HOME` for results, `STG_DATA` for images."""

import os
import sys
from pathlib import Path


def home() -> Path:
    """Folder of all results: `STG_HOME`, or the platform's user data folder."""
    if chosen := os.environ.get("STG_HOME"):
        return Path(chosen).expanduser().resolve()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "stg-explorer"


def data_folder() -> Path:
    """Folder of image data sets: `STG_DATA`, or `data` below `home()`."""
    if chosen := os.environ.get("STG_DATA"):
        return Path(chosen).expanduser().resolve()
    return home() / "data"
