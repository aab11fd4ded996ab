"""Texts of others on a page."""

from __future__ import annotations

import math
import re

from stg_core.tasks.groups import Task


def plain(text: str) -> str:
    """Markdown that shows a text of the user's, or of a file or link, as it was written.

    Otherwise a title could hold a picture, which the browser would fetch from another host.
    """
    return re.sub(r"([\\`*_\[\]<>$~:#|])", r"\\\1", text)


def answer_of(task: Task, value: float) -> str:
    """A label as people know it: yes or no, the name of a class, a number."""
    if math.isnan(value):
        return "–"
    if task.kind == "binary":
        return "yes" if value else "no"
    return task.values[int(value)] if task.kind == "multiclass" else f"{value:g}"
