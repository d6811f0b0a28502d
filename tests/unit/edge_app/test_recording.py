from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.domain import Image
from edge_app.errors import OutputError, UsageError
from edge_app.recording import VideoRecorder, write_atomically, write_picture

RED = (200, 30, 30)


def frame(width: int = 64, height: int = 48) -> Image:
    return np.full((height, width, 3), RED, np.uint8)


def record(path: Path, frames: list[Image], then: BaseException | None = None) -> None:
    with VideoRecorder(path, fps=10) as recorder:
        for one in frames:
            recorder.add(one)
        if then is not None:
            raise then


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_video_comes_back_with_its_frames_rate_size_and_colours(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.mp4"
    record(path, [frame()] * 5)
    assert names(path.parent) == ["out.mp4"]
    video = cv2.VideoCapture(str(path))
    assert video.get(cv2.CAP_PROP_FPS) == 10
    pictures = []
    while (read := video.read())[0]:
        pictures.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    video.release()
    assert len(pictures) == 5
    assert pictures[0].shape == (48, 64, 3)
    assert np.abs(pictures[0].reshape(-1, 3).mean(axis=0) - RED).max() < 12


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        record(path, [frame()], then=KeyboardInterrupt())
    assert names(tmp_path) == ["out.mp4"]
    assert path.read_bytes() == b"old"


def test_a_frame_of_another_size_is_an_error_that_names_both(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="frame 1 is 32x48, the video is 64x48"):
        record(tmp_path / "out.mp4", [frame(), frame(32)])
    assert names(tmp_path) == []


def test_only_mp4_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"out\.avi: an annotated video must be named \*\.mp4"):
        VideoRecorder(tmp_path / "out.avi", fps=10)


def test_a_file_in_the_way_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(OutputError) as caught:
            record(folder / "out.mp4", [frame()])
        reason = f"cannot make this folder: {tmp_path / 'file'} is a file"
        assert str(caught.value) == f"{folder}: {reason}"


def test_a_folder_in_the_way_of_the_file_leaves_no_part_behind(tmp_path: Path) -> None:
    (tmp_path / "out.json").mkdir()
    with pytest.raises(OutputError, match=r"out\.json: cannot be written"):
        write_atomically(tmp_path / "out.json", b"new")
    assert names(tmp_path) == ["out.json"]


def test_a_written_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert names(path.parent) == ["out.json"]


def test_a_picture_keeps_its_colours(tmp_path: Path) -> None:
    write_picture(tmp_path / "out.png", frame())
    back = cv2.imread(str(tmp_path / "out.png"))
    assert (cv2.cvtColor(back, cv2.COLOR_BGR2RGB) == frame()).all()


@pytest.mark.parametrize("name", ["out.xyz", "out"])
def test_a_picture_format_that_opencv_lacks_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="OpenCV cannot write"):
        write_picture(tmp_path / name, frame())
    assert names(tmp_path) == []
