"""Texts of others on a page."""

from __future__ import annotations

import re


def plain(text: str) -> str:
    """Markdown that shows a text of the user's, or of a file or link, as it was written.

    Otherwise a title could hold a picture, which the browser would fetch from another host.
    """
    return re.sub(r"([\\`*_\[\]<>$~:#|])", r"\\\1", text)
