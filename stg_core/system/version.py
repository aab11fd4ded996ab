"""Which STG Explorer this is."""

VERSION = "0.1.0"
