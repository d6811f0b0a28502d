"""Small data sets made on the spot: smooth random pictures, so that hashes mean something."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.domain import Image
from training.data.camera import CameraRanges
from training.data.splits import Split
from training.data.store import FaceRecord, Record, Store, StoreWriter, open_store

Photo = Callable[..., Image]
Save = Callable[[Path, Image], Path]
MakeStore = Callable[[Iterable[tuple[str, Split, Image, tuple[FaceRecord, ...]]]], Store]


@pytest.fixture(scope="session")
def photo() -> Photo:
    """``photo(seed, width, height)``: an RGB picture unlike that of any other seed."""

    def make(seed: int, width: int = 120, height: int = 90) -> Image:
        blobs = np.random.default_rng(seed).integers(0, 256, (7, 7, 3)).astype(np.uint8)
        return np.asarray(cv2.resize(blobs, (width, height), interpolation=cv2.INTER_CUBIC))

    return make


@pytest.fixture(scope="session")
def save() -> Save:
    """``save(path, image)`` writes an RGB picture, making its folders; returns the path."""

    def write(path: Path, image: Image) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image[:, :, ::-1])
        return path

    return write


@pytest.fixture(scope="session")
def still() -> CameraRanges:
    """A camera that changes next to nothing, so that pixels can be compared."""
    return CameraRanges(
        gamma=1.0, colour_cast=0.0, contrast=0.0, grey=0.0, blur=0.3, noise=1.0, min_side=1024,
        jpeg_quality=95, occlusion=0.0,
    )  # fmt: skip


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """``make_store(pictures)`` writes and opens a store.

    Each picture is (data set, split, RGB image, faces); its file is ``SET/NUMBER.png``.
    """

    def make(pictures: Iterable[tuple[str, Split, Image, tuple[FaceRecord, ...]]]) -> Store:
        records = []
        with StoreWriter(tmp_path / "store") as writer:
            for number, (dataset, split, image, faces) in enumerate(pictures):
                height, width = image.shape[:2]
                file = f"{dataset}/{number}.png"
                offset = writer.add(image)
                records.append(
                    Record(dataset, file, "", file, split, width, height, 1.0, offset, faces)
                )
            writer.finish(records, {"datasets": {record.dataset: {} for record in records}})
        return open_store(tmp_path / "store")

    return make
