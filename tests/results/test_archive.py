"""A run travels as one .zip file; any other file is refused, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stg_core.grouping.memberships import TaskSpace
from stg_core.maps.summary import LATER, summarise
from stg_core.results.archive import ARRAYS, LOGITS, export_run, file_name, import_run, take_run
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS
from stg_core.training.loop import TrainingResult, train
from stg_core.training.spec import TrainingSpec


@pytest.fixture(scope="module")
def run(digits_result: TrainingResult, tmp_path_factory: pytest.TempPathFactory) -> Run:
    store = Store(tmp_path_factory.mktemp("where it was trained"))
    return store.rename(store.save(digits_result), "The one for class")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Another machine."""
    return Store(tmp_path / "another machine")


def exported(run: Run, with_arrays: bool = False) -> bytes:
    file = io.BytesIO()
    export_run(run, file, with_arrays)
    return file.getvalue()


def unzipped(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def forged(contents: dict[str, bytes], **head: Any) -> bytes:
    """An archive whose digests are right, whatever is in it, as a forger would make it."""
    others = {name: content for name, content in contents.items() if name != "spec.json"}
    head = {
        **json.loads(contents["spec.json"]),
        "files": {
            name: {
                "bytes": len(content),
                "blake2b": hashlib.blake2b(content, digest_size=16).hexdigest(),
            }
            for name, content in others.items()
        },
        **head,
    }
    return zipped({**others, "spec.json": json.dumps(head).encode()})


def refused(store: Store, archive: bytes) -> str:
    """The sentence with which an archive is refused, having left nothing behind."""
    with pytest.raises(UserError) as error:
        import_run(store, io.BytesIO(archive))
    assert list((store.folder / "runs").iterdir()) == store.damaged == []
    assert {path.name for path in (store.folder / "work").iterdir()} <= {"import.lock"}
    return str(error.value)


# ----------------------------------------------------------------------------------- what is whole


def test_weights_travel_when_they_are_asked_for(run: Run, store: Store) -> None:
    assert run.has_weights
    assert "model.safetensors" not in unzipped(exported(run, with_arrays=True))
    file = io.BytesIO()
    export_run(run, file, with_weights=True)
    arrived = import_run(store, file)
    assert arrived.weights_file.read_bytes() == run.weights_file.read_bytes()
    assert arrived.usage == run.usage
    store.delete(arrived)
    store.keeps_weights = False
    assert not take_run(store, file, run.spec.key).has_weights


def test_forged_weights_are_refused(run: Run, store: Store) -> None:
    file = io.BytesIO()
    export_run(run, file, with_weights=True)
    contents = unzipped(file.getvalue())
    contents["model.safetensors"] = contents["model.safetensors"][:-1]
    assert "its weights are of another kind" in refused(store, forged(contents))
    provenance = {**run.provenance, "usage": {**run.provenance["usage"], "shape": [8, "8", 1]}}
    assert "its points have no such shape" in refused(
        store, forged(contents, provenance=provenance)
    )


@pytest.mark.parametrize("with_arrays", [False, True])
def test_a_run_arrives_as_it_left(run: Run, store: Store, with_arrays: bool) -> None:
    arrived = import_run(store, io.BytesIO(exported(run, with_arrays)))
    assert arrived == Store(store.folder).run(run.id) and arrived.folder != run.folder
    assert (arrived.title, arrived.spec) == ("The one for class", run.spec)
    assert (arrived.metrics, arrived.provenance) == (run.metrics, run.provenance)
    np.testing.assert_array_equal(arrived.summary.gram, run.summary.gram)
    assert (arrived.datamaps() is not None) == arrived.keeps_logits == with_arrays
    if with_arrays:
        np.testing.assert_array_equal(arrived.datamaps(), run.datamaps())
        for split in ("train", "test"):
            np.testing.assert_array_equal(arrived.logits(split), run.logits(split))
            np.testing.assert_array_equal(arrived.labels(split), run.labels(split))
    assert store.rename(arrived, "").title == run.spec.title
    store.delete(arrived)


def test_the_same_run_is_exported_as_the_same_bytes(run: Run, store: Store) -> None:
    archive = exported(run, with_arrays=True)
    assert exported(import_run(store, io.BytesIO(archive)), with_arrays=True) == archive


@pytest.mark.parametrize("bundle", ["digits", "g1", "g2", "g3"])
def test_a_bundled_run_arrives_as_an_own_one(bundle: str, store: Store) -> None:
    bundled = store.run(f"bundled:{bundle}")
    own = import_run(store, io.BytesIO(exported(bundled)))
    assert own.id == bundled.spec.key and not own.bundled and own.spec == bundled.spec
    assert store.rename(own, "Mine").title == "Mine"


def test_a_run_without_data_maps_travels_too(
    digits_data: TaskData, store: Store, tmp_path: Path
) -> None:
    spec = TrainingSpec(GROUPS["digits"], epochs=2, recorded_epochs=())
    saved = store.save(train(spec, digits_data, folder=tmp_path / "work"))
    archive = exported(saved, with_arrays=True)
    assert set(unzipped(archive)) == {"spec.json", "metrics.json", *LOGITS}
    store.delete(saved)
    assert import_run(store, io.BytesIO(archive)).keeps_logits


def test_a_run_that_is_here_already_is_left_as_it_is(run: Run, store: Store) -> None:
    known = import_run(store, io.BytesIO(exported(run)))
    with pytest.raises(UserError, match=f"here already, as The one for class .{run.id}."):
        import_run(store, io.BytesIO(exported(run, with_arrays=True)))
    assert store.runs()[-1] == known and not store.run(run.id).keeps_logits


def test_a_run_that_is_being_trained_is_not_imported(run: Run, store: Store) -> None:
    with store.lock(run.id), pytest.raises(UserError, match="being trained"):
        import_run(store, io.BytesIO(exported(run)))
    assert import_run(store, io.BytesIO(exported(run))).id == run.id


def test_an_export_needs_no_seekable_file(run: Run, store: Store) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.written = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.written += data
            return len(data)

    pipe = Pipe()
    export_run(run, cast(IO[bytes], pipe), with_arrays=True)
    assert import_run(store, io.BytesIO(pipe.written)).keeps_logits


def test_an_array_that_was_changed_is_not_exported(run: Run, store: Store) -> None:
    arrived = import_run(store, io.BytesIO(exported(run, with_arrays=True)))
    (arrived.folder / "datamaps.npy").write_bytes(b"0" * arrived.files["datamaps.npy"]["bytes"])
    with pytest.raises(UserError, match=r"datamaps\.npy .* has changed"):
        exported(arrived, with_arrays=True)


def test_a_run_deleted_meanwhile_cannot_be_exported(run: Run, store: Store) -> None:
    arrived = import_run(store, io.BytesIO(exported(run)))
    store.delete(arrived)
    with pytest.raises(UserError, match="cannot be exported"):
        exported(arrived)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("", "15-questions-about-handwritten-digits-tiny_cnn-4-epochs-seed-0.zip"),
        ("Für ../alle: 3/4!", "Für-..-alle-3-4.zip"),
    ],
)
def test_an_export_is_named_after_its_title(title: str, name: str, run: Run, store: Store) -> None:
    arrived = import_run(store, io.BytesIO(exported(run)))
    assert file_name(store.rename(arrived, title)) == name
    assert file_name(store.rename(arrived, "!?")) == f"{run.id}.zip"


