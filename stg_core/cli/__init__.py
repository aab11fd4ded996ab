"""The command line: `python -m stg_core …`."""
