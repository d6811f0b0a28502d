"""Models: damaged ``.tflite`` files whose card was made for them, so that the hash does not help.

Most cases are damaged as bytes. The others, where the runtime brings the schema of
its files, are taken apart, changed in a few fields and put together again: well-formed files
of a senseless graph, which get past the runtime's own checks.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from edge_app import trial
from edge_app.domain import Face, Verdict
from edge_app.errors import BundleError, KioskError
from edge_app.vision.bundle import load_bundle
from edge_app.vision.classifier import Classifier
from edge_app.vision.detector import BundleDetector
from tests.fuzz.mutation import EXTREMES, Mutator
from tests.fuzz.target import Target, Violation, Visit, checked_message, mutated

DATA = Path(__file__).resolve().parent.parent / "data"

try:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
except ImportError:  # tflite-runtime brings no schema
    schema = None

TASKS = {"tiny_detector": "detect", "tiny_classifier": "classify"}

TRIAL, KIOSK = "in the trial", "in the kiosk"
"""The stages: the first is done by a child of the kiosk's, the second by itself."""

WORDS = (b"TFL3", b"serving_default", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\xc0\x7f")

GRAPHS = 0.25
"""Share of the cases that are changed as graphs: each takes longer than four of the others."""

PICTURE = (480, 640, 3)


class Models(Target):
    """Loads each model like the trial run does, then like the kiosk."""

    name: ClassVar[str] = "models"
    suffix: ClassVar[str] = ".tflite"
    contained: ClassVar[frozenset[str]] = frozenset({TRIAL})

    def open(self) -> None:
        warnings.simplefilter("error")
        self._folder = Path(tempfile.mkdtemp())
        self._samples = {name: (DATA / f"{name}.tflite").read_bytes() for name in TASKS}
        self._mutators = {n: Mutator([s], WORDS) for n, s in self._samples.items()}
        self._picture = np.random.default_rng(1).integers(0, 256, PICTURE).astype(np.uint8)

    def close(self) -> None:
        shutil.rmtree(self._folder)

    def cases(self, seed: int, start: int, count: int, visit: Visit) -> None:
        mutated(self._make, seed, start, count, visit)

    def _make(self, chance: random.Random) -> bytes:
        """One byte that says which sample it was, then the model."""
        number = chance.randrange(len(TASKS))
        name = list(TASKS)[number]
        if schema is not None and chance.random() < GRAPHS:
            model = _damaged_graph(chance, self._samples[name])
        else:
            model = self._mutators[name].damage(chance)
        return bytes([number]) + model

    def judge(self, content: bytes) -> str:
        name, path = write_bundle(content, self._folder)
        self.enter(TRIAL)
        try:
            trial.run_once(TASKS[name], str(path))
        except KioskError as error:
            return checked_message(error)
        self.enter(KIOSK)
        bundle = load_bundle(path, TASKS[name])
        if bundle.card.task == "detect":
            detector = BundleDetector(bundle)
            _check_faces(detector.detect(self._picture))
        else:
            classifier = Classifier(bundle)
            _check_verdict(classifier.judge(self._picture[:16, :16]))
        same = path.read_bytes() == self._samples[name]
        return "runs, unchanged" if same else "runs"

    def confirm(self, content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            name, path = write_bundle(content, Path(folder))
            try:
                trial.try_model(TASKS[name], str(path))
            except BundleError as error:
                checked_message(error)
                return
        raise Violation("a model that killed a child passes the trial")


def write_bundle(content: bytes, folder: Path) -> tuple[str, Path]:
    """A case as a bundle with a fitting card: the sample's name, and where its model lies."""
    name, model = list(TASKS)[content[0] % len(TASKS)], content[1:]
    card = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    card["sha256"] = hashlib.sha256(model).hexdigest()
    path = folder / f"{name}.tflite"
    path.write_bytes(model)
    path.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")
    return name, path


def _check_faces(faces: list[Face]) -> None:
    height, width, _ = PICTURE
    for face in faces:
        x0, y0, x1, y1 = face.box.as_tuple()
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise Violation("a face outside the picture", str(face))
        if not 0 <= face.score <= 1.01:
            raise Violation("a score outside 0..1", str(face))


def _check_verdict(verdict: Verdict) -> None:
    total = sum(verdict.probabilities.values())
    if not math.isclose(total, 1, abs_tol=1e-6):
        raise Violation("probabilities do not add up to 1", str(verdict))


def _damaged_graph(chance: random.Random, sample: bytes) -> bytes:
    """The same file with a few fields changed, well-formed as long as its types allow that."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(sample, 0))
    for _ in range(chance.choice((1, 1, 2, 3, 5))):
        _change_field(chance, model)
    builder = flatbuffers.Builder(len(sample) + 1024)
    try:
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    except Exception:  # noqa: BLE001 - a value that its field cannot hold: another case then
        return _damaged_graph(chance, sample)
    return bytes(builder.Output())


def _change_field(chance: random.Random, thing: Any) -> None:
    """Walk down to a field by chance, and change it."""
    while True:
        holder: Any = thing if isinstance(thing, list) else vars(thing)
        keys = list(range(len(thing))) if isinstance(thing, list) else list(holder)
        if not keys:
            return
        key = chance.choice(keys)
        value = holder[key]
        if isinstance(value, list) and value and chance.random() < 0.1:
            way = chance.randrange(3)
            if way == 0:
                del value[chance.randrange(len(value))]
            else:
                value.insert(chance.randint(0, len(value)), chance.choice(value))
            return
        if isinstance(value, bytes | np.ndarray):
            holder[key] = _changed_array(chance, value)
            return
        if isinstance(value, bool | int | float):
            holder[key] = _changed_number(chance, value)
            return
        if value is None or isinstance(value, str):
            if chance.random() < 0.1:
                holder[key] = None
            return
        thing = value


def _changed_number(chance: random.Random, value: float) -> float:
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return chance.choice((0.0, -1.0, 1e-30, 1e30, math.inf, math.nan, -value, value * 2))
    extreme = chance.choice(EXTREMES[:12]) * chance.choice((1, -1))
    return chance.choice(
        (value + 1, value - 1, chance.randrange(20), chance.randrange(256), extreme)
    )


def _changed_array(chance: random.Random, value: Any) -> Any:
    array = np.array(list(value) if isinstance(value, bytes) else value)
    if not len(array):
        return value
    way = chance.randrange(4)
    if way == 0:
        array = array[: chance.randrange(len(array))]
    elif way == 1:
        array = np.append(array, array[-1])
    else:
        at = chance.randrange(len(array))
        number = _changed_number(chance, array[at].item())
        with np.errstate(all="ignore"):
            array[at] = np.array(number).astype(array.dtype)
    return bytes(array.astype(np.uint8)) if isinstance(value, bytes) else array


TARGET = Models
