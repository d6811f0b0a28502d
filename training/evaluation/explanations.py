"""A verdict explained by Grad-CAM: the pictures of one face, and the sheet of all of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.recording import write_atomically

if TYPE_CHECKING:
    from edge_app.domain import Box, Image, MaskState, Verdict
    from edge_app.vision.bundle import Bundle
    from training.evaluation.gradcam import GradCam
    from training.evaluation.subject import Subject
    from training.evaluation.tiles import Tile

PANEL_SIDE = 256
"""Side of a picture in the PNG of a face, in pixels."""

SHEET_SIDE = 144
SHEET_COLUMNS = 3
"""Faces side by side on the contact sheet; each is two or three pictures wide."""

SHEET_FACES = 200
"""Faces on the contact sheet; each one has its PNG in any case."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One face to be explained; ``truth`` is None where nobody said what is right."""

    file: str
    box: Box
    crop: Image
    truth: MaskState | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """A face, the verdict on it, and the pictures that explain it, for a sheet."""

    case: Case
    verdict: Verdict
    said: MaskState
    tiles: tuple[Tile, ...]


def explain(case: Case, bundle: Bundle, grad_cam: GradCam) -> Explained:
    """Judge a face and draw what speaks for the verdict, and for the truth where it differs."""
    from edge_app.vision.annotate import STATE_COLOURS
    from edge_app.vision.classifier import Classifier
    from training.evaluation.gradcam import overlay
    from training.evaluation.tiles import Tile

    verdict = Classifier(bundle).judge(case.crop)
    said = max(verdict.probabilities, key=lambda state: verdict.probabilities[state])
    wanted = [said]
    if case.truth is not None and case.truth in verdict.probabilities and case.truth != said:
        wanted.append(case.truth)
    labels = bundle.card.labels
    _, maps = grad_cam.maps(case.crop, [labels.index(label) for label in wanted])
    tiles = [Tile(case.crop, (Path(case.file).name, *_truth_line(case)), _colour(case))]
    for label, heat in zip(wanted, maps, strict=True):
        lines = (f"for {label}", f"{verdict.probabilities[label]:.0%}")
        tiles.append(Tile(overlay(case.crop, heat), lines, STATE_COLOURS[label]))
    return Explained(case, verdict, said, tuple(tiles))


def write_explanations(
    folder: Path, explained: Sequence[Explained], subject: Subject, layer: str
) -> None:
    """Write a PNG for each face, the contact sheet, and the list of them.

    Raises:
        OutputError: Something cannot be written.
    """
    from training.evaluation.tiles import Section, contact_sheet, encode_png

    rows = []
    for number, item in enumerate(explained, 1):
        name = f"{number:03d}_{_plain_name(item.case.file)}.png"
        panel = contact_sheet(
            [Section(_heading(item), item.tiles)], len(item.tiles), PANEL_SIDE, PANEL_SIDE
        )
        write_atomically(folder / name, encode_png(panel))
        rows.append({"picture": name, **_row(item)})
    shown = explained[:SHEET_FACES]
    wide = max(len(item.tiles) for item in shown)
    tiles = [tile for item in shown for tile in _filled(item.tiles, wide)]
    heading = f"{subject.card.name}, {layer}: {len(shown)} of {len(explained)} faces"
    sheet = contact_sheet([Section(heading, tiles)], wide * SHEET_COLUMNS, SHEET_SIDE, SHEET_SIDE)
    write_atomically(folder / "contact.png", encode_png(sheet))
    content = {"model": str(subject.model), "layer": layer, "faces": rows}
    write_atomically(folder / "explain.json", (json.dumps(content, indent=1) + "\n").encode())


def _truth_line(case: Case) -> tuple[str, ...]:
    return () if case.truth is None else (f"is {case.truth}",)


def _colour(case: Case) -> tuple[int, int, int]:
    from edge_app.vision.annotate import STATE_COLOURS
    from training.evaluation.tiles import PAPER

    return PAPER if case.truth is None else STATE_COLOURS[case.truth]


def _heading(item: Explained) -> str:
    return f"{item.said.replace('_', ' ')} {item.verdict.confidence:.0%}"


def _filled(tiles: Sequence[Tile], number: int) -> list[Tile]:
    """Tiles of one face, and empty ones up to a number: the sheet's columns stay in line."""
    import numpy as np

    from training.evaluation.tiles import Tile

    empty = Tile(np.full((1, 1, 3), 255, np.uint8))
    return [*tiles, *[empty] * (number - len(tiles))]


def _row(item: Explained) -> dict[str, Any]:
    case = item.case
    return {
        "file": case.file,
        "box": [round(value, 2) for value in case.box.as_tuple()],
        "truth": None if case.truth is None else str(case.truth),
        "said": str(item.said),
        "probabilities": {
            str(label): round(p, 4) for label, p in item.verdict.probabilities.items()
        },
    }


def _plain_name(file: str) -> str:
    """A picture's name as part of a file name of its own."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", Path(file).stem)[:60]
