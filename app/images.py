"""Training points as pictures: the chosen ones are read, and the whole set is never in memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.words import plain
from stg_core.maps.summary import TaskMap
from stg_core.results.run import Run
from stg_core.system.errors import UserError
from stg_core.system.guard import environment
from stg_core.system.home import data_folder, home
from stg_core.tasks.data import sampled_points
from stg_core.tasks.datasets import DataSet, data_set_of
from stg_core.tasks.groups import Split, upside_down
from stg_core.tasks.images import (
    CLASS_NAMES,
    DATASET_TITLES,
    has_images,
    prepared_images,
    where_images_belong,
)

SIDE, MARGIN = 96, 4  # pixels of the screen
POLL = 1.0  # seconds

# Reading a tree of 60,000 files takes a while, and torchvision's files need torch.
PREPARE = """
import sys
from stg_core.tasks.images import load_images
from stg_core.system.errors import UserError
from stg_core.system.guard import end_with_parent
end_with_parent()
try:
    load_images(sys.argv[1])
except UserError as error:
    sys.exit(str(error))
"""


@dataclass(frozen=True)
class RunImages:
    """The training or test images of a run, in the order of its points, as the model sees them.

    pixels   of the whole data set, memory-mapped uint8, (images, H, W, C)
    points   which image each point is, (N,)
    turned   which images are upside down, (N,)
    classes  class indices, (N,), and names, of CIFAR's and the digits
    own      the data set of one's own that they are of
    split    which of them they are
    """

    pixels: NDArray[np.uint8]
    points: NDArray[np.int64]
    turned: NDArray[np.bool_]
    classes: NDArray[np.uint8] | None = None
    names: tuple[str, ...] = ()
    own: DataSet | None = None
    split: Split = "train"

    def image(self, index: int) -> NDArray[np.uint8]:
        """One image, (H, W, C)."""
        return np.array(self.pixels[self.points[index]])[:: -1 if self.turned[index] else 1]

    def enlarged(self, index: int) -> NDArray[np.uint8]:
        """One image for the screen, as RGBA."""
        return enlarged(self.image(index))

    def name(self, index: int) -> str:
        """What people call a point: its class, or the text or id that it was added with."""
        if self.own is not None:
            about = self.own.about([int(self.points[index])], self.split)[0]
            return about.get("text") or about["id"]
        assert self.classes is not None
        return self.names[self.classes[index]]

    def called(self, index: int) -> str:
        """The same as a sentence says it: "class bird", or what its owner calls the point."""
        return self.name(index) if self.own else f"class {self.name(index)}"


def enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image as RGBA, with whole pixels of the screen for each of its own, and a margin."""
    times = max(round(SIDE / len(image)), 1)
    shape = (*image.shape[:2], 3)
    rgb = np.broadcast_to(as_picture(image), shape).repeat(times, 0).repeat(times, 1)
    opaque = np.full((*rgb.shape[:2], 1), 255, dtype=np.uint8)
    margin = ((0, 0), (MARGIN, MARGIN), (0, 0))
    return np.pad(np.concatenate([rgb, opaque], axis=-1), margin)