# ---------------------------------------------------------------------------------- what is damaged


@given(st.data())
def test_whatever_byte_is_flipped_the_file_is_refused_or_the_content_is_the_same(
    run: Run, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    archive = bytearray(exported(run))
    # half of the flips near the end, where the list of files is
    start = data.draw(st.sampled_from([0, len(archive) - 600]))
    place = data.draw(st.integers(start, len(archive) - 1))
    archive[place] ^= data.draw(st.integers(1, 255))
    store = Store(tmp_path_factory.getbasetemp() / "flipped")
    try:
        arrived = import_run(store, io.BytesIO(archive))
    except UserError as error:
        assert "not a whole export" in str(error)
        assert list((store.folder / "runs").iterdir()) == []
    else:
        assert (arrived.spec, arrived.title) == (run.spec, run.title)
        assert (arrived.metrics, arrived.provenance) == (run.metrics, run.provenance)
        for name, known in arrived.files.items():
            assert known == run.files[name]
        store.delete(arrived)


@given(st.floats(0, 1, exclude_max=True))
def test_wherever_a_file_is_cut_off_it_is_refused(
    run: Run, tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    archive = exported(run)
    store = Store(tmp_path_factory.getbasetemp() / "cut off")
    assert "not a whole export" in refused(store, archive[: int(share * len(archive))])


@given(st.binary(max_size=200))
def test_other_files_are_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    store = Store(tmp_path_factory.getbasetemp() / "other files")
    assert "no .zip file" in refused(store, data)
    refused(store, data + b"PK\5\6" + bytes(18))


# ----------------------------------------------------------------------------------- what is forged


def test_a_zip_of_something_else_is_refused(store: Store) -> None:
    assert "'holiday.jpg', which is no file of a run" in refused(
        store, zipped({"holiday.jpg": b"sun"})
    )
    assert "other files" in refused(store, zipped({f"{i}.txt": b"" for i in range(500)}))
    assert "missing" in refused(store, zipped({}))


@pytest.mark.parametrize("name", ["../evil.npy", "/etc/passwd", "a\\b", "runs/", "C:\\x", "x.py"])
def test_no_file_gets_out_of_its_folder(name: str, run: Run, store: Store) -> None:
    files = unzipped(exported(run))
    assert "no file of a run" in refused(store, forged({**files, name: b"evil"}))
    files[name] = files.pop("metrics.json")
    assert "no file of a run" in refused(store, forged(files))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO])
