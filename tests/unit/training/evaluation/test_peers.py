import cv2
import numpy as np
import pytest

from edge_app.domain import Box, MaskState
from edge_app.errors import BundleNotFoundError
from edge_app.vision.geometry import iou
from training.data.readers import read_dataset, settle
from training.evaluation import peers
from training.evaluation.detect import as_detections


def test_anchors_are_as_many_as_the_network_answers_and_centred_in_their_cells():
    anchors = peers.aizoo_anchors()
    assert anchors.shape == (5972, 4)
    assert anchors[0] == pytest.approx([0.5 / 33, 0.5 / 33, 0.04, 0.04])
    assert anchors[4, :2] == pytest.approx([1.5 / 33, 0.5 / 33]), "row by row, left to right"
    assert anchors[-1, 2] / anchors[-1, 3] == pytest.approx(0.42)


def test_code_zero_is_the_anchor():
    anchors = np.array([[0.5, 0.4, 0.2, 0.1]], np.float32)
    box = peers.aizoo_decode(np.zeros((1, 4), np.float32), anchors)
    assert box[0] == pytest.approx([0.4, 0.35, 0.6, 0.45])


def test_a_missing_peer_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(BundleNotFoundError, match="coral_mask.*--peers"):
        peers.Coral(tmp_path)


@pytest.fixture(scope="module")
def portrait(request):
    """The picture of kaggle853 with the largest lone face, and that face."""
    shared = request.getfixturevalue("shared")
    best = None
    for sample in read_dataset(shared / "data" / "kaggle853").samples:
        if len(sample.annotations) == 1 and sample.annotations[0].label is MaskState.WITH_MASK:
            width, height = sample.stated_size
            faces, _ = settle(sample, width, height)
            if best is None or faces[0].box.area > best[1].box.area:
                best = (sample, faces[0])
    sample, face = best
    return cv2.cvtColor(cv2.imread(str(sample.path)), cv2.COLOR_BGR2RGB), face.box


@pytest.fixture
def folder(shared):
    return shared / "peers"


@pytest.mark.parametrize("name", ["yunet", "aizoo"])
def test_peers_find_the_face_where_it_is(portrait, folder, name):
    image, box = portrait
    detector = peers.Aizoo(folder) if name == "aizoo" else peers.yunet(folder, 320, 240, 0.6)
    detections = as_detections(detector.detect(image))
    truth = np.array([box.as_tuple()], np.float32)
    assert iou(detections.boxes[:1], truth)[0, 0] > 0.5


def test_aizoo_and_coral_see_the_mask(portrait, folder):
    image, box = portrait
    assert peers.Aizoo(folder).detect(image)[0].verdict.state is MaskState.WITH_MASK
    assert peers.Coral(folder).classify(image, box).state is MaskState.WITH_MASK


def test_coral_answers_with_its_two_states(folder):
    image = np.full((50, 50, 3), 128, np.uint8)
    verdict = peers.Coral(folder).classify(image, Box(5, 5, 45, 45))
    assert set(verdict.probabilities) == {MaskState.WITH_MASK, MaskState.WITHOUT_MASK}
    assert sum(verdict.probabilities.values()) == pytest.approx(1, abs=0.02)
