"""Logs that other programs left, read into a logged run: `bringing.look` and `bringing.bring`."""
