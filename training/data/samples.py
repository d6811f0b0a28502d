"""What a data set says: pictures, the faces on them, and everything that is wrong."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from pathlib import Path

from edge_app.domain import Box, MaskState

PICTURE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
"""File name endings (lower case) that count as pictures."""

CLIP_TOLERANCE = 0.01
"""Pixels that a box may stick out without a word: rounding in YOLO's six decimals."""


class Kind(enum.StrEnum):
    """How a data set is laid out on disk."""

    CLASS_FOLDERS = "class_folders"
    VOC = "voc"
    YOLO = "yolo"
    NEGATIVES = "negatives"


class Severity(enum.StrEnum):
    """``ERROR``: something was skipped. ``NOTE``: it was used, after a stated change."""

    ERROR = "error"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a data set.

    ``file`` starts with the data set's name and uses forward slashes.
    """

    file: str
    reason: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Annotation:
    """What a data set says about one face, before the picture's size is known.

    Attributes:
        label: How the mask is worn.
        box: x0, y0, x1, y1; None in class folders, which only say what a picture shows.
        relative: The box is in fractions of width and height (YOLO), not in pixels.
        difficult: Marked as doubtful: neither trained nor scored on.
        where: Place in the annotation file, for messages, e.g. ``object 2``.
    """

    label: MaskState
    box: tuple[float, float, float, float] | None = None
    relative: bool = False
    difficult: bool = False
    where: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture of a data set.

    Attributes:
        dataset: Name of the data set: its folder's name.
        file: ``dataset/path/inside.jpg``, the picture's name everywhere.
        path: Where the picture lies.
        annotations: Its faces; empty for a picture without any.
        source: The annotation file, or None.
        stated_size: Width and height that the annotation file claims, or None.
    """

    dataset: str
    file: str
    path: Path
    annotations: tuple[Annotation, ...] = ()
    source: Path | None = None
    stated_size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """All that was read from one folder, sorted by file name."""

    name: str
    root: Path
    kind: Kind
    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """An annotation that was checked against its picture; ``box`` is None in class folders."""

    label: MaskState
    box: Box | None
    difficult: bool


def settle(sample: Sample, width: int, height: int) -> tuple[list[LabelledBox], list[Problem]]:
    """Check a sample's boxes against its decoded picture.

    Args:
        sample: The sample.
        width: The picture's real width in pixels.
        height: The picture's real height in pixels.

    Returns:
        The usable boxes in pixels, clipped to the picture, and what was wrong. A box that
        sticks out is clipped with a note; one wholly outside, empty or with swapped
        corners is skipped. When the annotation file states another picture size, all of
        its boxes are meaningless and skipped.
    """
    stated = sample.stated_size
    if stated is not None and stated != (width, height):
        reason = (
            f"the picture is {width}x{height}, its annotation is for {stated[0]}x{stated[1]}; "
            "boxes skipped"
        )
        return [], [Problem(sample.file, reason)]
    boxes: list[LabelledBox] = []
    problems: list[Problem] = []
    for annotation in sample.annotations:
        if annotation.box is None:
            boxes.append(LabelledBox(annotation.label, None, annotation.difficult))
            continue
        result = _checked(annotation.box, annotation.relative, width, height)
        if isinstance(result, str):
            problems.append(Problem(sample.file, f"{annotation.where}: {result}; box skipped"))
            continue
        box, cut = result
        if cut:
            note = f"{annotation.where}: sticks out by {cut:.1f} px, clipped"
            problems.append(Problem(sample.file, note, Severity.NOTE))
        boxes.append(LabelledBox(annotation.label, box, annotation.difficult))
    return boxes, problems


def _checked(
    box: tuple[float, float, float, float], relative: bool, width: int, height: int
) -> tuple[Box, float] | str:
    """The clipped box and by how many pixels it stuck out, or what is wrong with it."""
    x0, y0, x1, y1 = box
    if not all(math.isfinite(value) for value in box):
        return f"box {_show(box)} is not finite"
    if relative:
        x0, y0, x1, y1 = x0 * width, y0 * height, x1 * width, y1 * height
    shown = _show((x0, y0, x1, y1))
    if x1 < x0 or y1 < y0:
        return f"box {shown} has swapped corners"
    if x1 == x0 or y1 == y0:
        return f"box {shown} is empty"
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        return f"box {shown} lies outside the {width}x{height} picture"
    out = max(-x0, -y0, x1 - width, y1 - height)
    clipped = Box(max(0.0, x0), max(0.0, y0), min(float(width), x1), min(float(height), y1))
    return clipped, out if out > CLIP_TOLERANCE else 0.0


def is_picture(path: Path) -> bool:
    """Whether a path is a file with a picture's ending."""
    return path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()


def pictures_below(folder: Path) -> list[Path]:
    """All pictures below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if is_picture(path))


def name_of(dataset: str, root: Path, path: Path) -> str:
    """The name under which a file of a data set goes everywhere: ``dataset/path/inside.jpg``."""
    return f"{dataset}/{path.relative_to(root).as_posix()}"


def label_of(text: str) -> MaskState | None:
    """The label of that name; there are no aliases."""
    return MaskState(text) if text in set(MaskState) else None


def unknown_label(text: str) -> str:
    """The reason for a problem."""
    return f"unknown label {text!r} (known: {', '.join(MaskState)})"


def all_lost(file: str) -> Problem:
    """Why a picture is left out whose faces were all unusable: it is no picture of nobody."""
    return Problem(file, "none of its faces is usable; picture skipped")


def _show(box: tuple[float, float, float, float]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"
