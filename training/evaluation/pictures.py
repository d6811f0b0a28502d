"""Which pictures are scored, and what is true of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edge_app.domain import Box, Image, MaskState
from edge_app.errors import DatasetError, UsageError
from edge_app.vision.bundle import Card
from edge_app.vision.detector import Detector
from training.data.boxes import Found, central_square, detect_boxes, labelled_faces
from training.data.groups import Fingerprint, fingerprint, group_pictures
from training.data.pictures import read_picture
from training.data.readers import (
    Dataset,
    Kind,
    LabelledBox,
    Problem,
    Sample,
    Severity,
    read_dataset,
    settle,
)
from training.data.samples import all_lost
from training.data.splits import Split, assign_splits, read_splits
from training.metrics import Truths

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 10.0
"""How often a long run says where it is."""

SPLITS_FILE = "splits.json"
"""Looked for beside the data sets when the test split is wanted and no file is named."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The pictures of one data set that are scored."""

    name: str
    kind: Kind
    samples: tuple[Sample, ...]
    pictures_in_all: int

    @property
    def has_boxes(self) -> bool:
        """Whether people drew boxes around the faces."""
        return self.kind in (Kind.VOC, Kind.YOLO)


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A decoded picture and its checked faces; boxes are None in class folders."""

    sample: Sample
    image: Image
    faces: tuple[LabelledBox, ...]

    @property
    def states(self) -> list[MaskState]:
        """The state of each face."""
        return [face.label for face in self.faces]

    def truths(self) -> Truths:
        """The hand-made boxes in pixels of the picture."""
        boxes = [face.box.as_tuple() for face in self.faces if face.box is not None]
        return Truths(
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array([face.difficult for face in self.faces if face.box is not None], bool),
        )


@dataclass(slots=True)
class Picker:
    """Chooses pictures of data sets by split and opens them; collects every problem.

    Attributes:
        listed: Test pictures named by a splits file; None: all pictures are scored. A data
            set that the file does not mention is divided by ``prepare``'s rule, its
            near-duplicates in ``beside`` and the listed pictures included.
        seed: Seed of that division.
        randomly: Data sets that a judged model saw divided by ``prepare --random-split``
            (:func:`randomly_divided`): their test pictures are those of that division.
        stored: Test pictures of a prepared store by data set; these are not divided again,
            and of them only the listed ones are scored where ``listed`` mentions the data set.
        beside: The data sets that an unlisted one is divided together with.
        problems: Whatever could not be used, or only after a stated change.
    """

    listed: frozenset[str] | None
    seed: int = 0
    randomly: frozenset[str] = frozenset()
    stored: Mapping[str, frozenset[str]] = field(default_factory=dict)
    beside: Mapping[str, tuple[Dataset, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    _prints: dict[str, list[tuple[str, Fingerprint]]] = field(default_factory=dict)

    def choose(self, root: Path, kind: Kind | None = None) -> Chosen:
        """The pictures of one data set that are scored.

        Raises:
            DatasetError: The data set cannot be read, or none of its pictures is chosen.
        """
        dataset = read_dataset(root, kind)
        self.problems += dataset.problems
        samples = dataset.samples
        if self.listed is not None:
            samples = self._test(dataset, self.listed)
            if not samples:
                raise DatasetError(f"{root}: none of its pictures is in the test split")
        log.info("%s: %d of %d pictures", dataset.name, len(samples), len(dataset.samples))
        return Chosen(dataset.name, dataset.kind, samples, len(dataset.samples))

    def open(self, samples: Sequence[Sample]) -> Iterator[Opened]:
        """Decode pictures and check their boxes; unusable ones are left out and reported."""
        said = time.monotonic()
        for number, sample in enumerate(samples):
            if time.monotonic() - said > PROGRESS_SECONDS:
                said = time.monotonic()
                log.info("%s: %d of %d pictures", sample.dataset, number, len(samples))
            try:
                image = read_picture(sample.path).image
            except DatasetError as error:
                self.problems.append(Problem(sample.file, f"{error}; skipped"))
                continue
            faces, problems = settle(sample, image.shape[1], image.shape[0])
            self.problems += problems
            if sample.annotations and not faces:
                self.problems.append(all_lost(sample.file))
                continue
            yield Opened(sample, image, tuple(faces))

    def _listed(self, dataset: Dataset, wanted: set[str]) -> tuple[Sample, ...]:
        samples = tuple(sample for sample in dataset.samples if sample.file in wanted)
        for name in sorted(wanted - {sample.file for sample in samples}):
            self.problems.append(Problem(name, "listed as a test picture, but not there"))
        return samples

    def _test(self, dataset: Dataset, listed: frozenset[str]) -> tuple[Sample, ...]:
        mine = {name for name in listed if name.startswith(f"{dataset.name}/")}
        if dataset.name in self.stored:
            stored = set(self.stored[dataset.name])
            return self._listed(dataset, stored & mine if mine else stored)
        if dataset.name in self.randomly:
            files = [sample.file for sample in dataset.samples]
            return self._drawn(dataset, files, files, frozenset())
        if mine:
            return self._listed(dataset, mine)
        found = [item for one in self.beside.get(dataset.name, ()) for item in self._marks(one)]
        found += self._marks(dataset)
        files = [file for file, _ in found]
        groups = group_pictures(files, [mark for _, mark in found])
        return self._drawn(dataset, files, groups, listed)

    def _drawn(
        self, dataset: Dataset, files: list[str], groups: list[str], listed: frozenset[str]
    ) -> tuple[Sample, ...]:
        splits = assign_splits(files, groups, listed, 0.0, self.seed)
        test = {file for file, split in zip(files, splits, strict=True) if split is Split.TEST}
        return tuple(sample for sample in dataset.samples if sample.file in test)

    def _marks(self, dataset: Dataset) -> list[tuple[str, Fingerprint]]:
        """The usable pictures of a data set with their fingerprints."""
        if dataset.name not in self._prints:
            # Problems met here are met again, and reported, when the chosen pictures are opened.
            opened = Picker(None).open(dataset.samples)
            self._prints[dataset.name] = [(o.sample.file, fingerprint(o.image)) for o in opened]
        return self._prints[dataset.name]


def randomly_divided(*cards: Card) -> frozenset[str]:
    """Data sets that one of the models was trained on after ``prepare --random-split``."""
    found: set[str] = set()
    for card in cards:
        made = (card.raw or {}).get("training") or {}
        if (made.get("prepare_arguments") or {}).get("random_split"):
            found |= set(made["data"])
    return frozenset(found)


def require_distinct(chosen: Sequence[Chosen]) -> None:
    """Raise UsageError if two data sets have one name."""
    names = [dataset.name for dataset in chosen]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"two data sets are named {name!r}; rename one of the folders")


@dataclass(frozen=True, slots=True)
class FaceFinder:
    """Says where the face is that a class folder's label is about, as ``prepare`` does.

    Attributes:
        boxes: Machine-made boxes by picture name; None when no file was given.
        detector: Asked for pictures that ``boxes`` does not hold.
    """

    boxes: Mapping[str, Sequence[Found]] | None
    detector: Detector | None

    def find(self, opened: Opened, label: MaskState) -> tuple[Box, str]:
        """The face's box and who found it: ``teacher``, ``detector`` or ``whole``."""
        height, width = opened.image.shape[:2]
        found = (self.boxes or {}).get(opened.sample.file, ())
        if found:
            face = labelled_faces(label, found, "teacher", width, height)[0]
        elif self.detector is not None:
            found = detect_boxes(self.detector, opened.image)
            face = labelled_faces(label, found, "detector", width, height)[0]
        elif self.boxes is not None:
            face = labelled_faces(label, (), "teacher", width, height)[0]
        else:
            face = central_square(label, width, height)
        return face.box, face.origin


