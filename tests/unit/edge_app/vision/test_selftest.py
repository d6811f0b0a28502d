from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.domain import Image
from edge_app.errors import BundleError, SelfTestError
from edge_app.vision.bundle import MODELS_DIR, Bundle, load_bundle, read_card
from edge_app.vision.selftest import (
    LARGEST,
    Expected,
    SelfTest,
    compare,
    make,
    packed,
    selftest_path,
    unpacked,
)

WHERE = Path("a.selftest.npz")


@pytest.fixture
def classifier(tiny: Path) -> Bundle:
    return load_bundle(tiny / "tiny_classifier", "classify")


@pytest.fixture
def pictures() -> list[Image]:
    shape = (16, 16, 3)
    noise = np.random.default_rng(2).integers(0, 256, shape).astype(np.uint8)
    green = np.zeros(shape, np.uint8)
    green[..., 1] = 200
    return [noise, green]


def changed(test: SelfTest, outputs: tuple[object, ...], finding: str) -> SelfTest:
    return replace(test, expected=(test.expected[0], Expected(outputs, finding)))


def test_what_is_packed_comes_out_bit_by_bit(classifier: Bundle, pictures: list[Image]) -> None:
    test = make(classifier, pictures)
    found = unpacked(packed(test), WHERE)
    assert packed(test) == packed(found), "the same test, the same bytes"
    for before, after in zip(test.pictures, found.pictures, strict=True):
        np.testing.assert_array_equal(before, after)
    assert [e.finding for e in found.expected][1] == "with_mask"
    assert compare(classifier, found) == 0


def test_a_detector_counts_faces(tiny: Path, paint) -> None:
    bundle = load_bundle(tiny / "tiny_detector", "detect")
    test = make(bundle, [paint({}), paint({(3, 5): None, (11, 5): None})])
    assert [e.finding for e in test.expected] == ["faces: 0", "faces: 2"]
    assert compare(bundle, unpacked(packed(test), WHERE)) == 0


@pytest.mark.parametrize("apart", [LARGEST, LARGEST + 1])
def test_one_value_may_differ_a_little(tiny: Path, paint, apart: int) -> None:
    bundle = load_bundle(tiny / "tiny_detector", "detect")
    test = make(bundle, [paint({}), paint({(3, 5): None})])
    outputs = [output.copy() for output in test.expected[1].outputs]
    outputs[0][0, 0, 0] += apart if outputs[0][0, 0, 0] < 128 else -apart
    other = changed(test, tuple(outputs), "faces: 1")
    if apart <= LARGEST:
        assert compare(bundle, other) == apart
        return
    with pytest.raises(SelfTestError, match=rf"differs .* by up to {apart} steps of 255, 0\.\d on"):
        compare(bundle, other)


def test_all_values_may_differ_less(classifier: Bundle, pictures: list[Image]) -> None:
    test = make(classifier, pictures)
    [output], finding = test.expected[1].outputs, test.expected[1].finding
    moved = np.where(output < 128, output + 4, output - 4).astype(np.uint8)
    with pytest.raises(SelfTestError, match=r"by up to 4 steps of 255, 4\.0 on average"):
        compare(classifier, changed(test, (moved,), finding))


def test_another_finding_fails(classifier: Bundle, pictures: list[Image]) -> None:
    test = make(classifier, pictures)
    other = changed(test, test.expected[1].outputs, "without_mask")
    with pytest.raises(SelfTestError, match="gives 'with_mask' here, 'without_mask' at export"):
        compare(classifier, other)


def test_shapes_must_fit(classifier: Bundle, pictures: list[Image], tiny: Path) -> None:
    test = make(classifier, pictures)
    with pytest.raises(SelfTestError, match="has outputs of other shapes"):
        compare(classifier, changed(test, (), "with_mask"))
    with pytest.raises(SelfTestError, match=r"is \(16, 16, 3\), the model takes \(96, 128, 3\)"):
        compare(load_bundle(tiny / "tiny_detector", "detect"), test)


@given(st.binary(max_size=300), st.booleans(), st.integers(0, 1 << 30))
def test_damage_is_an_error_of_ours(content: bytes, cut: bool, at: int) -> None:
    whole = (MODELS_DIR / "mask_classifier.selftest.npz").read_bytes()
    if cut:
        at %= len(whole)
        content = whole[:at] + content
    with suppress(BundleError):  # and nothing else
        unpacked(content, WHERE)


@pytest.mark.parametrize("count", [0, 33, -1])
def test_an_absurd_number_of_pictures_is_refused(count: int) -> None:
    import io

    file = io.BytesIO()
    np.savez(file, count=np.array(count))
    with pytest.raises(BundleError, match=f"{count} pictures"):
        unpacked(file.getvalue(), WHERE)


@pytest.mark.parametrize("name", ["face_detector", "mask_classifier"])
def test_the_shipped_models_pass_their_self_tests(name: str) -> None:
    model = MODELS_DIR / f"{name}.tflite"
    test = unpacked(selftest_path(model).read_bytes(), selftest_path(model))
    assert selftest_path(model).stat().st_size < 100_000
    bundle = load_bundle(model, read_card(model).task)
    worst = compare(bundle, test)
    if bundle.interpreter.runtime == "ai-edge-litert":
        assert worst == 0
    findings = [expected.finding for expected in test.expected]
    assert findings in (
        ["faces: 0", "faces: 1"],
        ["without_mask", "incorrect_mask", "with_mask"],
    ), "what the demo clip shows"
