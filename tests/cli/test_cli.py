"""`python -m stg_core`: what scripts rely on."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from stg_core.cli.main import main
from stg_core.results.store import BUNDLES
from stg_core.tasks.groups import GROUPS


def last_json(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_extract_then_group_is_the_whole_method(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", "--group", "digits", "--epochs", "4", "--json"]) == 0
    run = last_json(capsys)["run"]
    assert main(["group", run, "--k", "3", "--fuzzifier", "2", "--json"]) == 0
    answer = last_json(capsys)
    assert answer["tasks"] == list(GROUPS["digits"].task_names)
    assert all(sum(row) == pytest.approx(1) for row in answer["memberships"])
    assert len(answer["labels"]) == 15 and set(answer["quality"]) == {
        "inertia",
        "silhouette",
        "partition_coefficient",
        "xie_beni",
    }
    assert main(["runs", "--json"]) == 0
    assert run in [known["run"] for known in last_json(capsys)["runs"]]
    assert main(["group", run, "--k", "3"]) == 0
    assert "Downside" in capsys.readouterr().out


def test_groups_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["groups", "--json"]) == 0
    groups = last_json(capsys)["groups"]
    assert {g["name"]: len(g["tasks"]) for g in groups} == {
        "digits": 15,
        "g1": 10,
        "g2": 15,
        "g3": 100,
    }
    assert groups[2]["title"] == "15 questions about CIFAR-10 (G2)"
    assert main(["groups"]) == 0
    assert "g2: 15 questions about CIFAR-10 (G2): airplane, " in capsys.readouterr().out


def test_a_custom_group_of_classes_and_unions(capsys: pytest.CaptureFixture[str]) -> None:
    words = "extract --group custom --dataset digits --classes 3,8 --union Round=0,6,8,9 --epochs 2"
    assert main([*words.split(), "--single-task-models", "--json"]) == 0
    run = last_json(capsys)["run"]
    assert main(["group", run, "--k", "2", "--json"]) == 0
    assert last_json(capsys)["tasks"] == ["3", "8", "Round"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("group bundled:nothing --k 2", "no run “bundled:nothing”"),
        ("extract --group g7", "choose one of digits, g1, g2, g3"),
        ("extract --group digits --epochs 1", "at least 2 epochs"),
        ("extract --group digits --epochs 4 --recorded-epochs 1,9", "between 2 and the last"),
        ("extract --group digits --model resnet999 --epochs 2", "no model 'resnet999'"),
        ("extract --group digits --model no_such_module:net --epochs 2", "no_such_module"),
        ("extract --group digits --classes 1", "--group custom"),
        ("extract --group custom --union Pets", "NAME=class,class"),
        ("extract --group custom --classes unicorn", "no class unicorn"),
        ("import no_such_file.zip", "no_such_file.zip cannot be read"),
        ("import /dev/null", "no .zip file"),
        ("import /", "cannot be read"),
        ("export 0123", "There is no run “0123”"),
        ("rename bundled:g1 Mine", "the copy is yours"),
        ("delete bundled:g1", "cannot be deleted"),
    ],
)
def test_what_the_user_can_mend_is_said_on_stderr_with_exit_code_2(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err and not captured.out


def test_a_run_goes_to_another_machine_and_gets_a_title_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", "bundled:g2", "--json"]) == 0
    sent = last_json(capsys)
    assert Path(sent["file"]).stat().st_size == sent["bytes"]
    assert main(["import", sent["file"], "--json"]) == 0
    run = last_json(capsys)["run"]
    assert main(["rename", run, "Ours", "--json"]) == 0
    assert last_json(capsys)["title"] == "Ours"
    assert main(["group", run, "--k", "3", "--json"]) == 0
    assert len(last_json(capsys)["tasks"]) == 15
    assert main(["delete", run, "--yes", "--json"]) == 0
    assert last_json(capsys) == {"deleted": run}
    assert main(["group", run, "--k", "3"]) == 2


def test_an_export_replaces_a_file_only_where_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.zip").write_text("old")
    assert main("export bundled:g1 --output mine.zip --with-arrays".split()) == 0
    assert "mine.zip" in capsys.readouterr().out
    assert zipfile.is_zipfile(tmp_path / "mine.zip")
    assert main("export bundled:g1".split()) == 0
    assert main("export bundled:g1".split()) == 2
    assert "here already" in capsys.readouterr().err
    assert main("export bundled:g1 --output no/such/folder/mine.zip".split()) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("answer", ["n", "", "y"])
def test_a_deletion_is_asked_for_on_a_terminal(
    answer: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert main(f"export bundled:g1 --output {tmp_path / 'g1.zip'}".split()) == 0
    assert main(["import", str(tmp_path / "g1.zip"), "--json"]) == 0
    run = last_json(capsys)["run"]
    monkeypatch.setattr("sys.stdin", Terminal(answer + "\n"))
    assert main(["delete", run, "--json"]) == 0
    captured = capsys.readouterr()
    assert "for good?" in captured.err
    assert json.loads(captured.out)["deleted"] == (run if answer == "y" else None)
    assert main(["rename", run, "Still here"]) == (2 if answer == "y" else 0)


def test_a_script_that_deletes_must_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(f"export bundled:g1 --output {tmp_path / 'g1.zip'}".split()) == 0
    assert main(["import", str(tmp_path / "g1.zip"), "--json"]) == 0
    run = last_json(capsys)["run"]
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["delete", run]) == 2
    assert "--yes" in capsys.readouterr().err
    assert main(["rename", run, "Still here"]) == 0


def test_weights_are_kept_given_back_and_carried(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["extract", "--group", "digits", "--epochs", "2", "--json"]) == 0
    run = last_json(capsys)["run"]
    assert main(["weights", "--json"]) == 0
    told = last_json(capsys)
    assert told["keep"] and told["runs"] == [run] and told["bytes"] > 10_000
    file = tmp_path / "run.zip"
    assert main(["export", run, "--with-weights", "--output", str(file)]) == 0
    assert "model.safetensors" in zipfile.ZipFile(file).namelist()
    assert main(["weights", "--delete"]) == 2
    assert "Say so with --yes." in capsys.readouterr().err
    assert main(["weights", "--delete", "--yes", "--keep", "no", "--json"]) == 0
    assert last_json(capsys)["deleted"] == [run]
    assert main(["weights", "--json"]) == 0
    told = last_json(capsys)
    assert not told["keep"] and not told["bytes"] and told["runs"] == told["deleted"] == []


@pytest.mark.parametrize("k", ["0", "16"])
def test_a_k_outside_the_number_of_tasks_is_refused(
    k: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["group", "bundled:g2", "--k", k]) == 2
    assert "1 to 15 clusters" in capsys.readouterr().err


def grouped(run: str, k: int, capsys: pytest.CaptureFixture[str]) -> dict:
    assert main(["group", run, "--k", str(k), "--fuzzifier", "2", "--json"]) == 0
    return last_json(capsys)


def test_bundled_g1_separates_vehicles_from_animals(capsys: pytest.CaptureFixture[str]) -> None:
    answer = grouped("bundled:g1", 2, capsys)
    cluster = dict(zip(answer["tasks"], answer["labels"], strict=True))
    vehicles = {cluster[t] for t in ("airplane", "automobile", "ship", "truck")}
    animals = {cluster[t] for t in ("bird", "cat", "deer", "dog", "frog", "horse")}
    assert len(vehicles) == len(animals) == 1 and vehicles != animals


def test_bundled_g2_isolates_random_and_pairs_the_complements(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = grouped("bundled:g2", 3, capsys)
    rows = dict(zip(answer["tasks"], answer["memberships"], strict=True))
    cluster = dict(zip(answer["tasks"], answer["labels"], strict=True))
    assert [t for t, j in cluster.items() if j == cluster["Random"]] == ["Random"]
    assert rows["Random"][cluster["Random"]] > 0.95
    assert rows["Living being"] == pytest.approx(rows["Not living being"], abs=0.01)


def test_bundled_g3_keeps_people_trees_and_flowers_together(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = grouped("bundled:g3", 20, capsys)
    cluster = dict(zip(answer["tasks"], answer["labels"], strict=True))
    assert len({cluster[t] for t in ("baby", "boy", "girl", "man", "woman")}) == 1
    trees = ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree")
    assert len({cluster[t] for t in trees}) == 1
    flowers = [cluster[t] for t in ("orchid", "poppy", "rose", "sunflower", "tulip")]
    assert max(map(flowers.count, flowers)) >= 4


def test_bundles_stay_small() -> None:
    for bundle in BUNDLES.iterdir():
        sizes = [f.stat().st_size for f in (bundle.iterdir() if bundle.is_dir() else [bundle])]
        assert max(sizes) <= 10_000_000
        assert sum(sizes) <= (20_000_000 if bundle.name == "models" else 8_000_000)
