"""Scores a classifier on faces whose place is known."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge_app.domain import Box, Image, MaskState, Verdict
from edge_app.errors import DatasetError
from edge_app.vision.bundle import Card
from edge_app.vision.classifier import Classifier
from edge_app.vision.geometry import square_crop
from training.data.pictures import read_picture
from training.data.readers import Problem
from training.evaluation.pictures import Chosen, FaceFinder, Grouper, Opened, Picker, note
from training.evaluation.timing import interleaved, summary
from training.metrics import calibration, classifier_figures, one_vs_rest

SIZE_BUCKETS = (16.0, 24.0, 32.0, 64.0)
"""Short sides in pixels that divide the faces: hopeless, tiny, small, near, at the door. Faces
smaller than the first are not judged at all unless ``min_face`` asks for them."""

TIMED_FACES, TIMED_ROUNDS = 20, 100
"""Different faces that are judged in turn, and how often, to take the time."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One face that was scored.

    Attributes:
        dataset: Name of its data set.
        file: The picture's name.
        path: Where the picture lies.
        box: The face in pixels of the picture.
        truth: Its label.
        verdicts: What each engine said.
        counted: Whether it is large enough for the figures; a smaller one is only in its bucket
            of the figures by size.
    """

    dataset: str
    file: str
    path: Path
    box: Box
    truth: MaskState
    verdicts: Mapping[str, Verdict]
    counted: bool = True

    def said(self, engine: str) -> MaskState:
        """The state that an engine thinks most probable, certain or not."""
        probabilities = self.verdicts[engine].probabilities
        return max(probabilities, key=lambda state: probabilities[state])


@dataclass(slots=True)
class Faces:
    """All judged faces, and how many were left out for which reason, by data set."""

    judged: list[Judged] = field(default_factory=list)
    left_out: dict[str, Counter[str]] = field(default_factory=dict)
    origins: dict[str, Counter[str]] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)


def judge_faces(
    classifiers: Mapping[str, Classifier],
    chosen: Sequence[Chosen],
    picker: Picker,
    finder: FaceFinder,
    min_face: float,
) -> Faces:
    """Judge every face with every engine, from the same crop.

    Hand-made boxes under ``min_face`` pixels and difficult ones are left out, and counted; from
    the first of :data:`SIZE_BUCKETS` on the small ones are still judged for the figures by size.
    The pictures of class folders are all judged: their label is about the whole picture.

    Args:
        classifiers: By engine name; all with one card.
        chosen: What to score.
        picker: Opens the pictures.
        finder: Where the face is in pictures of class folders.
        min_face: Smallest short side in pixels of the picture.

    Raises:
        DatasetError: A data set has no face that can be scored.
    """
    card = next(iter(classifiers.values())).bundle.card
    faces, grouper = Faces(), Grouper()
    for dataset in chosen:
        left_out = faces.left_out.setdefault(dataset.name, Counter())
        origins = faces.origins.setdefault(dataset.name, Counter())
        before = sum(judged.counted for judged in faces.judged)
        for opened in picker.open(dataset.samples):
            grouper.add(opened)
            for truth, box, origin in _faces_of(opened, finder, min_face, left_out):
                crop = square_crop(opened.image, box, card.crop_margin, card.input_width)
                verdicts = {name: c.judge(crop) for name, c in classifiers.items()}
                counted = origin != "hand" or box.short_side >= min_face
                sample = opened.sample
                faces.judged.append(
                    Judged(dataset.name, sample.file, sample.path, box, truth, verdicts, counted)
                )
                origins[origin] += counted
        if sum(judged.counted for judged in faces.judged) == before:
            raise DatasetError(f"{dataset.name}: no labelled face of at least {min_face:g} px")
        if origins["whole"]:
            picker.problems.append(_whole_note(dataset.name, origins["whole"], finder))
    faces.groups = grouper.groups()
    return faces


def figures(
    faces: Faces, engines: Sequence[str], by_hand: Sequence[str], seed: int
) -> dict[str, Any]:
    """Figures by engine and set of faces, ready for JSON.

    Args:
        faces: What was judged.
        engines: Names of the engines.
        by_hand: Data sets with hand-made boxes; where others were scored too, these are
            pooled apart from all.
        seed: Seed of the bootstrap.
    """
    names = list(dict.fromkeys(judged.dataset for judged in faces.judged))
    pools: dict[str, list[Judged]] = {
        name: [j for j in faces.judged if j.dataset == name] for name in names
    }
    if 1 < len(by_hand) < len(names):
        pools["hand-made boxes"] = [j for j in faces.judged if j.dataset in by_hand]
    if len(names) > 1:
        pools["all"] = faces.judged
    return {
        engine: {name: _pool(pool, faces.groups, engine, seed) for name, pool in pools.items()}
        for engine in engines
    }


def worst_mistakes(judged: Sequence[Judged], engine: str, number: int) -> list[Judged]:
    """The wrong verdicts of an engine that it was surest of, worst first; ``number`` at most."""
    wrong = [j for j in judged if j.counted and j.said(engine) != j.truth]
    return sorted(wrong, key=lambda j: (-j.verdicts[engine].confidence, j.file))[:number]


def crop_of(judged: Judged, card: Card) -> Image:
    """What the classifier saw of a face: the picture is read again.

    Raises:
        DatasetError: The picture cannot be read any more.
    """
    image = read_picture(judged.path).image
    return square_crop(image, judged.box, card.crop_margin, card.input_width)


def time_per_face(
    classifiers: Mapping[str, Classifier], judged: Sequence[Judged], seed: int
) -> dict[str, Any]:
    """Milliseconds from crop to verdict by engine, taken on the first faces in turn."""
    card = next(iter(classifiers.values())).bundle.card
    crops = [crop_of(j, card) for j in judged[:TIMED_FACES]]
    rounds = [
        {
            name: functools.partial(classifier.judge, crops[i % len(crops)])
            for name, classifier in classifiers.items()
        }
        for i in range(TIMED_ROUNDS)
    ]
    return summary(interleaved(rounds, seed))


def describe_mistake(judged: Judged, engine: str) -> dict[str, Any]:
    """A wrong verdict, ready for JSON."""
    return {
        "file": judged.file,
        "box": [round(value, 2) for value in judged.box.as_tuple()],
        "truth": str(judged.truth),
        "said": str(judged.said(engine)),
        "confidence": round(judged.verdicts[engine].confidence, 4),
    }


def _pool(
    judged: Sequence[Judged], groups: Mapping[str, str], engine: str, seed: int
) -> dict[str, Any]:
    counted = [j for j in judged if j.counted]
    result = _figures(counted, groups, engine, seed)
    result["one_vs_rest"] = {
        str(label): asdict(curves)
        for label, curves in one_vs_rest(
            [j.truth for j in counted], [j.verdicts[engine].probabilities for j in counted]
        ).items()
    }
    result["calibration"] = asdict(
        calibration(
            [j.verdicts[engine].confidence for j in counted],
            [j.said(engine) == j.truth for j in counted],
        )
    )
    result["by_size"] = {}
    edges = (0.0, *SIZE_BUCKETS, float("inf"))
    for low, high in itertools.pairwise(edges):
        some = [j for j in judged if low <= j.box.short_side < high]
        if some:
            result["by_size"][bucket_name(low, high)] = _figures(some, groups, engine, seed)
    return result


def _figures(
    judged: Sequence[Judged], groups: Mapping[str, str], engine: str, seed: int
) -> dict[str, Any]:
    verdicts = [j.verdicts[engine] for j in judged]
    best = [j.said(engine) for j in judged]
    result = asdict(
        classifier_figures([j.truth for j in judged], best, [groups[j.file] for j in judged], seed)
    )
    result["uncertain"] = sum(v.state is None for v in verdicts)
    return result


def bucket_name(low: float, high: float) -> str:
    """``24-32 px``, ``96 px and more``, ``under 24 px``."""
    if low == 0:
        return f"under {high:g} px"
    return f"{low:g} px and more" if high == float("inf") else f"{low:g}-{high:g} px"


def _faces_of(
    opened: Opened, finder: FaceFinder, min_face: float, left_out: Counter[str]
) -> list[tuple[MaskState, Box, str]]:
    faces = []
    for face in opened.faces:
        if face.difficult:
            left_out["difficult"] += 1
        elif face.box is None:
            faces.append((face.label, *finder.find(opened, face.label)))
        else:
            if face.box.short_side < min_face:
                left_out[f"under {min_face:g} px"] += 1
            if face.box.short_side >= min(min_face, SIZE_BUCKETS[0]):
                faces.append((face.label, face.box, "hand"))
    return faces


def _whole_note(dataset: str, number: int, finder: FaceFinder) -> Problem:
    why = (
        "in which the detector found no face were judged as a whole"
        if finder.detector is not None
        else "without a face box were judged as a whole; give --boxes FILE or --detector BUNDLE"
    )
    return note(dataset, f"{number} pictures {why}")
