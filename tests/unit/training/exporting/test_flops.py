from pathlib import Path

import pytest

from edge_app.errors import ExportError
from training.exporting.flops import float_operators, multiply_adds

DATA = Path(__file__).resolve().parents[3] / "data"


def test_the_tiny_classifier_is_counted_by_hand():
    # Average pooling, then a 1x1 convolution from 3 channels to 3 at one place.
    assert multiply_adds((DATA / "tiny_classifier.tflite").read_bytes()) == 9


def test_the_tiny_detector_is_counted_by_hand():
    # At 16x12 and 8x6 cells a 1x1 convolution from 3 channels to 1 and one to 4.
    cells = 16 * 12 + 8 * 6
    assert multiply_adds((DATA / "tiny_detector.tflite").read_bytes()) == cells * (3 + 12)


@pytest.mark.parametrize("name", ["tiny_classifier", "tiny_detector"])
def test_integer_models_have_no_float_operators(name):
    assert float_operators((DATA / f"{name}.tflite").read_bytes()) == []


def test_what_is_no_model_is_refused():
    with pytest.raises(ExportError, match="not a TFLite model"):
        multiply_adds(b"nothing of the kind")


def test_mobilenet_v2_has_its_published_300_million(shared):
    model = (shared / "peers" / "imagenet_mobilenet_v2_1.0_224_int8.tflite").read_bytes()
    assert multiply_adds(model) == pytest.approx(300e6, rel=0.01)
    assert float_operators(model) == []


def test_a_float_model_is_told(shared):
    found = float_operators((shared / "peers" / "aizoo_ssd_260_float.tflite").read_bytes())
    assert any(name.startswith("CONV_2D -> ") for name in found)
