"""Where images come from, and what happens when a copy is broken."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image

from stg_core.system.errors import UserError
from stg_core.tasks import images as datasets
from stg_core.tasks.images import (
    CLASS_NAMES,
    example_images,
    has_images,
    load_images,
    prepared_images,
)
from tests.conftest import write_tree


@pytest.fixture
def no_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads go to a port of this machine where nobody listens."""
    for reader in (torchvision.datasets.CIFAR10, torchvision.datasets.CIFAR100):
        monkeypatch.setattr(reader, "url", "http://127.0.0.1:9/archive.tar.gz")


def test_digits_need_no_download(own_home: Path) -> None:
    assert has_images("digits")
    images = load_images("digits")
    assert own_home in images.folder.parents
    (train, train_classes), (test, test_classes) = images.split("train"), images.split("test")
    assert train.shape[1:] == test.shape[1:] == (8, 8, 1)
    assert len(train) + len(test) == len(train_classes) + len(test_classes) == 1797
    assert train.max() == 255
    assert np.bincount(test_classes).min() >= 34


def test_a_tree_of_images_becomes_one_memory_mapped_array_per_split(cifar10_tree: Path) -> None:
    assert has_images("cifar10")
    images = load_images("cifar10")
    for split in ("train", "test"):
        pixels, classes = images.split(split)
        assert isinstance(pixels, np.memmap)
        assert (pixels.shape, pixels.dtype) == ((40, 32, 32, 3), np.uint8)
        assert np.array_equal(classes, np.repeat(np.arange(10), 4))
        for index, name in enumerate(CLASS_NAMES["cifar10"]):
            files = (cifar10_tree / split / name).iterdir()
            expected = {np.asarray(Image.open(file)).tobytes() for file in files}
            assert {image.tobytes() for image in pixels[classes == index]} == expected