def test_links_and_other_than_plain_files_are_refused(kind: int, run: Run, store: Store) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in unzipped(exported(run)).items():
            entry = zipfile.ZipInfo(name)
            if name == "metrics.json":
                entry.external_attr, content = (kind | 0o777) << 16, b"/etc/passwd"
            archive.writestr(entry, content)
    assert "not a plain file" in refused(store, file.getvalue())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice_is_refused(run: Run, store: Store) -> None:
    file = io.BytesIO(exported(run))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("metrics.json", "{}")
    assert "metrics.json twice" in refused(store, file.getvalue())


@pytest.mark.parametrize("with_arrays", [False, True])
def test_what_finder_unzipped_and_zipped_again_is_taken(
    with_arrays: bool, run: Run, store: Store
) -> None:
    files = {f"My run/{k}": v for k, v in unzipped(exported(run, with_arrays)).items()}
    litter = {
        **{f"__MACOSX/My run/._{name.partition('/')[2]}": b"\0\5\x16\7" for name in files},
        **{"My run/.DS_Store": b"Bud1", "My run/Thumbs.db": b"x", "My run/desktop.ini": b"x"},
        "My run/": b"",
    }
    taken = import_run(store, io.BytesIO(zipped({**litter, **files}, zipfile.ZIP_DEFLATED)))
    assert taken.spec == run.spec
    assert set(taken.files) == {name.partition("/")[2] for name in files} - {"spec.json"}


def test_files_in_two_folders_are_not_guessed_at(run: Run, store: Store) -> None:
    files = unzipped(exported(run))
    files["other/metrics.json"] = files.pop("metrics.json")
    assert "'other/metrics.json', which is no file" in refused(store, zipped(files))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_compression_is_refused(method: int, run: Run, store: Store) -> None:
    assert "unusual way" in refused(store, zipped(unzipped(exported(run)), method))


