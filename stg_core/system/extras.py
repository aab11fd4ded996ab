"""Libraries that a light installation lacks: which extra brings each, and how that is said."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

from stg_core.system.errors import UserError

CPU_TORCH = "https://download.pytorch.org/whl/cpu"
EXTRA_OF: Mapping[str, str] = {  # by the name that is imported
    **dict.fromkeys(("torch", "torchvision", "numba"), "train"),
    **dict.fromkeys(("distributed", "dask", "cryptography"), "cluster"),
    **dict.fromkeys(("umap", "cvxpy", "scs"), "more"),
    **dict.fromkeys(("vl_convert", "onnx", "onnxscript"), "export"),
    **dict.fromkeys(("streamlit", "altair", "pandas", "pyarrow", "arff", "onnxruntime"), "app"),
}
TRAINS = ("torch", "torchvision")  # on this machine
ASKS = ("distributed", "cryptography")  # for trainings in the background, here or on a cluster


def is_installed(library: str) -> bool:
    """Whether it can be imported, without doing so."""
    try:
        return find_spec(library) is not None
    except ModuleNotFoundError:
        return False


def what_to_install(library: str, extra: str = "") -> str:
    """One sentence; extra: by default the one that brings the library.

    >>> what_to_install("umap")
    "This needs umap, which is not installed: pip install 'stg-explorer[more]'."
    """
    extra = extra or EXTRA_OF.get(library, "train,app")
    way = f"pip install 'stg-explorer[{extra}]'"
    if library in TRAINS:
        way += (
            ", or `make app` in a checkout; without a GPU, first pip install torch torchvision"
            f" --index-url {CPU_TORCH}, which is 3 GB less"
        )
    return f"This needs {library}, which is not installed: {way}."


def lacking_to_train() -> str:
    """Why nothing can be trained from here, and what to install; empty where it can.

    With `STG_SCHEDULER` it is trained elsewhere, and needs here only what asks for it.
    """
    needed = ASKS if os.environ.get("STG_SCHEDULER") else (*TRAINS, *ASKS)
    lacking = next((library for library in needed if not is_installed(library)), None)
    return "" if lacking is None else what_to_install(lacking)


@contextmanager
def of_extra(extra: str) -> Iterator[None]:
    """Within it, what is imported and not installed is named with the extra that brings it.

    >>> with of_extra("notebook"):
    ...     import no_such_library
    Traceback (most recent call last):
    stg_core.system.errors.UserError: This needs no_such_library, which is not installed: pip \
install 'stg-explorer[notebook]'.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(what_to_install(error.name or "", extra)) from None
