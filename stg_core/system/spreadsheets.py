"""Texts in a spreadsheet: one that begins like a formula would be computed when it is opened."""

BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
OPENS = " \u00a0\u200b\ufeff'\"\u2018\u2019\u201c\u201d`"  # what some programs take off first


def as_text(cell: str) -> str:
    """The cell as every spreadsheet shows it as text: a formula gets an apostrophe before it."""
    return f"'{cell}" if _is_formula(cell) else cell


def as_written(cell: str) -> str:
    """The inverse of `as_text`."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell[1:]) else cell


def _is_formula(cell: str) -> bool:
    return cell.startswith(BEGINS_A_FORMULA) or cell.lstrip(OPENS).startswith(BEGINS_A_FORMULA)
