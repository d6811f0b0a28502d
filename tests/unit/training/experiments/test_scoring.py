"""Which faces the experiments score on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edge_app.domain import Box, MaskState
from edge_app.errors import DatasetError
from training.data.splits import Split
from training.data.store import FaceRecord, Record, Store, StoreWriter, open_store
from training.experiments.scoring import SCORED_MIN_FACE, scored_faces

WITH, WITHOUT, INCORRECT = MaskState
SIDE = int(SCORED_MIN_FACE)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Four faces of each label in ``train``, and one that is too small; the hashes rise."""
    path: Path = tmp_path_factory.mktemp("scored") / "store"
    with StoreWriter(path) as writer:
        records = []
        for i in range(13):
            offset = writer.add(np.zeros((SIDE, SIDE, 3), np.uint8))
            box = Box(0.0, 0.0, SIDE - (i == 12), SIDE)
            face = FaceRecord(box, (WITH, WITHOUT, INCORRECT)[i % 3])
            file = f"street/{i}"
            records.append(
                Record(
                    "street", file, f"{i:02d}", file, Split.TRAIN, SIDE, SIDE, 1.0, offset, (face,)
                )
            )
        writer.finish(records, {"datasets": {"street": {}}})
    return open_store(path)


def test_large_faces_of_known_labels_are_scored_and_the_others_counted(store: Store) -> None:
    faces, left_out = scored_faces(store, "train", ["street"], [WITH, WITHOUT])
    assert Counter(s.label for s in faces) == {WITH: 4, WITHOUT: 4}
    assert left_out == {"incorrect_mask": 4}


def test_a_recipe_s_limits_hold(store: Store) -> None:
    limits = {"street/with_mask": 2, "street/incorrect_mask": 1}
    faces, left_out = scored_faces(store, "train", ["street"], [WITH, WITHOUT], limits=limits)
    assert [s.record.file for s in faces if s.label is WITH] == ["street/0", "street/3"]
    assert Counter(s.label for s in faces) == {WITH: 2, WITHOUT: 4}
    assert left_out == {"incorrect_mask": 1}


def test_at_most_so_many_are_drawn_the_same_every_time(store: Store) -> None:
    few, _ = scored_faces(store, "train", ["street"], list(MaskState), 5)
    again, _ = scored_faces(store, "train", ["street"], list(MaskState), 5)
    assert len(few) == 5
    assert few == again


def test_none_is_one_line(store: Store) -> None:
    with pytest.raises(DatasetError, match="no face of street in the val split"):
        scored_faces(store, "val", ["street"], [WITH])
