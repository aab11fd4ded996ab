"""What is to be learned: task groups, image data sets, and data sets of one's own."""

from stg_core.tasks.datasets import add

__all__ = ["add"]
