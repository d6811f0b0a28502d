from __future__ import annotations

import numpy as np

from edge_app.daemon.slot import LatestShot, Shot
from edge_app.domain import Frame

PATIENCE_S = 20.0


def test_the_slot_holds_the_newest_frame_only() -> None:
    slot, image = LatestShot(), np.zeros((1, 1, 3), np.uint8)
    assert slot.take(0) is None
    slot.put(Shot(Frame(image, 0, 0)))
    slot.put(Shot(Frame(image, 1, 1)))
    taken = slot.take(0)
    assert taken is not None
    assert taken.frame.index == 1
    assert slot.take(0) is None
    assert not slot.finished
    assert slot.dropped == 1


def test_the_last_frame_is_still_taken_after_the_slot_was_closed() -> None:
    slot = LatestShot()
    slot.put(Shot(Frame(np.zeros((1, 1, 3), np.uint8), 0, 0)))
    slot.close()
    assert not slot.finished
    assert slot.take(PATIENCE_S) is not None
    assert slot.finished
    assert slot.take(PATIENCE_S) is None, "at once: the slot is closed"