def test_bombs_are_refused_before_they_are_unpacked(run: Run, store: Store) -> None:
    files = unzipped(exported(run))
    bombs = {
        "datamaps.npy": bytes(10**8),
        "metrics.json": b" " * (2**26 + 1),
        "spec.json": b" " * (2**25 + 1),
    }
    for name, content in bombs.items():
        assert "larger" in refused(store, zipped({**files, name: content}, zipfile.ZIP_DEFLATED))


def test_files_that_claim_to_be_large_are_refused(run: Run, store: Store) -> None:
    archive = exported(run)
    place = archive.rindex(b"PK\1\2")  # spec.json, in the list of files
    for size in (2**22 + 1, 2**30):
        claimed = struct.pack("<LL", size, size)
        assert "larger" in refused(store, archive[: place + 20] + claimed + archive[place + 28 :])


def test_files_that_share_their_bytes_are_refused(run: Run, store: Store) -> None:
    files = {**unzipped(exported(run)), **{name: bytes(10**6) for name in ARRAYS}}
    archive = bytearray(forged(files))
    place = archive.index(b"PK\1\2")
    first = archive[place + 42 : place + 46]
    grown = struct.pack("<LL", len(archive) // 2, len(archive) // 2)
    while (place := archive.find(b"PK\1\2", place + 1)) > 0:
        if b".npy" in archive[place + 46 : place + 70]:
            archive[place + 20 : place + 28], archive[place + 42 : place + 46] = grown, first
    assert "larger than itself" in refused(store, bytes(archive))


def test_a_list_of_files_that_would_fill_the_memory_is_not_read(run: Run, store: Store) -> None:
    archive = bytearray(exported(run))
    archive[-10:-6] = struct.pack("<L", 2**31)
    assert "other files" in refused(store, bytes(archive))
    end = b"PK\6\6" + bytes(36) + struct.pack("<QQ", 2**40, 0)
    locator = b"PK\6\7" + bytes(4) + struct.pack("<QL", len(archive) - 22, 1)
    for between, sentence in ((b"", "other files"), (b"-", "damaged")):
        longer = archive[:-22] + end + between + locator + archive[-22:]
        assert sentence in refused(store, bytes(longer))


def test_a_run_larger_than_the_disk_is_refused(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stg_core.results.archive.free_space", lambda folder: 10_000)
    assert "Make room" in refused(store, exported(run))


def test_missing_files_are_named(run: Run, store: Store) -> None:
    files = unzipped(exported(run, with_arrays=True))
    for name in files:
        others = {other: content for other, content in files.items() if other != name}
        assert "not a whole export" in refused(store, zipped(others))
        if name not in ("spec.json", "datamaps.npy"):  # an export may be without the data maps
            assert "not a whole export" in refused(store, forged(others))


def test_a_digest_that_does_not_match_is_refused(run: Run, store: Store) -> None:
    files = unzipped(exported(run))
    files["metrics.json"] = files["metrics.json"].replace(b"0.9", b"1.0", 1)
    assert "metrics.json is not as it was exported" in refused(store, zipped(files))


SPEC = "its spec.json is of another kind"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"key": "0123456789abcdef"}, "key is that of another spec"),
        ({"title": "x" * 81}, "81 characters"),
        ({"title": 3}, SPEC),
        ({"spec": {}}, "not a training spec"),
        ({"spec": []}, SPEC),
        ({"provenance": {}}, SPEC),
        ({"files": {"summary.npz": {}}}, "other files than its spec.json lists"),
    ],
)
def test_a_head_that_is_not_a_run_s_is_refused(
    change: dict[str, Any], sentence: str, run: Run, store: Store
) -> None:
    assert sentence in refused(store, forged(unzipped(exported(run)), **change))


