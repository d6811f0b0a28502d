"""A bundle's self-test: pictures at the model's input, and what it said about them at export.

``NAME.selftest.npz`` travels with a model. Before a kiosk switches to the model, it runs these
pictures through its own runtime: a file that arrived whole may still be judged otherwise by
another processor or another version of the runtime.

Pictures are PNG (lossless), or the file would be half as large again.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.domain import Image
from edge_app.errors import BundleError, SelfTestError
from edge_app.vision.bundle import Bundle
from edge_app.vision.classifier import Classifier
from edge_app.vision.detector import BundleDetector

LARGEST, MEAN = 24, 3.0
"""Steps of 255 by which one value of an output may differ from the one at export, and all of them
on average. The same runtime differs by none, the two runtimes by at most 18 and 1.5 (on every
picture of the demo clip, see docs/models.md); another model, or kernels that compute wrongly, by
more."""

MOST_PICTURES = 32
"""More would be no test of a model but an evaluation."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a model says about one picture.

    Attributes:
        outputs: As stored (uint8), in the interpreter's order.
        finding: What it comes to: a label, or how many faces.
    """

    outputs: tuple[NDArray[np.uint8], ...]
    finding: str


@dataclass(frozen=True, slots=True)
class SelfTest:
    """Pictures (RGB uint8 at the model's input) and what was said about each."""

    pictures: tuple[Image, ...]
    expected: tuple[Expected, ...]


def selftest_path(model: Path) -> Path:
    """The self-test that belongs to a ``.tflite`` file."""
    return model.with_suffix(".selftest.npz")


def look(bundle: Bundle, picture: Image) -> Expected:
    """What a model says about a picture that has its input size."""
    outputs = tuple(bundle.interpreter.run(picture[None]))
    if bundle.card.task == "classify":
        probabilities = Classifier(bundle).judge(picture).probabilities
        return Expected(outputs, str(max(probabilities, key=lambda label: probabilities[label])))
    return Expected(outputs, f"faces: {len(BundleDetector(bundle).detect(picture))}")


def make(bundle: Bundle, pictures: Sequence[Image]) -> SelfTest:
    """The self-test of a model on these pictures."""
    return SelfTest(tuple(pictures), tuple(look(bundle, picture) for picture in pictures))


def packed(test: SelfTest) -> bytes:
    """The content of a ``.selftest.npz``; the same test gives the same bytes."""
    arrays: dict[str, NDArray[Any]] = {"count": np.array(len(test.pictures))}
    for i, (picture, expected) in enumerate(zip(test.pictures, test.expected, strict=True)):
        _, png = cv2.imencode(
            ".png",
            cv2.cvtColor(picture, cv2.COLOR_RGB2BGR),
            [cv2.IMWRITE_PNG_COMPRESSION, 9],
        )
        arrays[f"picture_{i}"] = png.reshape(-1)
        arrays[f"finding_{i}"] = np.array(expected.finding)
        for j, output in enumerate(expected.outputs):
            arrays[f"output_{i}_{j}"] = output
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def unpacked(content: bytes, where: Path) -> SelfTest:
    """Read a ``.selftest.npz``.

    Args:
        content: What it holds.
        where: For messages.

    Raises:
        BundleError: It is damaged or no self-test.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            count = int(arrays["count"])
            if not 1 <= count <= MOST_PICTURES:
                raise ValueError(f"{count} pictures")
            pictures, expected = [], []
            for i in range(count):
                coded = cv2.imdecode(arrays[f"picture_{i}"], cv2.IMREAD_COLOR)
                if coded is None:
                    raise ValueError(f"picture {i} is no PNG")
                pictures.append(cv2.cvtColor(coded, cv2.COLOR_BGR2RGB).astype(np.uint8))
                outputs: list[NDArray[np.uint8]] = []
                while (name := f"output_{i}_{len(outputs)}") in arrays:
                    outputs.append(arrays[name])
                expected.append(Expected(tuple(outputs), str(arrays[f"finding_{i}"])))
    except (ValueError, KeyError, OSError, EOFError, TypeError, RuntimeError) as error:
        raise _damaged(where, error) from None
    except (zipfile.BadZipFile, zlib.error, cv2.error) as error:
        raise _damaged(where, error) from None
    return SelfTest(tuple(pictures), tuple(expected))


def compare(bundle: Bundle, test: SelfTest) -> int:
    """Run a self-test.

    Returns:
        The largest difference of a value from the one at export, in steps of 255.

    Raises:
        SelfTestError: The model says something else than at export.
    """
    card, worst = bundle.card, 0
    wanted_shape = (card.input_height, card.input_width, 3)
    for i, (picture, expected) in enumerate(zip(test.pictures, test.expected, strict=True)):
        where = f"{bundle.path}: picture {i + 1} of its self-test"
        if picture.shape != wanted_shape:
            raise SelfTestError(f"{where} is {picture.shape}, the model takes {wanted_shape}")
        found = look(bundle, picture)
        shapes = [output.shape for output in found.outputs]
        if shapes != [output.shape for output in expected.outputs]:
            raise SelfTestError(f"{where} has outputs of other shapes than the model's {shapes}")
        if found.finding != expected.finding:
            raise SelfTestError(
                f"{where} gives {found.finding!r} here, {expected.finding!r} at export"
            )
        for here, there in zip(found.outputs, expected.outputs, strict=True):
            apart = np.abs(here.astype(int) - there.astype(int))
            worst = max(worst, int(apart.max()))
            if apart.max() > LARGEST or apart.mean() > MEAN:
                raise SelfTestError(
                    f"{where} differs from the result at export by up to {apart.max()} steps of "
                    f"255, {apart.mean():.1f} on average ({LARGEST} and {MEAN:g} are allowed): "
                    "use the runtime that the application pins"
                )
    return worst


def _damaged(where: Path, error: Exception) -> BundleError:
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return BundleError(f"{where}: no self-test that can be read ({why}); export the model again")
