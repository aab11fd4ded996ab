"""Which tasks of a multi-task model belong together: data maps, grouping, specialists."""

__version__ = "0.1.0"
