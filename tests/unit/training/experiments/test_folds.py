from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from edge_app.domain import Box, MaskState
from edge_app.errors import DatasetError, UsageError
from training.data.faces import usable_faces
from training.data.splits import Split
from training.data.store import FaceRecord, Record, Store, StoreWriter, open_store
from training.experiments.folds import assign_folds, fold_store
from training.experiments.overrides import override
from training.recipe_file import load_recipe

BOX = Box(0.0, 0.0, 30.0, 30.0)
RECIPE = override(
    load_recipe("mask_classifier_base"),
    {"sampling.dataset_weights": {"street": 1.0}, "sampling.render": 0.0},
)
STATES = list(MaskState)
WITHOUT = "street/without_mask"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """60 pictures in groups of two, labels in turn; some test, elsewhere, or without faces."""
    path = tmp_path_factory.mktemp("folds") / "store"
    places = {57: Split.TEST, 58: Split.TEST, 59: Split.EXCLUDED}
    with StoreWriter(path) as writer:
        records = []
        for i in range(62):
            offset = writer.add(np.zeros((30, 30, 3), np.uint8))
            state = STATES[i // 2 % 3]
            split = places.get(i, Split.VAL if i % 10 == 0 else Split.TRAIN)
            faces = () if i == 60 else (FaceRecord(BOX, state),)
            dataset = "yard" if i >= 60 else "street"
            records.append(
                Record(
                    dataset, f"{dataset}/{i}", "", f"g{i // 2}", split, 30, 30, 1.0, offset, faces
                )
            )
        about = {"stored": {}, "faces": {}}
        writer.finish(records, {"datasets": {"street": about, "yard": about}})
    return open_store(path)


def test_folds_hold_every_usable_picture_once_and_no_group_twice(store: Store) -> None:
    assigned = assign_folds(store, RECIPE, 5)
    assert set(assigned) == {f"street/{i}" for i in range(57)}
    groups: dict[str, set[int]] = {}
    for record in store.records:
        if record.file in assigned:
            groups.setdefault(record.group, set()).add(assigned[record.file])
    assert all(len(folds) == 1 for folds in groups.values())
    assert set(assigned.values()) == set(range(5))


def test_folds_hold_no_more_faces_than_the_recipe_allows(store: Store) -> None:
    limited = override(RECIPE, {"sampling.limits": {"street/without_mask": 7}})
    kept = {s.record.file for s in usable_faces(store, ["street"], STATES, 0.0, {WITHOUT: 7})}
    assigned = assign_folds(store, limited, 3)
    assert set(assigned) == {file for file in assign_folds(store, RECIPE, 3) if file in kept}
    labels = Counter(r.faces[0].label for r in store.records if r.file in assigned)
    assert labels[MaskState.WITHOUT_MASK] <= 7 < labels[MaskState.WITH_MASK]


def test_folds_are_stratified_and_always_the_same(store: Store) -> None:
    assigned = assign_folds(store, RECIPE, 3)
    labels = {r.file: r.faces[0].label for r in store.records if r.faces}
    counts = Counter((fold, labels[file]) for file, fold in assigned.items())
    assert all(4 <= counts[fold, state] <= 8 for fold in range(3) for state in STATES)
    assert assign_folds(store, RECIPE, 3) == assigned
    assert assign_folds(store, override(RECIPE, {"seed": 1}), 3) != assigned


def test_a_fold_is_held_out_the_next_one_chooses_and_test_pictures_are_gone(store: Store) -> None:
    assigned = assign_folds(store, RECIPE, 5)
    view = fold_store(store, assigned, 5, 4)
    for record, before in zip(view.records, store.records, strict=True):
        fold = assigned.get(record.file)
        expected = {4: Split.TEST, 0: Split.VAL, None: Split.EXCLUDED}.get(fold, Split.TRAIN)
        if not record.faces:
            expected = before.split  # a room teaches a detector, whatever the fold
        assert record.split is expected
    held_out = sum(fold == 4 for fold in assigned.values())
    assert view.manifest["datasets"]["street"]["stored"]["test"] == held_out
    assert sum(view.manifest["datasets"]["street"]["faces"]["test"].values()) == held_out
    np.testing.assert_array_equal(view.image(view.records[3]), store.image(store.records[3]))


def test_every_fold_is_another_data_set_to_a_run(store: Store) -> None:
    assigned = assign_folds(store, RECIPE, 3)
    hashes = {fold_store(store, assigned, 3, fold).sha256 for fold in range(3)}
    other = assign_folds(store, override(RECIPE, {"seed": 1}), 3)
    assert len(hashes | {store.sha256, fold_store(store, other, 3, 0).sha256}) == 5


def test_what_cannot_be_divided_is_said(store: Store) -> None:
    with pytest.raises(UsageError, match="--folds 2: at least 3"):
        assign_folds(store, RECIPE, 2)
    with pytest.raises(DatasetError, match=r"than folds \(11\) of: with_mask \(10\)"):
        assign_folds(store, RECIPE, 11)
