from __future__ import annotations

import itertools
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edge_app.domain import Image
from edge_app.vision.geometry import resize
from training.data.groups import Fingerprint, fingerprint, group_pictures, near_duplicates

Photo = Callable[..., Image]


def jpeg(image: Image) -> Image:
    _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 30])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


VARIANTS: dict[str, Callable[[Image], Image]] = {
    "same": lambda image: image,
    "recompressed": jpeg,
    "smaller": lambda image: resize(image, 60, 45),
    "stretched": lambda image: resize(image, 240, 120),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "darker": lambda image: (image * 0.7).astype(np.uint8),
    "cropped": lambda image: np.ascontiguousarray(image[1:-1, 1:-1]),
    "logo": lambda image: np.asarray(
        cv2.rectangle(image.copy(), (5, 5), (25, 15), (255, 0, 0), -1)
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_a_picture_join_it(photo: Photo, name: str) -> None:
    prints = [fingerprint(photo(1)), fingerprint(VARIANTS[name](photo(1)))]
    assert near_duplicates(prints) == [(0, 1)]


def test_different_pictures_stay_apart(photo: Photo) -> None:
    prints = [fingerprint(photo(seed)) for seed in range(60)]
    assert near_duplicates(prints) == []


def bare(bits: int, thumb: int = 0) -> Fingerprint:
    """A fingerprint whose hash has that many bits set; the mirror image's is far from all."""
    noise = np.random.default_rng(thumb).integers(0, 256, (64, 64)).astype(np.uint8)
    return Fingerprint((1 << bits) - 1, (1 << 64) - 1, noise)


@pytest.mark.parametrize(
    ("distance", "same_thumb", "joined"),
    [(4, False, True), (5, False, False), (5, True, True), (10, True, True), (11, True, False)],
)
def test_the_hash_decides_when_close_and_the_correlation_farther_off(
    distance: int, same_thumb: bool, joined: bool
) -> None:
    prints = [bare(0, thumb=1), bare(distance, thumb=1 if same_thumb else 2)]
    assert bool(near_duplicates(prints)) is joined


def test_groups_are_transitive_and_named_after_their_first_file() -> None:
    # 0 and 8 bits are too far apart, but both are 4 bits from the one in between.
    prints = [bare(8, thumb=1), bare(40, thumb=2), bare(4, thumb=3), bare(0, thumb=4)]
    assert near_duplicates(prints) == [(0, 2), (2, 3)]
    assert group_pictures(["s/z", "s/y", "s/x", "s/b"], prints) == ["s/b", "s/y", "s/b", "s/b"]


def test_groups_do_not_depend_on_the_order() -> None:
    files = ["a", "b", "c", "d", "e"]
    prints = [bare(bits, thumb=bits) for bits in (0, 4, 8, 30, 33)]
    expected = {"a": "a", "b": "a", "c": "a", "d": "d", "e": "d"}
    for order in itertools.permutations(range(5)):
        groups = group_pictures([files[i] for i in order], [prints[i] for i in order])
        assert dict(zip([files[i] for i in order], groups, strict=True)) == expected


def test_flat_pictures_do_not_divide_by_zero() -> None:
    flat = fingerprint(np.full((20, 30, 3), 128, np.uint8))
    far = Fingerprint(flat.hash ^ 0b111111, flat.mirrored ^ 0b111111, flat.thumb)
    assert near_duplicates([flat, far]) == []


def test_no_or_one_picture() -> None:
    assert group_pictures([], []) == []
    assert group_pictures(["a"], [bare(3)]) == ["a"]