def group(name: Any = "g", rule: str = "classes") -> dict[str, Any]:
    tasks = [{"name": digit, "classes": [digit], "rule": rule} for digit in "0123456789"]
    return {"name": name, "dataset": "digits", "tasks": tasks}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epochs": 4.0}, "wrong type"),
        ({"epochs": "4"}, "not a training spec"),
        ({"epochs": 10**9}, "100,000 are the most"),
        ({"seed": True}, "wrong type"),
        ({"single_task_models": 1}, "wrong type"),
        ({"recorded_epochs": [2.0, 3, 4]}, "wrong type"),
        ({"recorded_epochs": []}, "files are not those"),
        ({"model": "\x1b[2J"}, "cannot be shown"),
        ({"group": group(name=7)}, SPEC),
        ({"group": group(name="x" * 201)}, "200 are the most"),
        ({"group": group(rule="none")}, "unknown rule"),
        ({"group": group()}, "metrics.json is of another kind"),
    ],
)
def test_a_spec_that_is_not_that_of_the_run_is_refused(
    change: dict[str, Any], sentence: str, run: Run, store: Store
) -> None:
    spec = {**run.spec.to_json(), **change}
    try:
        key = TrainingSpec.from_json(spec).key
    except UserError:
        key = ""
    assert sentence in refused(store, forged(unzipped(exported(run)), spec=spec, key=key))


@pytest.mark.parametrize(
    "change",
    [
        {"created": "yesterday"},
        {"created": "2026-01-01T00:00:00"},
        {"created": None},
        {"seconds": -1},
        {"seconds": "12"},
        {"device": {}},
    ],
)
def test_a_provenance_that_cannot_be_shown_is_refused(
    change: dict[str, Any], run: Run, store: Store
) -> None:
    provenance = {**run.provenance, **change}
    assert SPEC in refused(store, forged(unzipped(exported(run)), provenance=provenance))


def without_a_task(metrics: dict) -> None:
    metrics["test"]["f1"][-1].pop()


def without_an_epoch(metrics: dict) -> None:
    metrics["loss"].pop()


def with_a_word(metrics: dict) -> None:
    metrics["train"]["f1"][0][0] = "0.5"


def with_a_gap(metrics: dict) -> None:
    metrics["loss"][0] = None


def with_infinity(metrics: dict) -> None:
    metrics["seconds"][0] = 1e999


@pytest.mark.parametrize(
    "change", [without_a_task, without_an_epoch, with_a_word, with_a_gap, with_infinity]
)
def test_metrics_of_other_tasks_or_epochs_are_refused(
    change: Callable[[dict], None], run: Run, store: Store
) -> None:
    files = unzipped(exported(run))
    metrics = json.loads(files["metrics.json"])
    change(metrics)
    files["metrics.json"] = json.dumps(metrics).replace("Infinity", "1e999").encode()
    assert "metrics.json is of another kind" in refused(store, forged(files))
    for nonsense in (b"{}", b"[", b"NaN", b"[" * 10**4, b"\xff"):
        files["metrics.json"] = nonsense
        assert "metrics.json is of another kind" in refused(store, forged(files))


def test_an_accuracy_that_is_not_defined_is_no_damage(run: Run, store: Store) -> None:
    files = unzipped(exported(run))
    metrics = json.loads(files["metrics.json"])
    metrics["test"]["accuracy"][0][0] = None
    files["metrics.json"] = json.dumps(metrics).encode()
    assert import_run(store, io.BytesIO(forged(files))).metrics == metrics


def with_summary(files: dict[str, bytes], **changes: Any) -> bytes:
    """A forged archive with other arrays in the summary; None leaves one out."""
    with np.load(io.BytesIO(files["summary.npz"])) as known:
        arrays = {**known, **changes}
    file = io.BytesIO()
    np.savez_compressed(
        file, **{name: array for name, array in arrays.items() if array is not None}
    )
    return forged({**files, "summary.npz": file.getvalue()})


