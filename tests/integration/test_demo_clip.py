"""The bundled clip: it decodes, shows what its script says, and its wishes can be met."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.domain import Image, Signal
from edge_app.expectations import load_expectations

pytest.importorskip("skimage", reason="the portrait comes with scikit-image")

from training import demo_clip

MAX_BYTES = 1_000_000
BUNDLED = Path("edge_app/assets/demo.mp4")


def decode(path: Path) -> list[Image]:
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == demo_clip.FPS
    pictures = []
    while True:
        ok, picture = capture.read()
        if not ok:
            break
        pictures.append(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8))
    capture.release()
    return pictures


def at(pictures: list[Image], seconds: float) -> Image:
    return pictures[round(seconds * demo_clip.FPS)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clip") / "new" / "demo.mp4"
    assert demo_clip.main(["--out", str(out)]) == 0
    return out


def test_it_is_small_and_complete(made: Path) -> None:
    pictures = decode(made)
    assert made.stat().st_size < MAX_BYTES
    assert len(pictures) == round(demo_clip.SECONDS * demo_clip.FPS)
    assert pictures[0].shape == (demo_clip.HEIGHT, demo_clip.WIDTH, 3)
    assert sorted(p.name for p in made.parent.iterdir()) == ["demo.expected.json", "demo.mp4"]


def test_the_room_is_empty_before_and_after(made: Path) -> None:
    pictures = decode(made)
    first, last = pictures[0].astype(int), pictures[-1].astype(int)
    middle = at(pictures, 3).astype(int)
    assert np.abs(first - last).mean() < 2
    assert np.abs(first - middle).mean() > 20


def test_it_is_bare_then_under_the_nose_then_correct() -> None:
    """Counts mask-blue pixels: none, some, more, with the nose tip covered only at the end."""
    photo = demo_clip.portrait()
    tip = np.round(demo_clip.LANDMARKS[2]).astype(int)
    counts, nose = [], []
    for time in (3.0, 5.5, 8.0):
        picture = demo_clip._dressed(photo, time).astype(int)
        blue = (picture[60:220, 140:290] @ np.array([-1, 0, 1])) > 40
        before = (photo[60:220, 140:290].astype(int) @ np.array([-1, 0, 1])) > 40
        counts.append(int(np.count_nonzero(blue & ~before)))
        patch = picture[tip[1] - 1 : tip[1] + 2, tip[0] - 1 : tip[0] + 2].mean(axis=(0, 1))
        nose.append(bool(patch[2] > patch[0]))
    assert counts[0] == 0
    assert 500 < counts[1] < counts[2]
    assert nose == [False, False, True]


def test_the_same_libraries_make_the_same_clip(made: Path, tmp_path: Path) -> None:
    again = tmp_path / "demo.mp4"
    demo_clip.write(again)
    for one, other in zip(decode(made), decode(again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_expectations_follow_the_timeline_with_time_to_confirm(made: Path) -> None:
    wishes = load_expectations(made.with_suffix(".expected.json"))["demo.mp4"]
    order = [Signal.IDLE, Signal.NO_MASK, Signal.INCORRECT, Signal.COMPLIANT]
    assert [wish.signal for wish in wishes] == order
    changes = [demo_clip.ARRIVED, demo_clip.MASK_UNDER_NOSE, demo_clip.MASK_CORRECT]
    for wish, change in zip(wishes[1:], changes, strict=True):
        assert wish.kind == "throughout"
        assert wish.start >= change + demo_clip.SLACK
        assert wish.end - wish.start >= 1
    assert all(a.end < b.start for a, b in itertools.pairwise(wishes))


def test_the_bundled_clip_is_what_the_script_makes(root: Path, made: Path) -> None:
    bundled = root / BUNDLED
    assert bundled.stat().st_size < MAX_BYTES
    for name in (bundled, made):
        text = name.with_suffix(".expected.json").read_text(encoding="utf-8")
        assert json.loads(text) == demo_clip.expectations("demo.mp4")
    # Other encoders and CPUs round differently: the pictures agree, not the bytes.
    for one, other in zip(decode(bundled), decode(made), strict=True):
        assert np.abs(one.astype(int) - other).mean() < 3


def test_an_unwritable_place_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert demo_clip.main(["--out", str(blocked / "demo.mp4")]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert message.startswith("error: cannot write")


def test_yunet_sees_one_face_while_somebody_is_there(made: Path, shared: Path) -> None:
    model = shared / "peers" / "yunet_2026may.onnx"
    detector = cv2.FaceDetectorYN.create(str(model), "", (demo_clip.WIDTH, demo_clip.HEIGHT), 0.6)
    pictures = decode(made)
    for seconds, people in ((0.2, 0), (3.0, 1), (5.5, 1), (8.0, 1), (9.7, 0)):
        bgr = cv2.cvtColor(at(pictures, seconds), cv2.COLOR_RGB2BGR)
        found = detector.detect(bgr)[1]
        assert (0 if found is None else len(found)) == people
