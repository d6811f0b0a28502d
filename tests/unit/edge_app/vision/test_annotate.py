import itertools

import numpy as np
import pytest

from edge_app.domain import Box, Face, Image, MaskState, Observation, Signal, Verdict
from edge_app.vision.annotate import (
    AMBER,
    GREEN,
    GREY,
    RED,
    SIGNAL_COLOURS,
    Colour,
    annotate,
    annotate_faces,
    describe,
    face_colour,
)

FACE_BOX = Box(100, 80, 160, 150)


def blank(width: int = 320, height: int = 240) -> Image:
    return np.zeros((height, width, 3), np.uint8)


def face(state: MaskState | None, box: Box = FACE_BOX) -> Face:
    best = state or MaskState.WITH_MASK
    rest = {other: 0.05 for other in MaskState if other is not best}
    return Face(box, 0.9, Verdict({best: 0.9, **rest}, state))


def observed(*faces: Face, signal: Signal = Signal.IDLE, reason: str = "why") -> Observation:
    return Observation(frame_index=0, time=0.0, signal=signal, reason=reason, faces=faces)


def has(image: Image, colour: Colour) -> bool:
    return bool((image == np.array(colour, np.uint8)).all(axis=2).any())


COLOURS = [
    (MaskState.WITH_MASK, GREEN),
    (MaskState.INCORRECT_MASK, AMBER),
    (MaskState.WITHOUT_MASK, RED),
    (None, GREY),
]


@pytest.mark.parametrize(("state", "colour"), COLOURS)
def test_a_box_has_the_colour_of_its_verdict_at_its_four_edges(
    state: MaskState | None, colour: Colour
) -> None:
    drawn = annotate(blank(), observed(face(state)))
    for x, y in [(100, 115), (159, 115), (130, 80), (130, 149)]:
        assert tuple(drawn[y, x]) == colour
    assert tuple(drawn[115, 130]) == (0, 0, 0), "the face itself stays visible"


def test_a_face_that_was_not_judged_is_grey_and_says_so() -> None:
    unjudged = Face(Box(0, 0, 9, 9), 0.8)
    assert face_colour(unjudged) == GREY
    assert describe(unjudged) == "not judged"


def test_every_face_has_words_beside_its_colour() -> None:
    assert describe(face(MaskState.WITHOUT_MASK)) == "without mask 90%"
    assert describe(face(None)) == "uncertain 90%"


@pytest.mark.parametrize("signal", list(Signal))
def test_the_band_on_top_has_the_colour_of_the_signal(signal: Signal) -> None:
    drawn = annotate(blank(), observed(signal=signal))
    assert tuple(drawn[0, 0]) == tuple(drawn[0, -1]) == SIGNAL_COLOURS[signal]
    assert not has(drawn[60:], SIGNAL_COLOURS[signal])


def test_the_frame_itself_is_not_changed() -> None:
    image = blank()
    image.flags.writeable = False
    drawn = annotate(image, observed(face(MaskState.WITH_MASK)))
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert not image.any()
    assert drawn.any()


@pytest.mark.parametrize("size", [(16, 16), (64, 48), (1920, 1080)])
@pytest.mark.parametrize(
    "box", [Box(-20, -20, 5000, 5000), Box(10, 10, 11, 11), Box(0, 14, 15.6, 15.7)]
)
def test_any_box_on_any_frame_can_be_drawn(size: tuple[int, int], box: Box) -> None:
    image = blank(*size)
    drawn = annotate(image, observed(face(None, box), reason="Grüße an 2 people, " * 20))
    assert drawn.shape == image.shape


def test_without_the_band_only_the_faces_are_drawn() -> None:
    drawn = annotate_faces(blank(), [face(MaskState.WITH_MASK)])
    assert has(drawn, GREEN)
    assert not drawn[:60].any()


def test_every_state_has_a_shape_of_its_own() -> None:
    labels = []
    for state, colour in COLOURS:
        drawn = annotate_faces(blank(), [face(state)])
        label = drawn[151:163, 101:113]  # the square before the words
        labels.append((label != np.array(colour)).any(axis=2))
    for one, other in itertools.combinations(labels, 2):
        assert (one != other).sum() > 10


@pytest.mark.parametrize(("state", "colour"), COLOURS)
def test_words_stand_out_from_their_colour(state: MaskState | None, colour: Colour) -> None:
    light = 0.2126 * 255, 0.7152 * 255, 0.0722 * 255
    drawn = annotate_faces(blank(), [face(state)])
    label = drawn[150:164, 118:170].reshape(-1, 3)
    distance = np.abs((label.astype(float) - colour) @ np.array(light) / 255).max()
    assert distance > 100
