"""Where data sets come from: what is read and guessed, and what is refused in which words."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn import datasets as sklearn_datasets

from stg_core.system.errors import Cancelled, UserError
from stg_core.tasks.checks import facts_of, overlap_of
from stg_core.tasks.choices import Choices, matching, read_families
from stg_core.tasks.datasets import DataSet, add, data_sets, datasets_folder, source_changed
from stg_core.tasks.groups import SPLITS, Task
from stg_core.tasks.labels import Column, read_labels
from stg_core.tasks.sources import add_source, look, name_of
from stg_core.tasks.splits import stratified_split

N = 40


def write(path: Path, columns: Mapping[str, Sequence[Any]], delimiter: str = ",") -> Path:
    """A table of columns."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def numbers(seed: int = 0) -> list[float]:
    return np.random.default_rng(seed).normal(size=N).round(3).tolist()


def halves(seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).permutation([0, 1] * (N // 2)).tolist()


def plain(**more: Sequence[Any]) -> dict[str, Sequence[Any]]:
    """Two features and two tasks."""
    return {"a": numbers(1), "b": numbers(2), "task:x": halves(3), "task:y": halves(4), **more}


def labels_of(found: DataSet) -> dict[str, dict[str, float]]:
    """Labels by task and id, both splits together."""
    told: dict[str, dict[str, float]] = {name: {} for name in found.group.task_names}
    for split in SPLITS:
        labels = found.split(split)[1]
        about = found.about(range(len(labels)), split)
        for row, one in zip(labels, about, strict=True):
            for name, value in zip(found.group.task_names, row, strict=True):
                told[name][one["id"]] = float(value)
    return told


def refused(path: Path, words: str, **choices: Any) -> None:
    """Refused with those words, and nothing is left on the disk."""
    with pytest.raises(UserError, match=words):
        add_source(path, Choices(**choices))
    assert not data_sets()
    assert not [p for p in datasets_folder().glob(".*") if p.suffix != ".lock"]


# ----------------------------------------------------------------------------------------- tables


def test_a_table_is_read_and_what_was_guessed_is_told(tmp_path: Path) -> None:
    ids, texts = [f"p{i}" for i in range(N)], [f"text {i}" for i in range(N)]
    words = ["train"] * 30 + ["test"] * 10
    columns = plain(mol_id=ids, text=texts, split=words, colour=["red", "blue"] * (N // 2))
    found = add_source(write(tmp_path / "mine.csv", columns))
    assert found.name == "mine" and found.counts == {"train": 30, "test": 10}
    assert found.group.task_names == ("x", "y") and found.features == ("a", "b")
    assert found.about([0, 29]) == [
        {"id": "p0", "text": "text 0"},
        {"id": "p29", "text": "text 29"},
    ]
    assert labels_of(found)["x"] == dict(zip(ids, columns["task:x"], strict=True))
    notes = "\n".join(found.manifest["notes"])
    for told in (
        "Tasks: 2 columns whose names begin with “task:”",
        "Id: column “mol_id”",
        "“colour”",
    ):
        assert told in notes
    assert [path.name for path in datasets_folder().glob(".*.part")] == []


def test_features_are_those_of_the_file(tmp_path: Path) -> None:
    columns = plain(split=["train"] * 30 + ["test"] * 10)
    columns["b"] = ["", "NA", *numbers(5)[2:]]
    found = add_source(write(tmp_path / "mine.csv", columns))
    assert found.features == ("a", "b", "b is missing")
    a = np.array(columns["a"])
    expected = (a[:30] - a[:30].mean()) / a[:30].std()
    assert np.allclose(found.split("train")[0][:, 0], expected, atol=1e-5)
    assert found.split("train")[0][:, 2].tolist() == [1, 1] + [0] * 28


@pytest.mark.parametrize(
    "form", ["csv", "tsv", "csv.gz", "parquet", "semicolons", "bom", "blank lines", "windows"]
)
def test_every_form_of_a_table_gives_the_same(form: str, tmp_path: Path) -> None:
    columns = plain(id=[f"p{i}" for i in range(N)])
    path = tmp_path / f"mine.{form if '.' in form or form in ('tsv', 'parquet') else 'csv'}"
    if form == "parquet":
        parquet.write_table(arrow.table(columns), path, row_group_size=7)
    elif form == "csv.gz":
        with gzip.open(path, "wb") as file:
            file.write(write(tmp_path / "plain", columns).read_bytes())
    else:
        write(path, columns, {"tsv": "\t", "semicolons": ";"}.get(form, ","))
    if form == "bom":
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    if form == "blank lines":
        path.write_bytes(b"\n \r\n" + path.read_bytes())
    if form == "windows":
        path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    found = add_source(path, Choices(name="one"))
    other = add_source(write(tmp_path / "two.csv", columns))
    assert found.digest == other.digest


def test_decimal_commas_are_read_and_told(tmp_path: Path) -> None:
    columns = plain(id=[f"p{i}" for i in range(N)])
    columns["task:z"] = numbers(9)
    expected = add_source(write(tmp_path / "points.csv", columns))
    with_commas = {
        name: [str(cell).replace(".", ",") for cell in cells] for name, cells in columns.items()
    }
    found = add_source(write(tmp_path / "commas.csv", with_commas, ";"))
    assert found.digest == expected.digest
    assert any("decimal comma" in note for note in found.manifest["notes"])


NAMES = [
    "n" * 200,
    "a, b (c) [d]",
    "Größe 🧪",
    "=1+1",
    "+x",
    "-x",
    "@x",
    'say "so"',
    "x*y",
    "[ab]",
]


def test_tasks_and_features_may_have_any_names(tmp_path: Path) -> None:
    columns: dict[str, Sequence[Any]] = {name: halves(i) for i, name in enumerate(NAMES)}
    columns |= {f"f {name[:100]}": numbers(i) for i, name in enumerate(NAMES)}
    path = write(tmp_path / "odd names.csv", columns)
    found = add_source(path, Choices(tasks=tuple(NAMES), features=("f *",)))
    assert found.name == "odd-names"
    assert found.group.task_names == tuple(NAMES)
    assert found.features == tuple(name for name in columns if name.startswith("f "))


def test_an_exact_name_wins_over_a_pattern() -> None:
    assert matching("x*", ["x*", "xy"]) == ["x*"]
    assert matching("x[12]", ["x1", "x2", "x[12]"]) == ["x[12]"]
    assert matching("x[12]", ["x1", "x2", "x3"]) == ["x1", "x2"]
    with pytest.raises(UserError, match="Is “NR-AR” meant"):
        matching("NR-AE", ["NR-AR", "mass"])


def test_a_feature_said_by_name_wins_over_a_pattern_of_tasks(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", {"ya": halves(1), "yb": halves(2), "yc": numbers(3)})
    found = add_source(path, Choices(tasks=("y*",), features=("yc",)))
    assert found.group.task_names == ("ya", "yb") and found.features == ("yc",)


def test_words_become_a_number_each_where_they_are_asked_for(tmp_path: Path) -> None:
    words = ["red", "blue", "", "green"] * (N // 4)
    path = write(tmp_path / "t.csv", plain(colour=words, split=["train"] * 30 + ["test"] * 10))
    assert add_source(path).features == ("a", "b")
    found = add_source(path, Choices(name="all", features=("a", "colour")))
    assert found.features == ("a", "colour is blue", "colour is green", "colour is red")
    red = found.split("train")[0][:, 3]
    assert np.array_equal(red > 0, np.array(words[:30]) == "red")
    many = write(tmp_path / "m.csv", plain(who=[f"w{i}" for i in range(N)]))
    with pytest.raises(UserError, match="more than 20 different ones"):
        add_source(many, Choices(features=("who",)))


def test_a_table_of_texts_is_learned_from_their_pieces(tmp_path: Path) -> None:
    smiles = ["CCO", "c1ccccc1", "CC(=O)O", "CN"] * (N // 4)
    path = write(tmp_path / "mols.csv", {"smiles": smiles, "NR-a": halves(1), "SR-b": halves(2)})
    found = add_source(path, Choices(tasks=("NR-*", "SR-*"), family_before="-"))
    assert found.shape == (1024,) and found.about([0])[0]["text"] in smiles
    assert [task.family for task in found.group.tasks] == ["NR", "SR"]
    assert any("1,024 hashed pieces of 2 to 4 characters" in n for n in found.manifest["notes"])
    both = write(tmp_path / "both.csv", plain(smiles=smiles))
    assert add_source(both).shape == (2,)
    assert add_source(both, Choices(name="hashed", hash_text="smiles")).shape == (1026,)


def test_lists_of_numbers_are_features(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(N, 5)).astype(np.float32)
    columns = {"id": list(map(str, range(N))), "text embedding": vectors.tolist()}
    path, said = tmp_path / "t.parquet", {"task:x": halves(1), "split": ["test"] * 9 + ["dev"] * 31}
    parquet.write_table(arrow.table(columns | said), path)
    found = add_source(path)
    assert found.features[0] == "text embedding 1" and found.shape == (5,)
    train = vectors[9:]
    expected = (train - train.mean(axis=0)) / train.std(axis=0)
    assert np.allclose(found.split("train")[0], expected, atol=1e-4)
    uneven = {"v": [[1.0, 2.0]] * 2_000 + [[1.0]], "task:x": [0, 1, 1] * 667}
    parquet.write_table(arrow.table(uneven), tmp_path / "u.parquet")
    with pytest.raises(UserError, match="lists of 2 numbers, and one of 1"):
        add_source(tmp_path / "u.parquet")


def test_a_great_many_numbers_are_read_as_a_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = [repr(x) for x in np.random.default_rng(0).normal(size=1_500).tolist()]
    cells = [*numbers, "NA", "", "-999", "-999.0", " 1e3 ", numbers[0], "7"]
    quick = read_labels(Column.of("t", cells), missing=["-999"])
    monkeypatch.setattr("stg_core.tasks.labels.MOST_CLASSES", 10_000)
    slow = read_labels(Column.of("t", cells), missing=["-999"])
    assert np.array_equal(quick.labels, slow.labels, equal_nan=True) and quick.why == slow.why
    assert np.isnan(quick.labels[1_500:1_504]).all() and quick.labels[1_504] == 1_000
    monkeypatch.undo()
    with pytest.raises(UserError, match="--missing=gone"):
        read_labels(Column.of("t", [*cells, "gone"]))


def test_without_tasks_nothing_is_guessed_and_patterns_are_suggested(tmp_path: Path) -> None:
    columns: dict[str, Sequence[Any]] = {"NR-a": halves(1), "NR-b": halves(2), "SR-c": halves(3)}
    columns["mass"] = numbers()
    path = write(tmp_path / "t.csv", columns)
    refused(path, r"--task 'NR-\*' --task 'SR-\*'")
    seen = look(path)
    assert seen.suggested_tasks == ("NR-a", "NR-b", "SR-c") and not seen.tasks
    assert "--task" in seen.problem and [part.column for part in seen.columns] == list(columns)


def test_what_a_column_is_called_says_what_it_may_be(tmp_path: Path) -> None:
    columns = {"PassengerId": range(N), "fluid": numbers(1), "class": ["a", "b"] * (N // 2)}
    path = write(tmp_path / "t.csv", columns)
    assert look(path).suggested_tasks == ("class",)
    found = add_source(path, Choices(tasks=("class",)))
    assert found.features == ("fluid",) and found.about([0])[0]["id"] in map(str, range(N))


def test_a_preview_reads_the_beginning_only(tmp_path: Path) -> None:
    rows = 30_000
    path = tmp_path / "t.csv"
    cells = np.random.default_rng(0).integers(0, 2, rows)
    with open(path, "w") as file:
        file.write("a,task:x\n" + "\n".join(f"{i}.5,{y}" for i, y in enumerate(cells)))
    seen = look(path)
    assert seen.rows_read == 20_000 and seen.points == rows and not seen.points_are_estimated
    [task] = seen.tasks
    assert task.task == Task("x", rule="column") and task.labelled == 20_000
    assert task.prevalence == pytest.approx(cells[:20_000].mean())
    assert seen.shape == (1,) and not seen.problem and not seen.name_is_taken
    add_source(path)
    assert look(path).name_is_taken


def test_a_preview_names_what_is_wrong_with_a_task_and_shows_the_others(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", plain(**{"task:z": [-1, 0, 1, 1] * (N // 4)}))
    seen = look(path)
    assert [bool(task.problem) for task in seen.tasks] == [False, False, True]
    assert "--missing=-1 or --no=-1" in seen.problem
    assert not look(path, Choices(missing=("-1",))).problem


def test_minus_one_is_asked_about_and_then_understood(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", plain(**{"task:z": [-1, 0, 1, 1] * (N // 4)}))
    refused(path, "Is that a missing label or a no")
    missing = add_source(path, Choices(name="m", missing=("-1",)))
    assert facts_of(missing).tasks[2].missing == pytest.approx(0.25)
    signs = write(tmp_path / "s.csv", plain(**{"task:z": [-1, 1] * (N // 2)}))
    assert facts_of(add_source(signs, Choices(no="-1"))).tasks[2].missing == 0


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([0.1, 0.9] * (N // 2), "soft labels are not learned from"),
        ([0] * 20 + [1] * 19 + [2], "labels beside 0 and 1"),
        ([""] * N, "no label at all"),
        ([f"molecule {i}" for i in range(N)], "looks like an identifier"),
        (["1.5", "2.5", "?!", "3"] * (N // 4), "--missing="),
    ],
)
def test_labels_that_can_be_read_in_two_ways_are_asked_about(
    cells: list[Any], words: str, tmp_path: Path
) -> None:
    refused(write(tmp_path / "t.csv", plain(**{"task:z": cells})), words)


def test_kinds_may_be_said_by_pattern(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", plain(**{"task:z": [1, 2, 3, 4] * (N // 4)}))
    assert add_source(path).group.task("z").kind == "multiclass"
    said = add_source(path, Choices(name="r", kinds={"*": "binary", "z": "regression"}))
    assert [task.kind for task in said.group.tasks] == ["binary", "binary", "regression"]
    with pytest.raises(UserError, match="no task “w”"):
        add_source(path, Choices(name="w", kinds={"w": "binary"}))


def raw(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


ROWS = "".join(f"{i}.5,{i % 2}\n" for i in range(N))


@pytest.mark.parametrize(
    ("content", "words", "choices"),
    [
        ("", "is empty", {}),
        ("a,task:x\n", "at least 4 points|no rows", {}),
        ("a,task:x\n1,0\n2,1,3\n4,0\n5,1\n", "2 columns by its .* row with 3.*quotation", {}),
        ("a,task:x\n1,0\n2\n4,0\n5,1\n", "2 columns by its .* row with 1.*commas between", {}),
        (f"a,task:x\n{ROWS}".encode("utf-16"), "UTF-16", {}),
        (f"gr\xf6\xdfe,task:x\n{ROWS}".encode("latin-1"), "not in UTF-8", {}),
        (f"1,2\n{ROWS}", "names of its columns", {}),
        (f"a,task:x\n{ROWS}", "no column “c”", {"features": ("c",)}),
        (f"a,task:x\n{ROWS}", "no column “id”", {"id": "id"}),
        (f"a,task:{'x' * 201}\n{ROWS}", "201 characters; 200 are the most", {}),
        (f"a,split,task:x\n{ROWS.replace(',', ',train,')}", "no point for test", {}),
        (f"a,s,task:x\n{ROWS.replace(',', ',later,')}", "write train or test", {"split": "s"}),
        (f"a,task:x\n{ROWS}", "cannot be task and feature|cannot be feature and task",
         {"tasks": ("a",), "features": ("a",)}),
        (f"word,task:x\n{ROWS.replace('.5', 'five')}", "No column is left for the features", {}),
        (f"a,x\n{ROWS}", "Which columns are the tasks", {}),
        (f"a,task:x\n{ROWS}", "is built in|something built in", {"name": "g1"}),
        (f"a,task:x\n{ROWS}", "cannot name a data set", {"name": "../x"}),
        (f"a,task:x\n{ROWS}", "one split empty", {"test_share": 0.0}),
        (f"a,task:x\ninf,1\n{ROWS}", "“a” has infinite", {}),
        (f"a,split,task:x\n1e99,test,1\n{ROWS.replace(',', ',train,')}", "“a” has infinite", {}),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_a_sentence(
    content: str | bytes, words: str, choices: dict[str, Any], tmp_path: Path
) -> None:
    refused(raw(tmp_path / "t.csv", content), words, **choices)


def test_a_word_far_down_in_a_feature_names_the_column_and_what_to_do(tmp_path: Path) -> None:
    rows = "".join(f"{i}.5,{i % 2}\n" for i in range(3_000))
    refused(raw(tmp_path / "t.csv", f"mass,task:x\n{rows}heavy,1\n"), "“mass”.*“heavy”")


def test_a_column_that_stands_there_twice_is_refused_only_where_it_is_used(tmp_path: Path) -> None:
    rows = "".join(f"{i}.5,{i},{i},{i % 2},{i % 3 > 0:d}\n" for i in range(N))
    path = raw(tmp_path / "t.csv", f"a,b,b,x,x\n{rows}")
    refused(path, "“x” stands there 2 times", tasks=("x",))
    refused(path, "“b” stands there 2 times", tasks=("a",), features=("b",))
    other = raw(tmp_path / "u.csv", f"a,b,b,task:x,y\n{rows}")
    found = add_source(other)
    assert found.features == ("a", "y") and any("twice" in n for n in found.manifest["notes"])
    refused_twice = raw(tmp_path / "v.csv", f"a,b,c,task:x,target:x\n{rows}")
    with pytest.raises(UserError, match="“x” stands there twice"):
        add_source(refused_twice)


def test_a_file_that_is_none_of_those_that_can_be_read_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.csv", "There is no file or folder")
    refused(raw(tmp_path / "x.pkl", b"\x80\x04N."), "none of the files that can be read")
    refused(raw(tmp_path / "x.parquet", b"PAR1 no"), "no Parquet file")
    refused(raw(tmp_path / "x.npz", b"PK no"), r"no \.npz file")
    refused(raw(tmp_path / "x.csv", b"PK\0\0\0"), "is no text")
    assert look(tmp_path / "nothing.csv").problem


def test_a_cancelled_reading_leaves_nothing(tmp_path: Path) -> None:
    def cancel(what: str, share: float) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        add_source(write(tmp_path / "t.csv", plain()), progress=cancel)
    assert not data_sets()
    assert not [p for p in datasets_folder().glob(".*") if p.suffix != ".lock"]


def test_a_name_that_is_taken_is_replaced_only_when_that_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", plain())
    first = add_source(path)
    with pytest.raises(UserError, match="--replace"):
        add_source(path)
    assert add_source(path, Choices(replace=True, seed=1)).digest != first.digest
    assert not source_changed(data_sets()[0])
    write(path, plain(c=numbers(7)))
    assert source_changed(data_sets()[0])


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("tox21.csv", "tox21"),
        ("My data (2).csv.gz", "My-data-2"),
        ("g1.csv", "my-g1"),
        ("Größe.tsv", "Größe"),
        ("…", "my"),
    ],
)
def test_a_data_set_is_named_after_its_file(file: str, name: str) -> None:
    assert name_of(Path(file)) == name


def test_families_come_from_a_file_or_from_what_names_begin_with() -> None:
    told = read_families(b'\xef\xbb\xbftask;family\nx;one\n"a, b";two\n\'=c;one\n')
    assert told == {"x": "one", "a, b": "two", "=c": "one"}
    choices = Choices(families={"NR-a": "other"}, family_before="-")
    assert choices.families_of(["NR-a", "SR-b", "plain", "-c"]) == {"NR-a": "other", "SR-b": "SR"}
    with pytest.raises(UserError, match="Line 2"):
        read_families(b"a,b\na,b,c\n")
    with pytest.raises(UserError, match="twice"):
        read_families(b"a,b\na,c\n")
    with pytest.raises(UserError, match=r"not there, “NR-c”"):
        Choices(families={"NR-c": "x"}).families_of(["NR-a"])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(["a", "b", "id", "task:x", "task:y", "task:z"]))
def test_the_order_of_columns_changes_no_label(order: list[str], tmp_path: Path) -> None:
    columns = plain(id=[f"p{i}" for i in range(N)])
    columns["task:z"] = ["", "yes", "no", "yes"] * (N // 4)
    path = write(tmp_path / "t.csv", {name: columns[name] for name in order})
    told = labels_of(add_source(path, Choices(replace=True)))
    for name in ("x", "y"):
        assert told[name] == dict(zip(columns["id"], columns[f"task:{name}"], strict=True))
    assert [told["z"][f"p{i}"] for i in range(1, 4)] == [1, 0, 1]
    assert np.isnan(told["z"]["p0"])


# ----------------------------------------------------------------------------------------- arrays


def images(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def test_medmnist_with_one_task_of_classes(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {}
    for split, count in (("train", 90), ("val", 30), ("test", 30)):
        arrays[f"{split}_images"] = images(count, 8, 8)
        arrays[f"{split}_labels"] = (np.arange(count) % 3)[:, None]
    np.savez(tmp_path / "bloodmnist.npz", **arrays)
    found = add_source(tmp_path / "bloodmnist.npz")
    assert found.counts == {"train": 120, "test": 30} and found.shape == (8, 8, 1)
    [task] = found.group.tasks
    assert (task.name, task.kind, task.values) == ("task 1", "multiclass", ("0", "1", "2"))
    assert np.array_equal(found.split("test")[0][..., 0], arrays["test_images"])
    seen = look(tmp_path / "bloodmnist.npz")
    assert seen.points == 150 and seen.shape == (8, 8, 1) and not seen.problem


def test_medmnist_with_many_tasks(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (60, 5))
    np.savez(
        tmp_path / "chest.npz",
        train_images=images(40, 8, 8, 3),
        train_labels=labels[:40],
        test_images=images(20, 8, 8, 3),
        test_labels=labels[40:],
        task_names=np.array(["a", "b", "c", "d", "e"]),
    )
    found = add_source(tmp_path / "chest.npz", Choices(tasks=("a", "[bc]")))
    assert found.group.task_names == ("a", "b", "c") and found.shape == (8, 8, 3)
    assert np.array_equal(found.split("test")[1], labels[40:, :3])


def test_points_and_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(N, 3)), rng.normal(size=(N, 2))
    np.savez(tmp_path / "one.npz", X=x, y=y, feature_names=np.array(["p", "q", "r"]))
    found = add_source(tmp_path / "one.npz")
    assert found.features == ("p", "q", "r") and found.counts == {"train": 32, "test": 8}
    assert [task.kind for task in found.group.tasks] == ["regression", "regression"]
    np.savez(tmp_path / "two.npz", X=x, y=y[:, 0] > 0, X_test=x[:10], y_test=y[:10, 0] > 0)
    other = add_source(tmp_path / "two.npz")
    assert other.counts == {"train": N, "test": 10} and other.group.all_binary


def test_tasks_with_points_of_their_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for task, count in (("t1", 30), ("t_2", 20)):
        for split, n in (("train", count), ("test", count // 2)):
            arrays[f"{task}_X_{split}"] = rng.normal(size=(n, 4))
            arrays[f"{task}_y_{split}"] = np.arange(n) % 2
    np.savez(tmp_path / "apart.npz", **arrays)
    found = add_source(tmp_path / "apart.npz")
    assert found.counts == {"train": 50, "test": 25} and found.group.task_names == ("t1", "t_2")
    train = found.split("train")[1]
    assert np.isnan(train[30:, 0]).all() and np.isnan(train[:30, 1]).all()
    assert np.array_equal(train[30:, 1], arrays["t_2_y_train"])
    assert any("in 0% of the cases" in sentence for sentence in facts_of(found).warnings)


def test_arrays_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    x = np.zeros((N, 3))
    path = tmp_path / "t.npz"
    for arrays, words in (
        ({"X": x, "y": np.array([{}] * N, dtype=object)}, "Python objects"),
        ({"X": np.array([[1], "a"] * N, dtype=object), "y": x}, "Python objects"),
        ({"data": x, "labels": x}, "Name them in one of these ways"),
        ({"X": x, "y": x[:5]}, "labels for 5"),
        ({"X": x, "y": x[:, :2], "tasks": np.array(["one"])}, "names 1 tasks"),
        ({"X_train": x, "y_train": x, "X_test": x[:, :2], "y_test": x}, "differ in more than"),
        ({"X": np.zeros((N, 8, 8)), "y": np.arange(N) % 2}, "8-bit images"),
        ({"t_X_train": x, "z": x}, "“t_y_train” is missing"),
    ):
        np.savez(path, **arrays)
        refused(path, words)
        assert look(path).problem
    np.savez(path, X=x, y=np.arange(N) % 2)
    refused(path, "name columns of tables", features=("a",))


# ----------------------------------------------------------------------------------------- folders


def save_image(
    path: Path, seed: int = 0, mode: str = "RGB", size: tuple[int, int] = (20, 14)
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size[::-1], len(mode)) if len(mode) > 1 else size[::-1]
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels, mode).save(path)


def test_folders_of_classes_of_unequal_sizes(tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    for split, counts in (("train", {"cat": 5, "dog": 3}), ("test", {"cat": 2, "dog": 4})):
        for name, count in counts.items():
            for i in range(count):
                save_image(folder / split / name / f"{i}.png", i, size=(10 + i, 30))
    (folder / "train" / "cat" / ".DS_Store").write_text("litter")
    found = add_source(folder, Choices(side=16))
    [task] = found.group.tasks
    assert (task.kind, task.values) == ("multiclass", ("cat", "dog"))
    assert found.counts == {"train": 8, "test": 6} and found.shape == (16, 16, 3)
    assert found.split("train")[1][:, 0].tolist() == [0] * 5 + [1] * 3
    assert found.about([0])[0]["id"] == str(Path("train/cat/0.png"))
    each = add_source(folder, Choices(name="each", one_task_per_class=True, side=16))
    assert each.group.task_names == ("cat", "dog") and each.group.all_binary
    assert look(folder).points == 14


def test_folders_without_one_for_testing_are_split_by_a_draw(tmp_path: Path) -> None:
    for split, count in (("train", 8), ("validation", 2)):
        for name in ("cat", "dog"):
            for i in range(count):
                save_image(tmp_path / "pets" / split / name / f"{i}.png", i)
    found = add_source(tmp_path / "pets")
    assert found.counts == {"train": 16, "test": 4} and found.group.tasks[0].values == (
        "cat",
        "dog",
    )
    assert any("drawn, since there are only" in note for note in found.manifest["notes"])


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)])
def test_images_keep_their_channels(mode: str, channels: int, tmp_path: Path) -> None:
    for name in ("a", "b"):
        for i in range(10):
            save_image(tmp_path / "set" / name / f"{i}.png", i, mode, (32, 32))
    found = add_source(tmp_path / "set")
    assert found.shape == (32, 32, channels) and found.counts == {"train": 16, "test": 4}
    pixels = np.asarray(Image.open(tmp_path / "set" / "a" / "0.png")).reshape(32, 32, channels)
    every = np.concatenate([found.split(split)[0] for split in SPLITS])
    assert any(np.array_equal(pixels, image) for image in every)


def test_images_of_sixteen_bits_are_made_eight_and_of_thirty_two_are_refused(
    tmp_path: Path,
) -> None:
    for name in ("a", "b"):
        (tmp_path / "deep" / name).mkdir(parents=True)
        for i in range(5):
            deep = np.full((8, 8), 256 * (20 * i + 10), dtype=np.uint16)
            Image.fromarray(deep).save(tmp_path / "deep" / name / f"{i}.png")
    found = add_source(tmp_path / "deep", Choices(side=8))
    assert set(np.unique(found.split("train")[0])) <= {10, 30, 50, 70, 90}
    Image.fromarray(np.zeros((8, 8), dtype=np.float32)).save(tmp_path / "deep" / "a" / "x.tif")
    with pytest.raises(UserError, match=r"x\.tif has 32 bits"):
        add_source(tmp_path / "deep", Choices(name="again"))


def test_a_table_of_images(tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    rows = [{"file_name": f"i{i}.png", "smiles": i % 2, "old": i % 3 > 0} for i in range(12)]
    for split, some in (("train", rows[:8]), ("test", rows[8:])):
        for i, row in enumerate(some):
            save_image(folder / split / str(row["file_name"]), i)
        lines = "\n".join(json.dumps(row) for row in some)
        (folder / split / "metadata.jsonl").write_text(lines)
    assert set(look(folder).suggested_tasks) == {"smiles", "old"}
    found = add_source(folder, Choices(tasks=("smiles", "old")))
    assert found.counts == {"train": 8, "test": 4} and found.group.all_binary
    assert found.split("test")[1][:, 0].tolist() == [0, 1, 0, 1]
    assert found.about([0], "test")[0]["id"] == str(Path("test/i8.png"))


def test_a_csv_table_of_images_without_splits(tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    for i in range(20):
        save_image(folder / "pictures" / f"{i}.png", i)
    names = [f"pictures/{i}.png" for i in range(20)]
    write(folder / "metadata.csv", {"file_name": names, "task:x": [0, 1] * 10})
    assert add_source(folder).counts == {"train": 16, "test": 4}
    write(folder / "metadata.csv", {"file_name": ["gone.png", *names[1:]], "task:x": [0, 1] * 10})
    with pytest.raises(UserError, match=r"not there, such as .*gone\.png"):
        add_source(folder, Choices(name="again"))
    write(folder / "metadata.csv", {"file_name": ["../x.png", *names[1:]], "task:x": [0, 1] * 10})
    with pytest.raises(UserError, match="no file below"):
        add_source(folder, Choices(name="again"))


def test_folders_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "has no images")
    for i in range(4):
        save_image(tmp_path / "one" / "cat" / f"{i}.png", i)
    refused(tmp_path / "one", "one class only")
    for i in range(4):
        save_image(tmp_path / "one" / "dog" / f"{i}.png", i)
    refused(tmp_path / "one", "side of 2 pixels", side=2)
    refused(tmp_path / "one", "learns from the images", features=("x",))
    refused(tmp_path / "one", "name columns", split="x")
    (tmp_path / "one" / "dog" / "2.png").write_bytes(b"\x89PNG broken")
    refused(tmp_path / "one", r"dog.2\.png cannot be read as an image")
    (tmp_path / "one" / "dog" / "notes.docx").write_text("x")
    refused(tmp_path / "one", r"notes\.docx is no image")


# -------------------------------------------------------------------------------------------- ARFF


def arff_of(labels: Sequence[str], rows: str, relation: str = "genes") -> str:
    attributes = ["@attribute a numeric", "@attribute b numeric"]
    attributes += [f"@attribute {label} {{0,1}}" for label in labels]
    return "\n".join([f"@relation '{relation}'", *attributes, "@data", rows])


def xml_of(labels: Sequence[str]) -> str:
    inside = "".join(f'<label name="{label}"></label>' for label in labels)
    return f'<?xml version="1.0"?><labels xmlns="http://mulan.sourceforge.net/labels">{inside}</labels>'


DENSE = "\n".join(f"{i},{i * i},{i % 2},{i % 3 > 0:d}" for i in range(N))


def test_mulan_matches_labels_by_name(tmp_path: Path) -> None:
    raw(tmp_path / "yeast.arff", arff_of(["c1", "c2"], DENSE))
    raw(tmp_path / "yeast.xml", xml_of(["c2", "c1"]))
    found = add_source(tmp_path / "yeast.arff")
    assert found.group.task_names == ("c1", "c2") and found.features == ("a", "b")
    assert found.group.all_binary and "yeast.xml" in " ".join(found.manifest["notes"])
    told = labels_of(found)["c2"]
    assert [told[str(i)] for i in range(4)] == [0, 1, 1, 0]
    raw(tmp_path / "only.xml", xml_of(["c2"]))
    some = add_source(tmp_path / "yeast.arff", Choices(name="o", labels=tmp_path / "only.xml"))
    assert some.group.task_names == ("c2",)


def test_sparse_arff_and_mekas_way_to_name_labels(tmp_path: Path) -> None:
    sparse = "\n".join(
        "{" + ", ".join(f"{j} {v}" for j, v in enumerate((i, i * i, i % 2)) if v) + "}"
        for i in range(N)
    )
    dense = "\n".join(f"{i},{i * i},{i % 2}" for i in range(N))
    sides = []
    for name, rows in (("sparse", sparse), ("dense", dense)):
        path = raw(tmp_path / f"{name}.arff", arff_of(["c1"], rows, "genes: -C -1"))
        sides.append(add_source(path))
    assert sides[0].digest == sides[1].digest and sides[0].group.task_names == ("c1",)


def test_a_pair_of_arff_files_is_the_split(tmp_path: Path) -> None:
    rows = DENSE.splitlines()
    raw(tmp_path / "yeast-train.arff", arff_of(["c1", "c2"], "\n".join(rows[:30])))
    raw(tmp_path / "yeast-test.arff", arff_of(["c1", "c2"], "\n".join(rows[30:])))
    raw(tmp_path / "yeast.xml", xml_of(["c1", "c2"]))
    found = add_source(tmp_path / "yeast-train.arff", Choices(name="yeast"))
    assert found.counts == {"train": 30, "test": 10}
    assert found.features == ("a", "b") and found.group.task_names == ("c1", "c2")


def test_arff_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    path = raw(tmp_path / "t.arff", arff_of(["c1", "c2"], DENSE))
    refused(path, "Which columns are the tasks")
    xml = tmp_path / "t.xml"
    refused(path, "names the label “c9”", labels=raw(xml, xml_of(["c9"])))
    refused(path, "is no XML", labels=raw(xml, "<labels"))
    refused(path, "names no label", labels=raw(xml, "<labels></labels>"))
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><labels>&a;</labels>'
    refused(path, "declares entities", labels=raw(xml, bomb))
    refused(raw(tmp_path / "u.arff", "nothing"), "no ARFF file|Which columns")


# ------------------------------------------------------------------------------ arrays from Python


def test_sets_of_scikit_learn() -> None:
    wine = sklearn_datasets.load_wine()
    found = add("wine", wine.data, {"kind": wine.target}, features=wine.feature_names)
    assert found.group.tasks[0].kind == "multiclass" and found.features == tuple(wine.feature_names)
    assert facts_of(found).tasks[0].counts == {"train": (47, 57, 38), "test": (12, 14, 10)}
    diabetes = sklearn_datasets.load_diabetes()
    [task] = add("diabetes", diabetes.data, {"progress": diabetes.target}).group.tasks
    assert task.kind == "regression"
    linnerud = sklearn_datasets.load_linnerud()
    three = add("linnerud", linnerud.data, linnerud.target, tasks=linnerud.target_names)
    assert [one.kind for one in three.group.tasks] == ["regression"] * 3
    cancer = sklearn_datasets.load_breast_cancer()
    [benign] = facts_of(add("cancer", cancer.data, {"benign": cancer.target})).tasks
    assert benign.task.kind == "binary" and benign.prevalence == pytest.approx(0.627, abs=0.002)


# ---------------------------------------------------------------------------------- splits, checks


@settings(max_examples=25)
@given(
    prevalences=st.lists(st.floats(0.01, 0.9), min_size=1, max_size=8),
    missing=st.floats(0, 0.6),
    seed=st.integers(0, 99),
)
def test_positives_of_every_task_are_shared_out(
    prevalences: list[float], missing: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.random((1000, len(prevalences))) < prevalences).astype(np.float32)
    labels[rng.random(labels.shape) < missing] = np.nan
    tasks = [Task(f"t{t}", rule="column") for t in range(len(prevalences))]
    for_test = stratified_split(labels, tasks, 0.2, seed)
    assert abs(for_test.mean() - 0.2) < 0.02
    assert np.array_equal(for_test, stratified_split(labels, tasks, 0.2, seed))
    positives, tested = (labels == 1).sum(axis=0), (labels[for_test] == 1).sum(axis=0)
    assert (np.abs(tested - 0.2 * positives) <= np.maximum(4, 0.06 * positives)).all()


def test_overlap_counts_points_with_a_label_for_both_over_those_with_one_for_either() -> None:
    labels = np.array([[1, 0, np.nan], [0, np.nan, np.nan], [1, 1, 0]], dtype=np.float32)
    assert overlap_of(labels) == pytest.approx(
        np.array([[1, 2 / 3, 1 / 3], [2 / 3, 1, 1 / 2], [1 / 3, 1 / 2, 1]])
    )


def test_what_is_suspicious_is_warned_of() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 3))
    points[150:160] = points[0]
    x = rng.integers(0, 2, 200)
    rare = np.zeros(200)
    rare[:5] = 1
    gone = np.zeros(200)
    gone[:30] = 1
    numbers = rng.random(200) + 1
    numbers[3:9] = -999
    labels = {
        "x": x,
        "same": x,
        "other": 1 - x,
        "rare": rare,
        "gone": gone,
        "nearly all": np.r_[np.zeros(5), np.ones(195)],
        "numbers": numbers,
        "words": np.where(x, "Cat", np.where(rng.random(200) < 0.5, "cat ", "dog")),
    }
    split = np.r_[np.zeros(140, dtype=bool), np.ones(60, dtype=bool)]
    ids = [str(i % 199) for i in range(200)]
    told = "\n".join(facts_of(add("odd", points, labels, split=split, ids=ids)).warnings)
    for words in (
        "2 tasks have no positive for testing: “rare”, “gone”",
        "“rare (5)”",
        "“same” has the same labels as “x”",
        "“other” is the exact complement of “x”",
        "is positive for nearly all points: is yes written as 1: “nearly all”",
        "6 labels of -999, outside of all others",
        "classes that may be one",
        "1 point has the id of another one, such as “0”",
        "10 test points are among the training points",
    ):
        assert words in told, told


def test_nothing_is_warned_of_where_all_is_well() -> None:
    rng = np.random.default_rng(0)
    labels = {"x": rng.integers(0, 2, 300), "y": rng.normal(size=300)}
    facts = facts_of(add("fine", rng.normal(size=(300, 4)), labels))
    assert facts.warnings == () and facts.median_overlap == 1
