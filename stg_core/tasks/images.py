"""Images and class labels, as memory-mapped uint8 arrays.

The images of a data set may come from a folder tree or from the archives that torchvision reads;
both hold the same pixels in another order. They are kept in one canonical order (by class, then by
a digest of the pixels), so that point 4711 is the same image on every machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from stg_core.system.errors import UserError
from stg_core.system.extras import of_extra
from stg_core.system.home import data_folder, home
from stg_core.system.litter import is_litter

Progress = Callable[[str, float], None]
Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]
SIDE = 32

CLASS_NAMES: Mapping[str, tuple[str, ...]] = {
    "digits": tuple("0123456789"),
    "cifar10": tuple("airplane automobile bird cat deer dog frog horse ship truck".split()),
    "cifar100": tuple(
        """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
        butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
        crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
        keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
        mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain
        plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
        skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone
        television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman
        worm""".split()
    ),
}

# What people call them; any other goes by its own name.
DATASET_TITLES: Mapping[str, str] = {
    "digits": "handwritten digits",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
}

# training images, test images, height, width, channels
IMAGE_COUNTS_AND_SHAPES: Mapping[str, tuple[int, int, int, int, int]] = {
    "digits": (1_437, 360, 8, 8, 1),
    "cifar10": (50_000, 10_000, SIDE, SIDE, 3),
    "cifar100": (50_000, 10_000, SIDE, SIDE, 3),
}


@dataclass(frozen=True)
class ImageSet:
    """One data set on this machine: a folder of arrays, and the digest of their pixels."""

    folder: Path
    digest: str

    def split(self, split: str) -> Arrays:
        """Images (N, H, W, C) uint8, memory-mapped, and their class indices (N,) uint8."""
        images = np.load(self.folder / f"{split}_images.npy", mmap_mode="r", allow_pickle=False)
        classes = np.load(self.folder / f"{split}_classes.npy", allow_pickle=False)
        return images, classes


def load_images(dataset: str, progress: Progress | None = None) -> ImageSet:
    """The images of a data set: prepared before, or from the first source that has them.

    The sources, in this order: a tree `$STG_DATA/<dataset>/{train,test}/<class>/*`, the files of
    torchvision under `$STG_DATA`, torchvision's download. Progress is told as (what, share done).
    Raises UserError for a damaged or partial source, naming the file, and where there is none.
    """
    report = progress or (lambda what, share: None)
    folder = home() / "datasets" / dataset
    source = _source_of(dataset)
    if (prepared := _prepared(folder, source)) is not None:
        return prepared
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if (prepared := _prepared(folder, source)) is not None:
            return prepared
        digest = _write_arrays(folder, source, _read(dataset, report))
    return ImageSet(folder, digest)


def has_images(dataset: str) -> bool:
    """Whether the images are on this machine, so that nothing need be downloaded."""
    return dataset == "digits" or _tree(dataset).is_dir() or _has_archive(dataset)


def prepared_images(dataset: str) -> ImageSet | None:
    """What `load_images` has prepared before, at once: it does not look at the source again."""
    return _prepared(home() / "datasets" / dataset)


def example_images(dataset: str, classes: Sequence[str]) -> NDArray[np.uint8] | None:
    """A training image of each of some classes, (n, H, W, C), at once; None where that cannot be.

    From what `load_images` has prepared, or else from a tree: other sources take their time. Raises
    UserError for a tree in which one of them is missing or damaged.
    """
    if prepared := prepared_images(dataset):
        images, found = prepared.split("train")
        firsts = np.searchsorted(found, [CLASS_NAMES[dataset].index(name) for name in classes])
        return np.array(images[firsts])
    folders = [_tree(dataset) / "train" / name for name in classes]
    if not _tree(dataset).is_dir():
        return None
    paths = [min(_files_in(folder), default=folder / "…") for folder in folders]
    return np.stack([_read_image(path) for path in paths])


def where_images_belong(dataset: str) -> str:
    """How to put the images of a data set where they are found, in a sentence or two."""
    found = f"{_tree(dataset)}/train/<class>/*.png and …/test/<class>/*.png"
    if archive := _TORCHVISION_FOLDERS.get(dataset):
        archived = data_folder() / archive
        found += f", or unpack torchvision's archive there, so that {archived} exists"
    return f"Put a folder tree there, {found}. STG_DATA names another folder."


def _source_of(dataset: str) -> str:
    """What identifies the present source: it changes when a file of the source does."""
    if dataset == "digits":
        return "scikit-learn"
    tree = _tree(dataset)
    if tree.is_dir():
        stamp = hashlib.blake2b(digest_size=16)
        for folder, _, files in sorted(_walk(tree)):
            with os.scandir(folder) as entries:
                kept = {name for name in files if not is_litter(name)}
                stats = sorted((e.name, e.stat()) for e in entries if e.name in kept)
            stamp.update(repr([(folder, n, s.st_size, s.st_mtime_ns) for n, s in stats]).encode())
        return f"tree {stamp.hexdigest()}"
    return f"torchvision {data_folder()}" if _has_archive(dataset) else "download"


def _walk(tree: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`, without the folders that an operating system made."""
    for folder, folders, files in os.walk(tree):
        folders[:] = [name for name in folders if not is_litter(name)]
        yield folder, folders, files


