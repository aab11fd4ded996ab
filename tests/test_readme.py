"""Every line of the README's page on tasks of one's own, run on small files made here."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stg_core.cli.main import main
from stg_core.tasks.datasets import data_sets

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
PAGE = README.partition("\n## Your own tasks\n")[2].partition("\n## ")[0]
LINES = [line.strip() for line in PAGE.splitlines() if line.startswith("    ")]
COMMANDS = [line for line in LINES if line.startswith("python -m stg_core ")]
N = 60


def numbers(rng: np.random.Generator, prefix: str, count: int = 6) -> dict[str, Any]:
    return {f"{prefix}{j}": rng.normal(size=N).round(3) for j in range(count)}


def answers(rng: np.random.Generator, no: int = 0) -> np.ndarray:
    return np.where(rng.random(N) < 0.4, 1, no)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the page's lines name, made small."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    names = ["NR-AR", "NR-ER", "NR-AhR", "SR-p53", "SR-MMP"]
    tox = {"mol_id": [f"TOX{i}" for i in range(N)], **numbers(rng, "fp_")}
    tox |= {name: np.where(rng.random(N) < 0.2, np.nan, answers(rng)) for name in names}
    pd.DataFrame(tox).to_csv("tox21.csv", index=False)
    targets = numbers(rng, "target:job ", 3)
    pd.DataFrame({**numbers(rng, "x"), **targets}).to_parquet("scores.parquet")
    kind = {"task:kind": rng.integers(-1, 3, N)}
    pd.DataFrame({**numbers(rng, "gene"), **kind}).to_csv("genes.tsv", sep="\t", index=False)
    tags = {"task:rock": answers(rng, -1), "task:jazz": answers(rng, -1)}
    pd.DataFrame({**numbers(rng, "x"), **tags}).to_csv("tagged.csv", index=False)
    assays = {f"task:{name}": answers(rng) for name in names}
    pd.DataFrame({**numbers(rng, "x"), **assays}).to_csv("assays.csv", index=False)
    said = [f"{'good' if yes else 'bad'} number {i}" for i, yes in enumerate(answers(rng))]
    pd.DataFrame({"sentence": said, "task:praise": answers(rng)}).to_csv(
        "sentences.csv", index=False
    )
    arrays: dict[str, Any] = {}
    for split, n in (("train", 40), ("val", 10), ("test", 20)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (n, 28, 28), np.uint8)
        arrays[f"{split}_labels"] = rng.integers(0, 3, (n, 1))
    np.savez("bloodmnist.npz", **arrays)
    _draw_xrays(tmp_path / "xrays", rng)
    _write_arff(rng)
    return tmp_path


def _draw_xrays(folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir()
    for i in range(20):
        pixels = rng.integers(0, 256, (30 + i, 40, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    found = pd.DataFrame({"file_name": [f"{i}.png" for i in range(20)]})
    found["task:nodule"], found["task:mass"] = np.arange(20) % 2, np.arange(20) // 10
    found.to_csv(folder / "metadata.csv", index=False)


def _write_arff(rng: np.random.Generator) -> None:
    lines = ["@relation flags", "@attribute area numeric", "@attribute red {0,1}"]
    lines += ["@attribute blue {0,1}", "@data"]
    lines += [f"{rng.normal():.3f},{i % 2},{i % 3 // 2}" for i in range(N)]
    Path("flags.arff").write_text("\n".join(lines))
    Path("flags.xml").write_text(
        '<labels xmlns="http://mulan.sourceforge.net/labels">'
        '<label name="blue"/><label name="red"/></labels>'
    )


def run(words: list[str]) -> dict[str, Any]:
    """What a command answers as JSON."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*words, "--json"]) == 0, words
    answer: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
    return answer


def test_the_commands_do_what_the_page_says(files: Path) -> None:
    trained = ""
    for command in COMMANDS:
        words = shlex.split(command, comments=True)[3:]
        if "--help" in words:
            continue
        answer = run([trained if word == "RUN" else word for word in words])
        if words[0] == "extract":
            trained = answer["run"]
    kinds = {found.name: {task.kind for task in found.group.tasks} for found in data_sets()}
    assert kinds["tox21"] == kinds["tagged"] == kinds["xrays"] == kinds["flags"] == {"binary"}
    assert kinds["scores"] == {"regression"} and kinds["bloodmnist"] == {"multiclass"}
    families = {found.name: [t.family for t in found.group.tasks] for found in data_sets()}
    assert families["assays"] == ["NR", "NR", "NR", "SR", "SR"]
    assert "genes2" not in kinds and "genes-by-kind" not in kinds
    assert len(COMMANDS) == 16


def test_the_python_does_what_the_page_says(files: Path) -> None:
    rng = np.random.default_rng(1)
    given: dict[str, Any] = {
        "rows": rng.normal(size=(N, 5)),
        "toxic": answers(rng),
        "soluble": answers(rng),
        "names": [f"m{i}" for i in range(N)],
    }
    python = [line for line in LINES if not line.startswith("python ")]
    exec("\n".join(python), given)  # the page's own lines
    [mine] = data_sets()
    assert mine.name == "mine" and mine.group.task_names == ("toxic", "soluble")
    assert mine.about([0])[0]["id"].startswith("m")
