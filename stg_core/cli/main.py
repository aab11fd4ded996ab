"""`python -m stg_core …`: all the app can do, for scripts.

With `--json` the last line printed is one JSON object. Errors go to stderr; exit code 2 means that
the message says what to mend.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

import shtab

from stg_core.cli import data, groupings, logs, models, peers, runs, specialists, studies, trainings
from stg_core.cli.options import Answer
from stg_core.cli.progress import say
from stg_core.cli.words import COMMAND, EXAMPLES, called, where_to_begin
from stg_core.results.store import without_nan
from stg_core.system.errors import Cancelled, UserError
from stg_core.system.extras import what_to_install
from stg_core.system.version import VERSION

GOES_ON = "Cancelled. The same command goes on after the last whole epoch."


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0, 2 for what the user can mend, or 130 if cancelled.

    Returns 141, as a command that the system ends, where whoever reads its output has enough.
    """
    _open_closed_streams()
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # a stream that is no file
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return 128 + 13  # SIGPIPE, which Windows does not name


def _open_closed_streams() -> None:
    """Python has None for a stream that is closed, and would print on the other one instead."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, until the process ends


def _run(arguments: Sequence[str] | None) -> int:
    options = parser().parse_args(arguments)
    if options.command is None:
        say(where_to_begin(), sys.stdout)
        return 0
    try:
        answer, text = options.command(options)
    except UserError as error:
        say(f"stg_core: {error}")
        return 2
    except ModuleNotFoundError as error:
        say(f"stg_core: {_what_to_install(error)}")
        return 2
    except (KeyboardInterrupt, Cancelled):
        say(getattr(options, "cancelled", GOES_ON))
        return 130
    say(json.dumps(without_nan(answer)) if options.json else text, sys.stdout)
    return 0


def _what_to_install(error: ModuleNotFoundError) -> str:
    """What a light installation lacks; raises the error for anything that is no library."""
    library = (error.name or "").split(".")[0]
    if library in ("", "stg_core"):
        raise error
    return what_to_install(library)


def parser() -> argparse.ArgumentParser:
    """Of all commands; without one, `command` is None."""
    whole = argparse.ArgumentParser(
        prog=called(),
        description="Which tasks of a multi-task model are learned alike, and whether training them"
        " apart pays.",
        epilog="STG_HOME names the folder of results, STG_DATA the folder of data sets.",
    )
    whole.add_argument("--version", action="version", version=f"STG Explorer {VERSION}")
    if called() == COMMAND:  # a shell completes a command, not a module of Python
        shtab.add_argument_to(
            whole,
            ["--print-completion"],
            help="print what makes a shell complete commands and options: bash, zsh or tcsh",
        )
    whole.set_defaults(command=None)
    commands = whole.add_subparsers(metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], Answer], text: str
    ) -> argparse.ArgumentParser:
        example = f"Example: {called()} {EXAMPLES[name]}"
        added = commands.add_parser(name, help=text, description=text, epilog=example)
        added.add_argument("--json", action="store_true", help="print one JSON object")
        added.set_defaults(command=run)
        return added

    for family in (data, logs, trainings, groupings, specialists, models, studies, peers, runs):
        family.add_commands(command)
    return whole
