from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from edge_app.domain import Image
from edge_app.errors import DatasetError
from training.data.pictures import read_picture

Photo = Callable[..., Image]
Save = Callable[[Path, Image], Path]


def test_a_png_is_read_as_rgb_and_hashed(tmp_path: Path, photo: Photo, save: Save) -> None:
    path = save(tmp_path / "a.png", photo(1))
    picture = read_picture(path)
    np.testing.assert_array_equal(picture.image, photo(1))
    assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_grey_and_transparent_pictures_become_rgb(tmp_path: Path, photo: Photo) -> None:
    for mode in ("L", "RGBA", "P"):
        PilImage.fromarray(photo(1)).convert(mode).save(tmp_path / f"{mode}.png")
        assert read_picture(tmp_path / f"{mode}.png").image.shape == photo(1).shape


def test_exif_rotation_is_applied(tmp_path: Path, photo: Photo) -> None:
    exif = PilImage.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to show"
    PilImage.fromarray(photo(1, 120, 90)).save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").image.shape == (120, 90, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("kept", [0.5, 0.9, 0.999])
def test_a_truncated_picture_is_not_half_used(
    tmp_path: Path, photo: Photo, save: Save, suffix: str, kept: float
) -> None:
    path = save(tmp_path / f"a{suffix}", photo(1))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DatasetError, match="truncated"):
        read_picture(path)


def test_bytes_after_a_jpegs_end_do_no_harm(tmp_path: Path, photo: Photo, save: Save) -> None:
    path = save(tmp_path / "a.jpg", photo(1))
    path.write_bytes(path.read_bytes() + b"appended by some camera")
    assert read_picture(path).image.shape == photo(1).shape


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"<html>not found</html>", "not a picture"), (b"\xff\xd8\xff\xd9", "not a")],
)
def test_files_that_are_no_pictures(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        read_picture(tmp_path / "a.jpg")


def test_a_missing_picture(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_picture(tmp_path / "none.jpg")
