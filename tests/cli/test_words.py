"""What the command line says of itself, and how it says how far it is."""

from __future__ import annotations

import io
import shlex
import subprocess
from pathlib import Path

import pytest

from stg_core import __version__
from stg_core.cli.main import main, parser
from stg_core.cli.progress import say, tell_of_one, tell_of_share
from stg_core.cli.words import EXAMPLES, FOR_NEWCOMERS


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where `pip install` has put the command `stg`."""
    monkeypatch.setattr("sys.argv", ["/usr/local/bin/stg"])


def test_alone_it_says_the_five_commands_to_begin_with(
    installed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    assert len(FOR_NEWCOMERS) == 5
    for words in FOR_NEWCOMERS:
        assert f"stg {words}  " in said
        assert parser().parse_args(shlex.split(words)).command


def test_every_command_has_an_example_that_it_understands(
    installed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, example in EXAMPLES.items():
        assert example.split()[0] == name
        assert parser().parse_args(shlex.split(example)).command
        with pytest.raises(SystemExit):
            parser().parse_args([name, "--help"])
        assert f"stg {name}" in capsys.readouterr().out.split("xample", 1)[1]


def test_it_tells_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"STG Explorer {__version__}\n"


def test_a_shell_completes_commands_and_options(
    installed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--print-completion", "bash"])
    script = tmp_path / "stg"
    script.write_text(capsys.readouterr().out)
    ask = """
        source "$0"
        completed() {
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
            "$(complete -p stg | sed 's/.*-F \\([^ ]*\\) stg/\\1/')"
            echo "${COMPREPLY[@]}"
        }
        completed stg spec
        completed stg group --fuz
    """
    done = subprocess.run(["bash", "-c", ask, script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["specialists", "--fuzzifier"]


def test_a_terminal_shows_a_bar_until_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    tell = tell_of_share()
    tell("Reading", 0.5)
    assert "50%|" in terminal.getvalue() and "| Reading" in terminal.getvalue()
    say("A word in between.")
    assert "\rA word in between.\n" in terminal.getvalue()
    tell("Reading", 1.0)
    assert not terminal.getvalue().rsplit("\r", 2)[-2].strip()


def test_a_file_gets_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    tell = tell_of_share()
    tell("Reading", 0.5)
    tell("Reading", 1.0)
    assert capsys.readouterr().err == ""


def test_a_file_gets_a_line_per_epoch_of_trainings_one_after_the_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Between the two, the images of the second one are read."""
    tell = tell_of_one()
    for _ in range(2):
        tell({"message": "Reading the images of cifar100: 40%."})
        for epoch in (0, 0, 1, 1, 2):
            tell({"message": f"Epoch {max(epoch, 1)} of 2.", "epoch": epoch})
    assert capsys.readouterr().err.splitlines() == 2 * ["Epoch 1 of 2", "Epoch 2 of 2"]


def test_a_training_that_goes_on_is_told_from_the_next_epoch_that_ends(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell = tell_of_one()
    tell({"message": "Epoch 8 of 9.", "epoch": 7})  # its first batch
    tell({"message": "Epoch 8 of 9.", "epoch": 8})
    assert capsys.readouterr().err.splitlines() == ["Epoch 8 of 9"]