def as_picture(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image of 1 to 4 channels (H, W, C) as one of 1 or 3, for the screen."""
    return image[..., :3] if image.shape[-1] >= 3 else image[..., :1]


def images_of(run: Run, split: Split = "train") -> RunImages | None:
    """The images of a run, or the test ones; None while another process prepares them.

    Nothing is downloaded. Raises UserError where they are not on this machine, cannot be read, or
    are not those that the run was trained on.
    """
    group = run.spec.group
    if group.is_own:
        return own_images(run, split)
    called = DATASET_TITLES.get(group.dataset, group.dataset)
    wanted = run.provenance.get("images")
    found = prepared_images(group.dataset)
    if not found or found.digest != wanted:
        if not has_images(group.dataset):
            raise UserError(
                f"The images of {called} are not on this machine: not in {data_folder()}."
                f" {where_images_belong(group.dataset)} Or train any run on {called}: that"
                " downloads them."
            )
        preparation = _preparation(group.dataset, str(home()), str(data_folder()))
        if preparation.going_on:
            return None
        if preparation.problem:
            raise UserError(preparation.problem)
        found = prepared_images(group.dataset)
    if not found or found.digest != wanted:
        raise UserError(
            f"The images of {called} on this machine are not those that this run was"
            " trained on, so its points cannot be shown."
        )
    pixels, classes = found.split(split)
    turned = upside_down(len(classes), split) & group.flips_images
    points = points_of(run, len(classes), split)
    names = CLASS_NAMES[group.dataset]
    return RunImages(pixels, points, turned[points], classes[points], names, split=split)


def own_images(run: Run, split: Split = "train") -> RunImages:
    """Those of a data set of one's own; UserError where it is not on this machine."""
    found = data_set_of(run.spec.group)
    pixels, _ = found.split(split)
    points = points_of(run, len(pixels), split)
    turned = np.zeros(len(points), dtype=bool)
    return RunImages(pixels, points, turned, own=found, split=split)


def points_of(run: Run, there: int, split: Split) -> NDArray[np.int64]:
    """Which of the points of a split are a run's: of the training ones those that it trained on."""
    return sampled_points(there, run.spec.training_images if split == "train" else 0)


def look_again() -> None:
    """Forgets how earlier preparations ended: what kept them may have been mended."""
    _preparation.clear()


class Preparation:
    """Another process that prepares the images of a data set, once for all visitors."""

    def __init__(self, dataset: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PREPARE, dataset],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def going_on(self) -> bool:
        return self._process.poll() is None

    @cached_property
    def problem(self) -> str:
        """What kept it from its end; empty where nothing did."""
        said = self._process.communicate()[1].strip()
        return said.splitlines()[-1] if self._process.returncode else ""


@st.cache_resource(show_spinner=False)
def _preparation(dataset: str, home: str, data: str) -> Preparation:
    return Preparation(dataset)


class Pictured(Protocol):
    """Points that are images, as far as a grid of them needs to know."""

    def enlarged(self, index: int) -> NDArray[np.uint8]: ...

    def name(self, index: int) -> str: ...

    def called(self, index: int) -> str: ...


def show_images(
    images: Pictured,
    found: TaskMap,
    positions: NDArray[np.int64],
    labels: Sequence[str] | None = None,
) -> None:
    """A grid of points of a data map: class and label, confidence ± variability, index.

    labels: of these points, by default positive or negative.
    """
    captions, texts = [], []
    for i, p in enumerate(positions):
        index, label = int(found.indices[p]), "positive" if found.positive[p] else "negative"
        label = labels[i] if labels else label
        shown = f"{found.confidence[p]:.2f} ± {found.variability[p]:.2f}"
        name = images.name(index)
        captions.append(f"**{plain(name)}**  \n{label}  \n{shown}  \n#{index}")
        texts.append(
            f"Training point {index}, an image of {images.called(index)}, {label}:"
            f" confidence {found.confidence[p]:.2f}, variability {found.variability[p]:.2f}"
        )
    st.image(
        [images.enlarged(int(index)) for index in found.indices[positions]],
        caption=captions,
        alt=texts,
        width=SIDE + 2 * MARGIN,
    )


def wait_for_images(run: Run) -> None:
    """Says that the images are being prepared, and draws the page again when they are."""
    st.fragment(_wait, run_every=POLL)(run)


def _wait(run: Run) -> None:
    dataset = run.spec.group.dataset
    called = DATASET_TITLES.get(dataset, dataset)
    st.status(f"Preparing the images of {called}: once on this machine, about a minute.")
    _look(dataset)


def draw_again_when_prepared(run: Run) -> None:
    """The same without a word, where nothing on the page waits for them."""
    st.fragment(_look, run_every=POLL)(run.spec.group.dataset)


def _look(dataset: str) -> None:
    if not _preparation(dataset, str(home()), str(data_folder())).going_on:
        st.rerun()
