"""Which faces the classifier sees, how often, and how their crops lie."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from edge_app.domain import Box, MaskState
from edge_app.errors import DatasetError
from edge_app.vision.geometry import square_crop
from training.data.faces import (
    FaceBatches,
    class_shares,
    draw_weights,
    labelled_faces,
    mixed,
    place,
    plain_crop,
)
from training.data.splits import Split
from training.data.store import FaceRecord
from training.recipe import ModelSettings, Phase, Recipe, Sampling

WITH, WITHOUT, INCORRECT = MaskState
LABELS = (WITH, WITHOUT, INCORRECT)
SAMPLING = Sampling(0.4, 16.0, 0.6, {"street": 1.0, "portraits": 1.0})
RECIPE = Recipe(
    name="tiny",
    task="classify",
    seed=7,
    batch=6,
    steps_per_epoch=2,
    phases=(Phase(1, 1e-3),),
    model=ModelSettings(64, 64),
    labels=LABELS,
    sampling=SAMPLING,
    thresholds={"confidence_floor": 0.5},
)


def face(x, y, side, label, **more):
    return FaceRecord(Box(x, y, x + side, y + side), label, **more)


def landmarks(x, y, side):
    """Right eye, left eye, nose, mouth corners of a frontal face in a square box."""
    places = [(0.3, 0.38), (0.7, 0.38), (0.5, 0.58), (0.35, 0.78), (0.65, 0.78)]
    return tuple((x + side * u, y + side * v) for u, v in places)


@pytest.fixture
def store(make_store, photo):
    """Training: four with, two without, one incorrect; and some that must not be drawn."""
    train, val, test = Split.TRAIN, Split.VAL, Split.TEST
    return make_store(
        [
            ("street", train, photo(1), (face(5, 5, 40, WITH), face(60, 30, 50, WITHOUT))),
            ("street", train, photo(2), (face(5, 5, 40, WITH), face(60, 30, 15.9, WITHOUT))),
            ("street", train, photo(3), (face(5, 5, 40, INCORRECT),)),
            ("street", train, photo(4), (face(5, 5, 40, WITHOUT, difficult=True),)),
            ("portraits", train, photo(5), (face(20, 5, 70, WITH), face(90, 5, 20, None))),
            ("portraits", train, photo(6), (face(20, 5, 70, WITH), face(1, 1, 30, WITHOUT))),
            ("other", train, photo(7), (face(5, 5, 40, WITHOUT),)),
            ("street", val, photo(8), (face(5, 5, 40, WITHOUT),)),
            ("street", test, photo(9), (face(5, 5, 40, WITHOUT),)),
        ]
    )


def train_faces(store, min_face=16.0, labels=LABELS):
    return labelled_faces(store, "train", ("street", "portraits"), labels, min_face)


def test_only_certain_labelled_large_faces_of_the_split_and_sets_count(store) -> None:
    found = Counter((s.record.dataset, s.label) for s in train_faces(store))
    assert found == {
        ("street", WITH): 2,
        ("street", WITHOUT): 1,
        ("street", INCORRECT): 1,
        ("portraits", WITH): 2,
        ("portraits", WITHOUT): 1,
    }
    assert len(labelled_faces(store, "val", ("street",), LABELS, 16)) == 1
    assert all(s.label is not INCORRECT for s in train_faces(store, labels=(WITH, WITHOUT)))


def test_no_face_at_all_is_one_line(store) -> None:
    with pytest.raises(DatasetError, match=r"no face of street, portraits in the train split"):
        train_faces(store, min_face=500)


def test_rare_classes_and_heavy_sets_are_drawn_more_often(store) -> None:
    samples = train_faces(store)
    weights = draw_weights(samples, SAMPLING)
    assert weights.sum() == pytest.approx(1)
    of = {(s.record.dataset, s.label): w for s, w in zip(samples, weights, strict=True)}
    assert of["street", INCORRECT] > of["street", WITHOUT] > of["street", WITH]
    # Four of one class against one of another, with the class power of the recipe.
    ratio = of["street", INCORRECT] / of["street", WITH]
    assert ratio == pytest.approx(4**SAMPLING.class_power)
    heavier = dataclasses.replace(SAMPLING, dataset_weights={"street": 3.0, "portraits": 1.0})
    share = sum(
        w
        for s, w in zip(samples, draw_weights(samples, heavier), strict=True)
        if s.record.dataset == "street"
    )
    assert share > sum(w for (name, _), w in of.items() if name == "street")


def test_a_plain_crop_is_the_device_s(store) -> None:
    sample = train_faces(store)[0]
    expected = square_crop(store.image(sample.record), sample.face.box, 0.4, 64)
    np.testing.assert_array_equal(plain_crop(store, sample, 0.4, 64), expected)


def test_a_batch_depends_on_seed_epoch_and_index_alone(store) -> None:
    samples = train_faces(store)
    batches = FaceBatches(store, samples, RECIPE)
    pictures, labels = batches.batch(3, 1)
    batches.batch(0, 0)  # what was asked for in between does not matter
    again, labels_again = FaceBatches(store, samples, RECIPE).batch(3, 1)
    np.testing.assert_array_equal(pictures, again)
    np.testing.assert_array_equal(labels, labels_again)
    reseeded = FaceBatches(store, samples, dataclasses.replace(RECIPE, seed=8))
    for other in (batches.batch(3, 0), batches.batch(4, 1), reseeded.batch(3, 1)):
        assert not np.array_equal(pictures, other[0])


def test_a_batch_has_the_network_s_range_and_one_label_each(store) -> None:
    pictures, labels = FaceBatches(store, train_faces(store), RECIPE).batch(0, 0)
    assert pictures.shape == (6, 64, 64, 3)
    assert pictures.dtype == labels.dtype == np.float32
    assert pictures.min() >= -1
    assert pictures.max() <= 1
    assert pictures.max() - pictures.min() > 0.5
    np.testing.assert_array_equal(np.sort(labels, axis=1), [[0, 0, 1]] * 6)


def test_the_label_of_a_crop_is_that_of_its_face(make_store, still) -> None:
    """Faces of one colour per label: whatever the augmentation does, the hue stays."""
    colour = {WITH: (0, 255, 0), WITHOUT: (255, 0, 0), INCORRECT: (0, 0, 255)}
    pictures = []
    for label, rgb in colour.items():
        image = np.zeros((90, 120, 3), np.uint8) + np.array(rgb, np.uint8)
        pictures.append(("street", Split.TRAIN, image, (face(30, 20, 40, label),)))
    recipe = dataclasses.replace(RECIPE, camera=still)
    store = make_store(pictures)
    batches = FaceBatches(store, train_faces(store), recipe)
    rng = np.random.default_rng(0)
    drawn = [batches.draw(rng) for _ in range(30)]
    assert {label for _, label in drawn} == set(LABELS)
    for crop, label in drawn:
        assert np.argmax(crop.mean(axis=(0, 1))) == np.argmax(colour[label])


def test_a_label_that_no_face_has_is_one_line(store) -> None:
    samples = [s for s in train_faces(store) if s.label is not INCORRECT]
    with pytest.raises(DatasetError, match="no training face is labelled incorrect_mask"):
        FaceBatches(store, samples, RECIPE)


def test_rendering_without_landmarks_is_one_line(store) -> None:
    rendering = dataclasses.replace(RECIPE, sampling=dataclasses.replace(SAMPLING, render=0.2))
    with pytest.raises(DatasetError, match="prepare with --landmarks"):
        FaceBatches(store, train_faces(store), rendering)


def test_rendered_masks_take_the_label_of_how_they_are_worn(make_store, photo) -> None:
    marks = landmarks(30, 20, 60)
    store = make_store(
        [
            ("street", Split.TRAIN, photo(1), (face(30, 20, 60, WITHOUT, landmarks=marks),)),
            ("street", Split.TRAIN, photo(2), (face(30, 20, 60, WITH, landmarks=marks),)),
        ]
    )
    samples = train_faces(store)

    def labels(**changes: float) -> set[MaskState]:
        sampling = dataclasses.replace(SAMPLING, render=1.0, **changes)
        batches = FaceBatches(store, samples, dataclasses.replace(RECIPE, sampling=sampling))
        rng = np.random.default_rng(1)
        return {batches.draw(rng)[1] for _ in range(12)}

    assert labels(render_correct=1.0) == {WITH}
    assert labels(render_correct=0.0) == {INCORRECT}


def test_without_movement_a_placed_crop_is_the_middle_of_its_context(photo) -> None:
    context = photo(3, 96, 96)
    still = dataclasses.replace(SAMPLING, shift=0.0, scale=1.0, rotation=0.0)
    middle = context[16:80, 16:80]
    seen = []
    for seed in range(12):
        crop = place(context, 64, still, np.random.default_rng(seed))
        mirrored = np.abs(crop.astype(int) - middle[:, ::-1]).max() <= 1
        assert mirrored or np.abs(crop.astype(int) - middle).max() <= 1
        seen.append(mirrored)
    assert True in seen
    assert False in seen


def test_a_placed_crop_moves_no_more_than_allowed() -> None:
    context = np.zeros((96, 96, 3), np.uint8)
    context[46:50, 46:50] = 255  # the face's centre
    sampling = dataclasses.replace(SAMPLING, shift=0.1, scale=1.0, rotation=0.0)
    places = []
    for seed in range(60):
        bright = place(context, 64, sampling, np.random.default_rng(seed))[..., 0].astype(float)
        ys, xs = np.mgrid[:64, :64]
        places.append(
            ((bright * xs).sum() / bright.sum() - 31.5, (bright * ys).sum() / bright.sum() - 31.5)
        )
    assert np.abs(places).max() <= 6.9  # 0.1 of 64, and the half pixel of resampling
    assert np.abs(places).max() > 4


def test_a_sheared_crop_leans_about_its_middle() -> None:
    context = np.zeros((96, 96, 3), np.uint8)
    context[16:80, 47:49] = 255  # an upright line through the face's centre
    sampling = dataclasses.replace(SAMPLING, shift=0.0, scale=1.0, rotation=0.0, shear=0.2)
    lean = []
    for seed in range(40):
        bright = place(context, 64, sampling, np.random.default_rng(seed))[..., 0].astype(float)
        xs = (bright * np.arange(64)).sum(axis=1) / bright.sum(axis=1)
        lean.append((xs[63] - xs[0]) / 63)
        assert (xs[31] + xs[32]) / 2 == pytest.approx(31.5, abs=0.6)
    assert np.abs(lean).max() <= 0.21
    assert np.abs(lean).max() > 0.1


def test_a_limited_kind_keeps_so_many_of_all_splits_and_the_others_all(store) -> None:
    def kept(split, **limits):
        limits = {key.replace("_", "/", 1): most for key, most in limits.items()}
        args = (("street", "portraits"), LABELS, 16.0, limits)
        return Counter(f"{s.record.dataset}/{s.label}" for s in labelled_faces(store, split, *args))

    whole = kept("train")
    assert whole == {
        "street/with_mask": 2, "street/without_mask": 1, "street/incorrect_mask": 1,
        "portraits/with_mask": 2, "portraits/without_mask": 1,
    }  # fmt: skip
    assert kept("train", portraits_with_mask=1) == whole | {"portraits/with_mask": 1}
    assert "portraits/with_mask" not in kept("train", portraits_with_mask=0)
    # Bare faces lie in one picture of each split: a limit counts all of them.
    splits = ("train", "val", "test")
    left = [kept(split, street_without_mask=2)["street/without_mask"] for split in splits]
    assert sorted(left) == [0, 1, 1]
    assert kept("train", street_without_mask=9) == whole


def test_a_limit_picks_the_same_faces_whatever_their_order(make_store, photo) -> None:
    def picked(order):
        pictures = [("street", Split.TRAIN, photo(i), (face(5, 5, 40, WITH),)) for i in order]
        store = make_store(pictures)
        hashed = [
            dataclasses.replace(record, sha256=f"{i:02d}")
            for i, record in zip(order, store.records, strict=True)
        ]
        store.records[:] = hashed
        found = labelled_faces(store, "train", ("street",), LABELS, 16.0, {"street/with_mask": 2})
        return {sample.record.sha256 for sample in found}

    assert picked([3, 1, 2]) == picked([2, 3, 1]) == {"01", "02"}


def test_class_shares_are_those_of_the_draws(store) -> None:
    sampling = dataclasses.replace(SAMPLING, render=0.4, render_correct=0.75)
    shares = class_shares(train_faces(store), sampling, LABELS)
    assert shares.sum() == pytest.approx(1)
    drawn = class_shares(train_faces(store), SAMPLING, LABELS)
    weights = draw_weights(train_faces(store), SAMPLING)
    bare = sum(w for w, s in zip(weights, train_faces(store), strict=True) if s.label is WITHOUT)
    assert drawn[1] == pytest.approx(bare)
    np.testing.assert_allclose(shares, 0.6 * drawn + [0.3, 0, 0.1])


def test_mixup_blends_pictures_and_labels_alike(store) -> None:
    rng = np.random.default_rng(0)
    labels = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    pictures = np.broadcast_to(labels[:, None, None, :], (6, 4, 4, 3)).copy()
    blended, soft = mixed(pictures, labels, 0.5, rng)
    np.testing.assert_allclose(blended[:, 0, 0], soft, rtol=1e-6)
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-6)
    assert ((soft > 0.01) & (soft < 0.99)).any()
    recipe = dataclasses.replace(RECIPE, mixup=0.5)
    batches = FaceBatches(store, train_faces(store), recipe)
    first, again = batches.batch(0, 0), batches.batch(0, 0)
    np.testing.assert_array_equal(first[0], again[0])
    plain = FaceBatches(store, train_faces(store), RECIPE).batch(0, 0)
    assert set(np.unique(plain[1])) == {0, 1}
    assert first[0].dtype == first[1].dtype == np.float32
    assert not np.array_equal(first[1], plain[1])
