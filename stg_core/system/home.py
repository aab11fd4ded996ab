"""Where things live on this machine: `STG_HOME` for results, `STG_DATA` for images."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path


def home(environment: Mapping[str, str] | None = None) -> Path:
    """Folder of all results: `STG_HOME`, or the platform's user data folder.

    environment: of another process of this user; by default that of this one.
    """
    variables = os.environ if environment is None else environment
    if chosen := variables.get("STG_HOME"):
        return Path(chosen).expanduser().resolve()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        base = Path(variables.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(variables.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "stg-explorer"


def data_folder() -> Path:
    """Folder of image data sets: `STG_DATA`, or `data` below `home()`."""
    if chosen := os.environ.get("STG_DATA"):
        return Path(chosen).expanduser().resolve()
    return home() / "data"
