"""Scores a classifier on faces whose place is known."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from edge_app.domain import Box, MaskState, Verdict
from edge_app.errors import DatasetError
from edge_app.vision.classifier import Classifier
from edge_app.vision.geometry import square_crop
from training.data.readers import Problem
from training.evaluation.pictures import Chosen, FaceFinder, Grouper, Opened, Picker, note
from training.metrics import classifier_figures

SIZE_BUCKETS = (24.0, 32.0, 48.0, 96.0)
"""Short sides in pixels that divide the faces: hopeless, tiny, small, near, at the camera."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One face that was scored; ``verdicts`` holds each engine's."""

    dataset: str
    file: str
    truth: MaskState
    short_side: float
    verdicts: Mapping[str, Verdict]


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

    Hand-made boxes under ``min_face`` pixels and difficult ones are left out, and counted.
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
        before = len(faces.judged)
        for opened in picker.open(dataset.samples):
            grouper.add(opened)
            for truth, box, origin in _faces_of(opened, finder, min_face, left_out):
                crop = square_crop(opened.image, box, card.crop_margin, card.input_width)
                verdicts = {name: c.judge(crop) for name, c in classifiers.items()}
                faces.judged.append(
                    Judged(dataset.name, opened.sample.file, truth, box.short_side, verdicts)
                )
                origins[origin] += 1
        if len(faces.judged) == before:
            raise DatasetError(f"{dataset.name}: no labelled face of at least {min_face:g} px")
        if origins["whole"]:
            picker.problems.append(_whole_note(dataset.name, origins["whole"]))
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


def _pool(
    judged: Sequence[Judged], groups: Mapping[str, str], engine: str, seed: int
) -> dict[str, Any]:
    result = _figures(judged, groups, engine, seed)
    result["by_size"] = {}
    edges = (0.0, *SIZE_BUCKETS, float("inf"))
    for low, high in itertools.pairwise(edges):
        some = [j for j in judged if low <= j.short_side < high]
        if some:
            result["by_size"][bucket_name(low, high)] = _figures(some, groups, engine, seed)
    return result


def _figures(
    judged: Sequence[Judged], groups: Mapping[str, str], engine: str, seed: int
) -> dict[str, Any]:
    verdicts = [j.verdicts[engine] for j in judged]
    best = [max(v.probabilities, key=lambda state: v.probabilities[state]) for v in verdicts]
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
        elif face.box.short_side < min_face:
            left_out[f"under {min_face:g} px"] += 1
        else:
            faces.append((face.label, face.box, "hand"))
    return faces


def _whole_note(dataset: str, number: int) -> Problem:
    reason = (
        f"{number} pictures without a face box were judged as a whole; "
        "give --boxes FILE or --detector BUNDLE"
    )
    return note(dataset, reason)
