"""How many threads a training uses, where that is said."""

import os

from stg_core.system.errors import UserError

MOST = 1_024


def wanted_threads() -> int | None:
    """`STG_THREADS`; None where it is not set. Raises UserError for what is no such number."""
    said = os.environ.get("STG_THREADS", "").strip()
    if not said:
        return None
    if said.isascii() and said.isdecimal() and len(said) < 6 and 0 < int(said) <= MOST:
        return int(said)
    raise UserError(
        f"STG_THREADS is {said[:20]!r}: set it to the number of threads of a training, from 1 to"
        f" {MOST:,}, or unset it."
    )