def _tree(dataset: str) -> Path:
    return data_folder() / dataset


def _has_archive(dataset: str) -> bool:
    archive = _TORCHVISION_FOLDERS.get(dataset)
    return archive is not None and (data_folder() / archive).is_dir()


def _prepared(folder: Path, source: str | None = None) -> ImageSet | None:
    """The whole arrays in a folder; with a source, only if they were made from it."""
    try:
        made = json.loads((folder / "source.json").read_text())
        whole = {p.name: p.stat().st_size for p in folder.glob("*.npy")} == made["bytes"]
        wanted = source in (None, made["source"])
        return ImageSet(folder, made["digest"]) if whole and wanted else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(dataset: str, report: Progress) -> dict[str, Arrays]:
    if dataset == "digits":
        return _read_digits()
    tree = _tree(dataset)
    if tree.is_dir():
        alike = dataset in _TORCHVISION_FOLDERS  # of another one's classes any size is whole
        return _read_tree(tree, CLASS_NAMES[dataset], alike, report)
    if dataset not in _TORCHVISION_FOLDERS:
        raise UserError(
            f"Put the images of {dataset} in {tree}/train/<class>/ and …/test/<class>/."
        )
    return _read_torchvision(dataset, report)


def _write_arrays(folder: Path, source: str, splits: dict[str, Arrays]) -> str:
    """Writes both splits in canonical order under a temporary name, then renames the folder."""
    temporary = folder.with_name(folder.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    whole = hashlib.blake2b(digest_size=16)
    for split, (images, classes) in splits.items():
        digests = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
        order = sorted(range(len(images)), key=lambda i: (classes[i], digests[i]))
        for i in order:
            whole.update(digests[i])
        np.save(temporary / f"{split}_images.npy", images[order])
        np.save(temporary / f"{split}_classes.npy", classes[order])
    made = {
        "source": source if source != "download" else _source_of(folder.name),
        "digest": whole.hexdigest(),
        "bytes": {path.name: path.stat().st_size for path in temporary.glob("*.npy")},
    }
    (temporary / "source.json").write_text(json.dumps(made))
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    return whole.hexdigest()


# --------------------------------------------------------------------------- scikit-learn's digits


def _read_digits() -> dict[str, Arrays]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, classes = load_digits(return_X_y=True)
    images = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    train, test = train_test_split(
        np.arange(len(images)), test_size=0.2, random_state=0, stratify=classes
    )
    return {
        "train": (images[train], classes[train].astype(np.uint8)),
        "test": (images[test], classes[test].astype(np.uint8)),
    }


# --------------------------------------------------------------------------------- a tree of files


def _read_tree(
    tree: Path, classes: tuple[str, ...], alike: bool, report: Progress
) -> dict[str, Arrays]:
    listed = {split: _listed_files(tree / split, classes, alike) for split in ("train", "test")}
    total = sum(len(paths) for paths, _ in listed.values())
    splits: dict[str, Arrays] = {}
    done = 0
    for split, (paths, indices) in listed.items():
        images = np.empty((len(paths), SIDE, SIDE, 3), dtype=np.uint8)
        with ThreadPoolExecutor() as pool:
            for i, image in enumerate(pool.map(_read_image, paths)):
                images[i] = image
                done += 1
                if done % 1000 == 0:
                    report(f"Reading the images of {tree.name}", done / total)
        splits[split] = images, indices
    return splits


def _listed_files(
    folder: Path, classes: tuple[str, ...], alike: bool
) -> tuple[list[Path], NDArray[np.uint8]]:
    """The images of a split, and their class indices; alike: whether classes have one size."""
    if not folder.is_dir():
        raise UserError(
            f"The folder {folder} is missing: copy the data set again, with both splits."
        )
    files = {}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not is_litter(entry.name):
            if entry.name not in classes:
                raise UserError(f"{entry} is not a class of this data set: move that folder away.")
            files[entry.name] = sorted(_files_in(entry))
    counts = {name: len(files.get(name, ())) for name in classes}
    usual = statistics.multimode(counts.values())[-1]
    for name, count in counts.items():
        if count == 0:
            raise UserError(
                f"The class folder {folder / name} has no images: the copy is not complete. Copy"
                " the data set again."
            )
        if alike and count != usual:
            what = "the copy is not complete" if count < usual else "some are too many"
            raise UserError(
                f"The class folder {folder / name} has {count:,} images where other classes have"
                f" {usual:,}: {what}. Copy the data set again."
            )
    paths = [path for name in classes for path in files[name]]
    indices = np.repeat(np.arange(len(classes)), [len(files[name]) for name in classes])
    return paths, indices.astype(np.uint8)


def _files_in(folder: Path) -> list[Path]:
    """What a class folder holds, but for what an operating system left there."""
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_file() and not is_litter(path.name)]


