"""YuNet as the detector, by its real file on the bundled portrait, and files that are not it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from edge_app.check import check_yunet
from edge_app.domain import Image
from edge_app.errors import BundleError, BundleNotFoundError
from edge_app.pipeline import build_pipeline
from edge_app.replay import describe_bundles
from edge_app.settings import Settings, replace_settings
from edge_app.sources import open_source
from edge_app.vision.bundle import load_bundle
from edge_app.vision.detector import BundleDetector
from edge_app.vision.geometry import iou
from edge_app.vision.yunet import YuNet, is_yunet

CLIP = Path(__file__).resolve().parents[4] / "edge_app" / "assets" / "demo.mp4"


@pytest.fixture
def model(shared: Path) -> Path:
    return shared / "peers" / "yunet_2026may.onnx"


@pytest.fixture(scope="module")
def portrait() -> Image:
    with open_source(str(CLIP), Settings().source) as source:
        for _ in range(20):
            frame = source.read()
    assert frame is not None
    return frame.image


def test_it_finds_the_face_that_our_own_detector_finds(model: Path, portrait: Image) -> None:
    [face] = YuNet(model).detect(portrait)
    [ours] = BundleDetector(load_bundle("face_detector", "detect")).detect(portrait)
    boxes = [np.array([f.box.as_tuple()], np.float32) for f in (face, ours)]
    assert iou(*boxes)[0, 0] > 0.5
    assert 0.6 <= face.score <= 1


def test_the_threshold_decides_and_an_empty_wall_has_nobody(model: Path, portrait: Image) -> None:
    assert YuNet(model, score_threshold=0.999).detect(portrait) == []
    assert YuNet(model).detect(np.full((480, 640, 3), 128, np.uint8)) == []


def test_the_settings_choose_it_by_its_suffix(model: Path, portrait: Image) -> None:
    assert is_yunet("models/YuNet.ONNX")
    assert not is_yunet("face_detector")
    settings = replace_settings(Settings(), {"detector.bundle": str(model)})
    assert isinstance(build_pipeline(settings).detector, YuNet)
    named = describe_bundles(settings)["detect"]
    assert named["name"] == "yunet_2026may"
    assert named["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()


def test_check_says_what_runs_it(model: Path) -> None:
    result = check_yunet(model)
    assert result.status == "ok"
    assert "YuNet 320x240" in result.detail


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match=r"no YuNet model at .*gone\.onnx"):
        YuNet(tmp_path / "gone.onnx")
    settings = replace_settings(Settings(), {"detector.bundle": str(tmp_path / "gone.onnx")})
    with pytest.raises(BundleNotFoundError, match="no YuNet model"):
        describe_bundles(settings)


def test_a_file_that_is_not_the_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "face.onnx").write_bytes(b"not a network")
    with pytest.raises(BundleError, match=r"face\.onnx: OpenCV cannot run it") as raised:
        YuNet(tmp_path / "face.onnx")
    assert len(str(raised.value).splitlines()) == 1
    assert check_yunet(tmp_path / "face.onnx").status == "FAIL"
