from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_app.domain import MaskState
from edge_app.errors import BundleError, BundleNotFoundError
from edge_app.vision import bundle
from edge_app.vision.bundle import (
    check_run,
    check_tensors,
    find_bundle,
    load_bundle,
    read_card,
)

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def copied(tiny: Path, tmp_path: Path) -> Path:
    """A folder with its own copies of the tiny bundles."""
    for name in ("tiny_classifier", "tiny_detector"):
        for suffix in (".tflite", ".json"):
            shutil.copy(tiny / f"{name}{suffix}", tmp_path)
    return tmp_path


def change_card(folder: Path, name: str, change: Change) -> Path:
    path = folder / f"{name}.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    change(card)
    path.write_text(json.dumps(card), encoding="utf-8")
    return folder / f"{name}.tflite"


def test_a_bundle_is_loaded_with_what_its_card_says(tiny: Path) -> None:
    found = load_bundle(tiny / "tiny_classifier.tflite", "classify")
    assert found.card.labels == (
        MaskState.WITH_MASK,
        MaskState.WITHOUT_MASK,
        MaskState.INCORRECT_MASK,
    )
    assert found.card.confidence_floor == 0.6
    assert found.card.raw is not None
    assert found.card.raw["made_by"].startswith("python tests/data/")
    found = load_bundle(tiny / "tiny_detector", "detect", threads=2)
    assert found.card.strides == (8, 16)
    assert (found.card.input_width, found.card.input_height) == (128, 96)


def test_a_bare_name_means_the_shipped_bundle_whatever_lies_around(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = copied / "shipped"
    shipped.mkdir()
    for file in copied.glob("tiny_*"):
        shutil.copy(file, shipped)
    monkeypatch.setattr(bundle, "MODELS_DIR", shipped)
    monkeypatch.chdir(copied)
    assert find_bundle("tiny_detector") == shipped / "tiny_detector.tflite"
    assert find_bundle("tiny_detector.tflite") == Path("tiny_detector.tflite")
    assert find_bundle("./tiny_detector") == shipped / "tiny_detector.tflite"


def test_a_name_with_a_dot_keeps_it(copied: Path) -> None:
    (copied / "tiny_detector.tflite").rename(copied / "face.v2.tflite")
    assert find_bundle(copied / "face.v2") == copied / "face.v2.tflite"


@pytest.mark.parametrize("name", ["nobody", ".", "..", "/", "some/where.tflite"])
def test_a_missing_bundle_is_named_with_those_that_there_are(
    name: str, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MODELS_DIR", copied)
    with pytest.raises(BundleNotFoundError, match="one of: tiny_classifier, tiny_detector$"):
        find_bundle(name)


def test_a_missing_card_is_said(copied: Path) -> None:
    (copied / "tiny_detector.json").unlink()
    with pytest.raises(BundleNotFoundError, match="card of tiny_detector.tflite is missing"):
        load_bundle(copied / "tiny_detector", "detect")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[" + b"9" * 5000 + b"]"],
    ids=["empty", "cut", "binary", "deep", "endless"],
)
def test_a_damaged_card_is_said(content: bytes, copied: Path) -> None:
    (copied / "tiny_detector.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"tiny_detector\.json: not valid JSON"):
        read_card(copied / "tiny_detector.tflite")


def test_a_card_that_is_a_folder_is_said(copied: Path) -> None:
    (copied / "tiny_detector.json").unlink()
    (copied / "tiny_detector.json").mkdir()
    with pytest.raises(BundleError, match="cannot read the card"):
        read_card(copied / "tiny_detector.tflite")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("detector", lambda c: c.pop("sha256"), "key 'sha256' is missing"),
        ("detector", lambda c: c.pop("input"), "key 'input.width' is missing"),
        ("detector", lambda c: c.update(input=7), "key 'input.width' is missing"),
        ("detector", lambda c: c.update(schema=2), "schema 2 is not 1"),
        ("detector", lambda c: c.update(schema=True), "schema = true has the wrong type"),
        ("detector", lambda c: c.update(name="other"), "is the card of 'other'"),
        ("detector", lambda c: c.update(task="dance"), "task = 'dance' must be"),
        ("detector", lambda c: c.update(strides=[]), r"strides = \[\] is not within 1..8"),
        ("detector", lambda c: c.update(strides=[8, 0]), "whole numbers in 1..128"),
        ("detector", lambda c: c["thresholds"].update(score=1.5), "score = 1.5 is not within"),
        ("detector", lambda c: c["thresholds"].update(score=float("nan")), "nan is not within"),
        ("detector", lambda c: c["thresholds"].update(nms_iou="0.4"), "has the wrong type"),
        (
            "classifier",
            lambda c: c["labels"].append("no_idea"),
            r"labels = \['with_mask', .*, 'no_idea'\] must",
        ),
        (
            "classifier",
            lambda c: c["labels"].append([1]),
            r"labels = .* must be some of: with_mask, ",
        ),
        ("classifier", lambda c: c["labels"].append("x" * 10_000), "labels = .* must be some of"),
        ("detector", lambda c: c.update(sha256="\x1b[31m" + "0" * 59), "sha256 = .* is none"),
        ("detector", lambda c: c.update(sha256="x" * 10_000), "sha256 = .* is not within 64..64"),
        ("detector", lambda c: c.update(strides=[[[0] * 9] * 9]), "strides = .* must be whole"),
        ("classifier", lambda c: c["labels"].append("with_mask"), "names one twice"),
        ("classifier", lambda c: c.update(temperature=0), "temperature = 0 is not within"),
        ("classifier", lambda c: c["input"].update(width=32), "32x16, a classifier's must be sq"),
    ],
)
def test_a_wrong_card_is_refused_with_file_and_key(
    name: str, change: Change, message: str, copied: Path
) -> None:
    model = change_card(copied, f"tiny_{name}", change)
    with pytest.raises(BundleError, match=message) as caught:
        read_card(model)
    assert str(caught.value).startswith(f"{model.with_suffix('.json')}: ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_a_card_that_is_a_list_is_refused(copied: Path) -> None:
    (copied / "tiny_detector.json").write_text("[1, 2]")
    with pytest.raises(BundleError, match="key 'schema' is missing"):
        read_card(copied / "tiny_detector.tflite")


def test_one_changed_byte_is_noticed(copied: Path) -> None:
    model = copied / "tiny_detector.tflite"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    with pytest.raises(BundleError, match="sha256 is .* damaged"):
        load_bundle(model, "detect")


def test_a_bundle_for_another_task_is_refused(tiny: Path) -> None:
    with pytest.raises(BundleError, match="is a 'detect' bundle, but a 'classify' one is needed"):
        load_bundle(tiny / "tiny_detector", "classify")


def test_a_file_that_is_no_model_is_refused(copied: Path) -> None:
    import hashlib

    content = b"TFL3 or so" * 100
    (copied / "tiny_detector.tflite").write_bytes(content)
    model = change_card(
        copied, "tiny_detector", lambda c: c.update(sha256=hashlib.sha256(content).hexdigest())
    )
    with pytest.raises(BundleError, match="the runtime cannot open it") as caught:
        load_bundle(model, "detect")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "detector",
            lambda c: c["input"].update(width=96),
            r"input is uint8 \(1, 96, 128, 3\), its card says uint8 \(1, 96, 96, 3\)",
        ),
        ("detector", lambda c: c.update(strides=[8]), r"outputs are .*, its card says"),
        ("classifier", lambda c: c["labels"].pop(), r"outputs are \[\(1, 3\)\], its card says"),
    ],
)
def test_a_model_that_disagrees_with_its_card_is_refused(
    name: str, change: Change, message: str, copied: Path
) -> None:
    model = change_card(copied, f"tiny_{name}", change)
    with pytest.raises(BundleError, match=message):
        load_bundle(model, "detect" if name == "detector" else "classify")


