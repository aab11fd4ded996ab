"""Libraries that a light installation lacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stg_core.system.errors import UserError


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
        raise UserError(
            f"This needs {error.name}, which is not installed: pip install 'stg-explorer[{extra}]'."
        ) from None
