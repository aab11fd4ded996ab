"""Commands in pipes, and with streams that are closed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stg_core.cli.main import main
from stg_core.system.errors import UserError
from stg_core.system.threads import wanted_threads

ROOT = Path(__file__).resolve().parents[2]


def closed_pipe() -> int:
    """The end to write to of a pipe whose reader has enough."""
    read, write = os.pipe()
    os.close(read)
    return write


@pytest.mark.parametrize(
    ("words", "closed"),
    [
        ("runs", ["stdout"]),
        ("group bundled:g3 --k 5 --json", ["stdout"]),
        ("group bundled:g3 --k 1000", ["stderr"]),
        ("layout bundled:g1 --how pca", ["stdout", "stderr"]),
    ],
)
def test_a_reader_that_has_enough_ends_a_command_without_a_word(
    words: str, closed: list[str]
) -> None:
    out, err = (
        closed_pipe() if name in closed else subprocess.PIPE for name in ("stdout", "stderr")
    )
    done = subprocess.run(
        [sys.executable, "-m", "stg_core", *words.split()], stdout=out, stderr=err
    )
    for end in {out, err} - {subprocess.PIPE}:
        os.close(end)
    assert done.returncode == 141, "as of a command that SIGPIPE ends"
    assert not done.stderr


def test_what_is_not_read_is_no_error_where_nothing_is_said() -> None:
    command = f"{sys.executable} -m stg_core groups 2>&-"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("digits")


@pytest.mark.parametrize("said", ["abc", "0", "-1", "2.5", "²", "٣", "1e3", "9" * 5_000, "100000"])
def test_a_number_of_threads_that_cannot_be_is_refused(
    said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STG_THREADS", said)
    with pytest.raises(UserError, match="from 1 to 1,024, or unset it"):
        wanted_threads()
    assert main("extract --group digits --epochs 2 --training-images 80".split()) == 2
    assert "STG_THREADS" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["extract", "affinity"])
def test_commands_train_with_as_many_threads_as_are_said(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    used: list[int] = []
    build = torch.nn.Conv2d.forward

    def watched(self: torch.nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
        used.append(torch.get_num_threads())
        return build(self, images)

    before = torch.get_num_threads()
    wanted = before + 1
    monkeypatch.setenv("STG_THREADS", str(wanted))
    monkeypatch.setattr(torch.nn.Conv2d, "forward", watched)
    words = f"{command} --group digits --tasks 0,1 --epochs 2 --seed 7 --training-images 80"
    assert main([*words.split(), "--batch-size", "16", "--json"]) == 0
    assert set(used) == {wanted}
    assert torch.get_num_threads() == before, "and the caller keeps its own"
