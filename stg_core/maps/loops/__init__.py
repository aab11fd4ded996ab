"""Logging the loops of other libraries: a module for each, imported by who has that library."""
