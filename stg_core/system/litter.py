"""What operating systems leave in folders and archives, and nobody put there."""

NAMES = {
    *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"),
    *("__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information"),
    *("lost+found", "network trash folder", "temporary items"),
}


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is no part of what its owner keeps there.

    Hidden files (.DS_Store, ._x, .directory), indices of pictures, and copies of editors (x~).
    """
    hidden = name.startswith(".") and name not in (".", "..")
    return hidden or name.endswith("~") or name.lower() in NAMES