class Grouper:
    """Collects fingerprints while pictures are open, then names each picture's group."""

    def __init__(self) -> None:
        self._prints: dict[str, Fingerprint] = {}

    def add(self, opened: Opened) -> None:
        """Remember one picture."""
        self._prints[opened.sample.file] = fingerprint(opened.image)

    def groups(self) -> dict[str, str]:
        """Picture name -> name of its group of near-duplicates."""
        files = list(self._prints)
        return dict(zip(files, group_pictures(files, list(self._prints.values())), strict=True))


def listed_pictures(
    split: str | None, splits: Path | None, roots: Iterable[Path], prepared: Path | None = None
) -> frozenset[str] | None:
    """The listed test pictures, or None when all pictures are wanted.

    Args:
        split: ``test``, ``all``, or None: ``test`` when a splits file or a store is named.
        splits: The splits file; None: the one beside the first data set, if there is no store.
        roots: The data sets.
        prepared: The store that says what is test; a file then lists that of other data sets.

    Raises:
        UsageError: The test split is wanted, but there is no file that says what it is.
        DatasetError: The file cannot be used.
    """
    if split == "all" or (split is None and splits is None and prepared is None):
        return None
    if splits is None:
        if prepared is not None:
            return frozenset()
        splits = next(iter(roots)).resolve().parent / SPLITS_FILE
        if not splits.is_file():
            raise UsageError(
                f"--split test: no {SPLITS_FILE} beside the data set: give --splits FILE"
            )
    return read_splits(splits)


def note(file: str, reason: str) -> Problem:
    """A problem after which things were used all the same."""
    return Problem(file, reason, Severity.NOTE)