def test_a_summary_of_other_tasks_is_refused(run: Run, store: Store) -> None:
    files, summary = unzipped(exported(run)), run.summary
    for changes in (
        {"tasks": summary.tasks[::-1]},
        {"tasks": summary.tasks[:-1]},
        {"epochs": summary.epochs + 1},
        {"gram": summary.gram[:, :, :-1, :-1]},
        {"gram": summary.gram.astype(np.float32)},
        {"gram": summary.gram * np.nan},
        {"gram": None},
        {"more": summary.gram},
        {"sample_indices": summary.sample_indices + 10**6},
        {"sample_indices": summary.sample_indices - 10**6},
        {"sample": summary.sample[..., :-1]},
        {"n_points": np.array(10**9)},
        {"n_points": np.array(-1)},
        {"tasks": np.array([{}] * len(summary.tasks), dtype=object)},
        {"labelled": summary.labelled[:-1]},
        {"labelled": summary.labelled.astype(np.int64)},
        {"labelled": summary.labelled - 10**6},
        {"labelled": summary.labelled + 1},
        {"labelled": np.triu(summary.labelled)},
        {"labelled": summary.labelled - np.diag(summary.labelled.diagonal())},
        {"labelled": None},
        {"positives": summary.positives + 10**6},
        {"positives": summary.positives * 0 - 2},
        {"adjusted": summary.adjusted + 1.5},
        {"adjusted": summary.adjusted * np.nan},
    ):
        assert "summary.npz is of another kind" in refused(store, with_summary(files, **changes))


def test_a_summary_with_missing_labels_and_one_of_an_older_version_arrive(
    run: Run, store: Store
) -> None:
    files, summary = unzipped(exported(run)), run.summary
    labels = np.where(run.labels("train") < 0, np.nan, run.labels("train")).astype(np.float32)
    maps = np.array(run.datamaps())
    labels[::3, 1] = labels[:, 4] = np.nan
    maps[:, :, 1, ::3] = maps[:, :, 4] = np.nan
    sparse = summarise(maps, labels, run.spec.tasks, run.spec.recorded)
    arrays = {field.name: getattr(sparse, field.name) for field in fields(sparse)}
    arrived = import_run(store, io.BytesIO(with_summary(files, **arrays)))
    assert arrived.summary.labelled[4].sum() == 0 and TaskSpace(arrived.summary).left_out == ("4",)
    store.delete(arrived)
    older = with_summary(files, **dict.fromkeys(LATER))
    arrived = import_run(store, io.BytesIO(older))
    assert set(np.load(arrived.folder / "summary.npz")) & LATER == set()
    for name in LATER:
        assert np.array_equal(getattr(arrived.summary, name), getattr(summary, name)), name


def test_a_summary_that_is_a_bomb_is_not_unpacked(run: Run, store: Store) -> None:
    files = unzipped(exported(run))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bomb:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f8", "fortran_order": False, "shape": (10**9,)}
        )
        with np.load(io.BytesIO(files["summary.npz"])) as known:
            for name in known:
                with bomb.open(f"{name}.npy", "w") as member:
                    member.write(header.getvalue() + bytes(10**7))
    sentence = refused(store, forged({**files, "summary.npz": file.getvalue()}))
    assert "cut off" in sentence


def as_npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


def test_arrays_of_another_kind_are_refused(run: Run, store: Store) -> None:
    files = unzipped(exported(run, with_arrays=True))
    maps = run.datamaps()
    assert maps is not None
    pickled = as_npy(np.array([{}], dtype=object), allow_pickle=True)
    for name, content in (
        ("datamaps.npy", pickled),
        ("test_logits.npy", pickled),
        ("datamaps.npy", as_npy(maps[:, :, :-1])),
        ("datamaps.npy", as_npy(maps.astype(np.float32))),
        ("datamaps.npy", files["datamaps.npy"][:-2]),
        ("datamaps.npy", b"\x93NUMPY\x03\x00" + files["datamaps.npy"][8:]),
        ("datamaps.npy", b""),
        ("test_logits.npy", as_npy(run.logits("test")[1:])),
        ("test_logits.npy", as_npy(run.logits("test")[:, 1:])),
        ("train_labels.npy", as_npy(run.labels("train").astype(np.float32))),
        ("train_labels.npy", as_npy(np.array(1, dtype=np.int8))),
    ):
        assert "arrays are of another kind" in refused(store, forged({**files, name: content}))
