"""Folders of images: order, orientation, and every way in which a file can be broken."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.errors import SourceNotFoundError, SourceUnreadableError
from edge_app.settings import SourceSettings
from edge_app.sources import open_source
from edge_app.sources.images import read_image

ORANGE = (240, 130, 20)


def write_image(path: Path, width: int = 40, height: int = 20) -> Path:
    image = np.full((height, width, 3), ORANGE, np.uint8)
    done, content = cv2.imencode(path.suffix, image[:, :, ::-1])
    assert done
    path.write_bytes(content.tobytes())
    return path


def test_images_come_sorted_by_name_with_their_names(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.png", "c.JPEG"):
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "folder.jpg").mkdir()
    with open_source(str(tmp_path), SourceSettings()) as source:
        assert (source.live, source.frame_count, source.size) == (False, 3, (40, 20))
        frames = list(source)
        assert source.read() is None
    assert [frame.name for frame in frames] == ["a.png", "b.jpg", "c.JPEG"]
    assert [(frame.index, frame.time) for frame in frames] == [(0, 0.0), (1, 1.0), (2, 2.0)]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff"])
def test_pictures_are_rgb(tmp_path: Path, suffix: str) -> None:
    image = read_image(write_image(tmp_path / f"a{suffix}"))
    assert image.shape == (20, 40, 3)
    assert image.dtype == np.uint8
    assert image[10, 20] == pytest.approx(ORANGE, abs=6)


def test_a_grey_picture_becomes_rgb(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    path.write_bytes(cv2.imencode(".png", np.full((4, 6), 77, np.uint8))[1].tobytes())
    assert np.array_equal(read_image(path), np.full((4, 6, 3), 77))


@pytest.mark.parametrize("size", [(1000, 20), (20, 1000)])
def test_a_picture_that_is_all_width_or_height_is_refused(
    size: tuple[int, int], tmp_path: Path
) -> None:
    """The square around a face in it would be larger than the memory of a small board."""
    path = write_image(tmp_path / "a.jpg", *size)
    with pytest.raises(SourceUnreadableError, match=f"a picture of {size[0]}x{size[1]} pixels"):
        read_image(path)


def test_a_panorama_is_a_picture(tmp_path: Path) -> None:
    assert read_image(write_image(tmp_path / "a.jpg", 320, 20)).shape == (20, 320, 3)


def test_a_picture_taken_sideways_stands_upright(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.jpg")
    content = path.read_bytes()
    tiff = b"MM\x00*\x00\x00\x00\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"Exif\x00\x00" + tiff
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path.write_bytes(content[:2] + segment + content[2:])
    assert read_image(path).shape == (40, 20, 3)


def test_one_image_is_a_source_too(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.jpg")
    with open_source(str(path), SourceSettings()) as source:
        assert [frame.name for frame in source] == ["a.jpg"]


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(SourceUnreadableError, match=r": holds no images \(\.jpg, "):
        open_source(str(tmp_path), SourceSettings())


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="there is no such file"):
        open_source(str(tmp_path / "photos") + "/", SourceSettings())


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", r"the file is empty \(0 bytes\)"), (b"GIF89a nonsense", "not an image")],
)
def test_a_broken_image_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    write_image(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(content)
    with open_source(str(tmp_path), SourceSettings()) as source:
        assert source.read() is not None
        with pytest.raises(SourceUnreadableError, match=rf"^source .*b\.png: {why}"):
            source.read()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_jpeg_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    """OpenCV alone would fill the rest with grey, and the kiosk would judge it."""
    noise = np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)
    content = cv2.imencode(".jpg", noise)[1].tobytes()
    path = tmp_path / "a.jpg"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SourceUnreadableError, match=r"a\.jpg: the JPEG is cut off"):
        read_image(path)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_png_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)
    content = cv2.imencode(".png", noise)[1].tobytes()
    path = tmp_path / "a.png"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SourceUnreadableError, match=r"a\.png: "):
        read_image(path)


@pytest.mark.parametrize("folder", ["kaggle853/images", "binary/with_mask", "ilc2021/images"])
def test_real_pictures_are_whole(shared: Path, folder: str) -> None:
    files = sorted((shared / "data" / folder).iterdir())[::40]
    assert files
    for path in files:
        assert read_image(path).ndim == 3
