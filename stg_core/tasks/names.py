"""Names of tasks, groups and models: which can be shown wherever they are."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from stg_core.system.errors import UserError

LONGEST_NAME = 200  # characters
JOINERS = "\u200c\u200d"  # within emoji, and words of some languages


def check_names(names: Iterable[str]) -> None:
    """Raises UserError for a name that is empty, too long, or has characters that are not shown."""
    for name in names:
        if not name.strip():
            raise UserError("A name is empty: give every task a name that can be seen.")
        if len(name) > LONGEST_NAME:
            raise UserError(
                f"The name {name[:40]!r}… has {len(name):,} characters; {LONGEST_NAME} are the"
                " most: shorten it."
            )
        if hidden := next((c for c in name if not _is_shown(c)), None):
            raise UserError(
                f"The name {name[:40]!r} has a character that cannot be shown ({hidden!r}): leave"
                " it out."
            )


def _is_shown(character: str) -> bool:
    """Printable, or a space of any width."""
    return (
        character.isprintable() or character in JOINERS or unicodedata.category(character) == "Zs"
    )
