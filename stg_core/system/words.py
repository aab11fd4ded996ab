"""Words around values, the same on every page and in the terminal."""

from __future__ import annotations

LONGEST_NAMED = 40  # characters of a foreign text that a sentence can hold


def counted(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun.

    >>> counted(1, "training"), counted(1200, "task"), counted(2, "class", "classes")
    ('1 training', '1,200 tasks', '2 classes')
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def named(text: str, longest: int = LONGEST_NAMED) -> str:
    """A foreign text as a sentence can name it: in quotes, printable, and not too long.

    >>> named("a" + chr(7) + "b"), named("123456", longest=4), named("")
    ('“a�b”', '“123…”', '“” (empty)')
    """
    if not text:
        return "“” (empty)"
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return f"“{''.join(c if c.isprintable() else '�' for c in cut)}”"