def _read_image(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as an image ({error}). Replace it, or move it away if it is"
            " none."
        ) from error
    if pixels.shape != (SIDE, SIDE, 3):
        height, width = pixels.shape[:2]
        raise UserError(
            f"{path} is {width}×{height} pixels and should be {SIDE}×{SIDE}. Replace it."
        )
    return pixels


# ------------------------------------------------------------------------------ torchvision's files

_TORCHVISION_FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}


def _read_torchvision(dataset: str, report: Progress) -> dict[str, Arrays]:
    """Through torchvision's own reader, which verifies every file's checksum before it opens it."""
    with of_extra("train"):
        from torchvision import datasets as torchvision_datasets

    reader = {
        "cifar10": torchvision_datasets.CIFAR10,
        "cifar100": torchvision_datasets.CIFAR100,
    }[dataset]
    root = data_folder()
    present = (root / _TORCHVISION_FOLDERS[dataset]).is_dir()
    splits: dict[str, Arrays] = {}
    for split in ("train", "test"):
        try:
            with _download_progress(dataset, report):
                found = reader(root, train=split == "train", download=not present)
        except RuntimeError as error:
            raise UserError(
                f"torchvision's files of {dataset} in {root} are incomplete or damaged ({error})"
                f" Delete {root / _TORCHVISION_FOLDERS[dataset]} and what remains of the archive,"
                " and start again."
            ) from error
        except OSError as error:
            raise UserError(_how_to_get(dataset, error)) from error
        present = True
        splits[split] = found.data, np.asarray(found.targets, dtype=np.uint8)
    return splits


def _how_to_get(dataset: str, error: OSError) -> str:
    return (
        f"The images of {dataset} are not in {data_folder()}, and there is no Internet connection"
        f" to download them ({error}). {where_images_belong(dataset)}"
    )


@contextmanager
def _download_progress(dataset: str, report: Progress) -> Iterator[None]:
    """Passes on what torchvision shows as a bar on a terminal: it has no hook for progress."""
    from torchvision.datasets import utils

    shown = utils.tqdm

    class Told(shown):  # type: ignore[valid-type, misc]
        def update(self, n: float | None = 1) -> Any:
            result = super().update(n)
            report(f"Downloading {dataset}", self.n / self.total if self.total else 0.0)
            return result

    utils.tqdm = Told
    try:
        yield
    finally:
        utils.tqdm = shown
