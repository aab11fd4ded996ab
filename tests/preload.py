"""Loaded by the schedulers and workers that tests begin: they end with the tests."""

from typing import Any

from stg_core.system.guard import watch_parent


def dask_setup(server: Any) -> None:
    watch_parent()
