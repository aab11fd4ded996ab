"""Which processes are the app: those of this project, however they were started."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stg_core.system import app_process
from stg_core.system.home import home

ROOT = Path(__file__).resolve().parents[2]


def process(words: str, folder: Path = ROOT) -> Any:
    return SimpleNamespace(cmdline=words.split, cwd=lambda: str(folder))


@pytest.mark.parametrize(
    "words",
    [
        "python -m streamlit run app/main.py",  # make app
        "/usr/bin/python3 .venv/bin/streamlit run app/main.py --server.port 9000",
        f"python -m streamlit run {ROOT}/app/main.py",
    ],
)
def test_it_is_known_by_its_command(words: str) -> None:
    assert app_process._is_app(process(words))


@pytest.mark.parametrize(
    "words", ["python app/main.py", "streamlit run other.py", "vim app/main.py", "streamlit hello"]
)
def test_others_are_not_taken_for_it(words: str) -> None:
    assert not app_process._is_app(process(words))


def test_nor_is_the_app_of_another_project(tmp_path: Path) -> None:
    assert not app_process._is_app(process("streamlit run app/main.py", tmp_path))


def test_the_home_of_another_process_is_what_its_variables_say(tmp_path: Path) -> None:
    assert home({"STG_HOME": str(tmp_path)}) == tmp_path.resolve()
    assert home({}) != home()