def test_the_second_start_reads_no_image_and_takes_under_a_second(
    cifar10_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_images("cifar10")
    monkeypatch.setattr(datasets, "_read", lambda *_: pytest.fail("the images were read again"))
    started = time.perf_counter()
    again = load_images("cifar10")
    again.split("train")
    assert time.perf_counter() - started < 1
    assert again == first


def test_a_changed_tree_is_read_again(cifar10_tree: Path) -> None:
    first = load_images("cifar10").digest
    changed = np.zeros((32, 32, 3), dtype=np.uint8)
    Image.fromarray(changed).save(cifar10_tree / "train" / "cat" / "0000.png")
    again = load_images("cifar10")
    assert again.digest != first
    assert any(not image.any() for image in again.split("train")[0])


def test_the_same_images_in_another_order_give_the_same_arrays(own_home: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    classes = rng.integers(0, 10, 60).astype(np.uint8)
    arrays = []
    for name, order in (("tree", np.arange(60)), ("torchvision", rng.permutation(60))):
        folder = own_home / name
        one = pixels[order], classes[order]
        digest = datasets._write_arrays(folder, name, {"train": one, "test": one})
        images = datasets.ImageSet(folder, digest)
        arrays.append((digest, *images.split("train")))
    (digest_a, pixels_a, classes_a), (digest_b, pixels_b, classes_b) = arrays
    assert digest_a == digest_b
    assert np.array_equal(pixels_a, pixels_b)
    assert np.array_equal(classes_a, classes_b)
    assert np.array_equal(classes_a, np.sort(classes))


def test_torchvision_s_files_are_read_where_there_is_no_tree(
    cifar10_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_tree = load_images("cifar10")
    splits = {split: from_tree.split(split) for split in ("train", "test")}
    order = np.random.default_rng(0).permutation(40)

    class Shuffled:
        def __init__(self, root: Path, train: bool, download: bool) -> None:
            assert (root, download) == (cifar10_tree.parent, False)
            pixels, classes = splits["train" if train else "test"]
            self.data, self.targets = pixels[order], classes[order].tolist()

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Shuffled)
    shutil.rmtree(cifar10_tree)
    (cifar10_tree.parent / "cifar-10-batches-py").mkdir()
    from_files = load_images("cifar10")
    assert from_files.digest == from_tree.digest
    assert np.array_equal(from_files.split("train")[0], splits["train"][0])


def test_damaged_files_of_torchvision_are_refused_with_what_to_delete(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "data_batch_1").write_bytes(b"not what was downloaded")
    with pytest.raises(UserError, match="damaged") as caught:
        load_images("cifar10")
    assert f"Delete {folder}" in str(caught.value)


def test_prepared_images_stay_readable_when_their_source_is_gone(cifar10_tree: Path) -> None:
    assert prepared_images("cifar10") is None
    made = load_images("cifar10")
    assert prepared_images("cifar10") == made
    shutil.rmtree(cifar10_tree)
    assert prepared_images("cifar10") == made and not has_images("cifar10")
    (made.folder / "train_images.npy").write_bytes(b"cut")
    assert prepared_images("cifar10") is None


def test_examples_are_training_images_of_the_classes_asked_for(cifar10_tree: Path) -> None:
    def of(name: str) -> set[bytes]:
        files = (cifar10_tree / "train" / name).iterdir()
        return {np.asarray(Image.open(file)).tobytes() for file in files}

    names = ("dog", "cat", "truck")
    from_the_tree = example_images("cifar10", names)
    load_images("cifar10")
    prepared = example_images("cifar10", names)
    for images in (from_the_tree, prepared):
        assert images is not None and images.shape == (3, 32, 32, 3)
        assert all(image.tobytes() in of(name) for image, name in zip(images, names, strict=True))


def test_there_are_no_examples_where_they_would_take_time(own_home: Path) -> None:
    assert example_images("cifar100", ["apple"]) is None
    assert example_images("digits", ["1"]) is None
    load_images("digits")
    assert example_images("digits", ["1"]) is not None


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_without_internet_the_message_names_both_other_ways(
    dataset: str, no_internet: None, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    assert not has_images(dataset)
    with pytest.raises(UserError) as caught:
        load_images(dataset)
    message = str(caught.value)
    assert "no Internet" in message
    assert f"{tmp_path / 'data' / dataset}/train/<class>" in message
    assert str(tmp_path / "data" / datasets._TORCHVISION_FOLDERS[dataset]) in message
    assert "STG_DATA" in message


def test_without_internet_and_without_a_data_folder_the_message_is_the_same(
    no_internet: None,
) -> None:
    with pytest.raises(UserError, match="no Internet"):
        load_images("cifar10")


def broken(tree: Path, how: str) -> Path:
    """Breaks the tree, and returns the path that the message has to name."""
    image, folder = tree / "test" / "frog" / "0002.png", tree / "test" / "frog"
    if how == "split missing":
        shutil.rmtree(tree / "test")
        return tree / "test"
    if how == "class missing":
        shutil.rmtree(folder)
        return folder
    if how == "class empty":
        shutil.rmtree(folder)
        folder.mkdir()
        return folder
    if how == "fewer images in a class":
        image.unlink()
        return folder
    if how == "unknown class":
        (tree / "test" / "unicorn").mkdir()
        return tree / "test" / "unicorn"
    if how == "not an image":
        image.write_text("<html>404</html>")
    elif how == "cut off":
        image.write_bytes(image.read_bytes()[:1000])
    elif how == "empty file":
        image.write_bytes(b"")
    elif how == "wrong size":
        Image.new("RGB", (31, 32)).save(image)
    return image


@pytest.mark.parametrize(
    "how",
    [
        "split missing",
        "class missing",
        "class empty",
        "fewer images in a class",
        "unknown class",
        "not an image",
        "cut off",
        "empty file",
        "wrong size",
    ],
)
def test_a_broken_or_partial_tree_is_refused_with_the_file_s_name(
    how: str, cifar10_tree: Path, own_home: Path
) -> None:
    path = broken(cifar10_tree, how)
    with pytest.raises(UserError) as caught:
        load_images("cifar10")
    assert str(path) in str(caught.value)
    assert not (own_home / "datasets" / "cifar10").exists()


def test_a_wrong_size_is_told_with_both_sizes(cifar10_tree: Path) -> None:
    broken(cifar10_tree, "wrong size")
    with pytest.raises(UserError, match="31×32 pixels and should be 32×32"):
        load_images("cifar10")


def test_a_tree_mended_after_a_refusal_is_read(cifar10_tree: Path) -> None:
    path = broken(cifar10_tree, "not an image")
    with pytest.raises(UserError):
        load_images("cifar10")
    Image.new("RGB", (32, 32)).save(path)
    assert len(load_images("cifar10").split("test")[0]) == 40


def test_grey_and_hidden_files_do_no_harm(cifar10_tree: Path) -> None:
    Image.new("L", (32, 32), 77).save(cifar10_tree / "train" / "cat" / "0001.png")
    (cifar10_tree / "train" / ".DS_Store").write_bytes(b"x")
    (cifar10_tree / "train" / "cat" / ".DS_Store").write_bytes(b"x")
    assert len(load_images("cifar10").split("train")[0]) == 40


LITTER = ("Thumbs.db", "desktop.ini", ".DS_Store", "._0001.png", "0001.png~", "ehthumbs.db")


def test_what_operating_systems_leave_in_a_tree_does_no_harm(cifar10_tree: Path) -> None:
    clean = load_images("cifar10")
    for name in LITTER:
        (cifar10_tree / "test" / "cat" / name).write_bytes(b"x")
        (cifar10_tree / "train" / name).write_bytes(b"x")
        (cifar10_tree / name).write_bytes(b"x")
    for folder in ("__MACOSX", "@eaDir", ".AppleDouble", "$RECYCLE.BIN"):
        for place in (cifar10_tree, cifar10_tree / "train", cifar10_tree / "train" / "dog"):
            (place / folder).mkdir()
            (place / folder / "0001.png").write_bytes(b"x")
    assert load_images("cifar10") == clean, "it is not even prepared anew"
    assert example_images("cifar10", ["cat", "dog"]) is not None


def test_pictures_of_a_tree_with_litter_are_those_of_its_images(cifar10_tree: Path) -> None:
    before = example_images("cifar10", ["cat", "dog"])
    (cifar10_tree / "train" / "cat" / ".DS_Store").write_bytes(b"x")
    (cifar10_tree / "train" / "dog" / "Thumbs.db").write_bytes(b"x")
    after = example_images("cifar10", ["cat", "dog"])
    assert before is not None and after is not None
    assert np.array_equal(after, before)


def test_a_picture_that_cannot_be_shown_is_named(cifar10_tree: Path) -> None:
    first = min((cifar10_tree / "train" / "cat").iterdir())
    first.write_bytes(b"not an image")
    with pytest.raises(UserError, match=f"{first.name} cannot be read as an image"):
        example_images("cifar10", ["cat"])


def test_one_class_that_is_short_is_named_and_not_the_others(cifar10_tree: Path) -> None:
    min((cifar10_tree / "train" / "cat").iterdir()).unlink()
    with pytest.raises(UserError, match=r"train/cat has 3 images where other classes have 4"):
        load_images("cifar10")


def test_one_class_with_too_many_is_named_and_not_the_others(cifar10_tree: Path) -> None:
    Image.new("RGB", (32, 32)).save(cifar10_tree / "train" / "cat" / "once-more.png")
    with pytest.raises(UserError, match=r"train/cat has 5 images .* 4: some are too many"):
        load_images("cifar10")


def test_classes_of_unequal_size_are_no_damage_in_a_tree_of_one_s_own(
    tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(datasets.CLASS_NAMES, "mine", ("cups", "pots"))
    for split in ("train", "test"):
        for name, count in (("cups", 3), ("pots", 1)):
            folder = tmp_path / "data" / "mine" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (32, 32), (i, 9, 9)).save(folder / f"{i}.png")
    assert load_images("mine").split("train")[1].tolist() == [0, 0, 0, 1]


def test_an_interrupted_preparation_is_started_again(cifar10_tree: Path, own_home: Path) -> None:
    remains = own_home / "datasets" / "cifar10.part"
    remains.mkdir(parents=True)
    (remains / "train_images.npy").write_bytes(b"half an array")
    load_images("cifar10")
    assert not remains.exists()


def test_an_index_that_is_not_readable_is_made_again(cifar10_tree: Path, own_home: Path) -> None:
    first = load_images("cifar10")
    (own_home / "datasets" / "cifar10" / "source.json").write_text("{")
    assert load_images("cifar10") == first


@pytest.mark.parametrize("name", ["train_images.npy", "test_classes.npy"])
@pytest.mark.parametrize("how", ["gone", "cut off"])
def test_a_prepared_array_that_is_damaged_is_made_again(how: str, name: str) -> None:
    array = load_images("digits").folder / name
    if how == "gone":
        array.unlink()
    else:
        array.write_bytes(array.read_bytes()[:-100])
    images = load_images("digits")
    assert len(images.split("train")[0]) + len(images.split("test")[1]) == 1797


def test_reading_a_tree_tells_its_progress(tmp_path: Path) -> None:
    write_tree(tmp_path / "data" / "cifar100", per_class=5, dataset="cifar100")
    told: list[tuple[str, float]] = []
    load_images("cifar100", lambda what, share: told.append((what, share)))
    assert told == [("Reading the images of cifar100", 1.0)]


def test_a_download_tells_its_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import utils

    told: list[tuple[str, float]] = []
    shown = utils.tqdm
    with (
        datasets._download_progress("cifar10", lambda what, share: told.append((what, share))),
        utils.tqdm(total=4, disable=False, file=open("/dev/null", "w")) as bar,
    ):
        bar.update(1)
        bar.update(3)
    assert told == [("Downloading cifar10", 0.25), ("Downloading cifar10", 1.0)]
    assert utils.tqdm is shown


def test_the_digest_names_the_pixels_whatever_the_source(own_home: Path) -> None:
    digest = load_images("digits").digest
    made = json.loads((own_home / "datasets" / "digits" / "source.json").read_text())
    assert (made["source"], made["digest"]) == ("scikit-learn", digest)