@pytest.mark.parametrize("change", [{"dtype": "float32"}, {"scale": 0.0}])
def test_outputs_must_be_quantised(change: dict[str, Any], tiny: Path) -> None:
    bundle = load_bundle(tiny / "tiny_detector", "detect")
    interpreter = bundle.interpreter
    interpreter.outputs = tuple(replace(o, **change) for o in interpreter.outputs)
    with pytest.raises(BundleError, match=r"output .* is .* with scale .*, not quantised uint8"):
        check_tensors(interpreter, bundle.card, bundle.path)


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 20.0])
@pytest.mark.parametrize("name", ["detector", "classifier"])
def test_a_scale_that_makes_no_sense_is_refused(name: str, scale: float, tiny: Path) -> None:
    bundle = load_bundle(tiny / f"tiny_{name}", "detect" if name == "detector" else "classify")
    interpreter = bundle.interpreter
    interpreter.outputs = tuple(replace(o, scale=scale) for o in interpreter.outputs)
    with pytest.raises(BundleError, match=r"output .* has values from .*, which must be within"):
        check_tensors(interpreter, bundle.card, bundle.path)


def test_a_model_without_inputs_is_refused(tiny: Path) -> None:
    bundle = load_bundle(tiny / "tiny_detector", "detect")
    bundle.interpreter.inputs = ()
    with pytest.raises(BundleError, match="has 0 inputs instead of one"):
        check_tensors(bundle.interpreter, bundle.card, bundle.path)


def test_an_output_that_changes_its_shape_is_refused(tiny: Path) -> None:
    bundle = load_bundle(tiny / "tiny_classifier", "classify")
    [output] = bundle.interpreter.outputs
    bundle.interpreter.outputs = (replace(output, shape=(1, 4)),)
    with pytest.raises(BundleError, match=r"is \(1, 3\), but the model says \(1, 4\)"):
        check_run(bundle.interpreter, bundle.path)


def test_a_model_that_cannot_be_run_is_refused(tiny: Path) -> None:
    bundle = load_bundle(tiny / "tiny_classifier", "classify")
    bundle.interpreter.inputs = (replace(bundle.interpreter.input, shape=(1, 8, 8, 3)),)
    with pytest.raises(BundleError, match="the runtime cannot run it: Cannot set tensor"):
        check_run(bundle.interpreter, bundle.path)


def test_every_shipped_bundle_is_whole() -> None:
    for model in bundle.MODELS_DIR.glob("*.tflite"):
        card = read_card(model)
        assert load_bundle(model.stem, card.task).path == model
