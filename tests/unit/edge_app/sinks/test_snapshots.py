"""Pictures of violations, on real files."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_app.domain import (
    Box,
    Face,
    Frame,
    Image,
    MaskState,
    Observation,
    Signal,
    Track,
    Verdict,
    Vitals,
)
from edge_app.errors import SettingsError, SnapshotError
from edge_app.settings import Settings, SnapshotSettings, replace_settings
from edge_app.sinks import Sink, snapshots
from edge_app.sinks.opening import open_sinks
from edge_app.sinks.snapshots import EXPIRE_S, PARTIAL_NAME, Snapshots, snapshots_folder
from tests.disks import Disk

BARE, WRONG, MASKED = MaskState.WITHOUT_MASK, MaskState.INCORRECT_MASK, MaskState.WITH_MASK
LEFT, RIGHT, FAR = Box(20, 40, 80, 100), Box(180, 40, 240, 100), Box(120, 10, 138, 28)
SETTINGS = SnapshotSettings(enabled=True)


def picture() -> Image:
    """Stripes one pixel wide on the faces, which survive JPEG only where nothing was hidden."""
    image = np.full((160, 280, 3), 90, np.uint8)
    for box in (LEFT, RIGHT, FAR):
        x0, y0, x1, y1 = (int(v) for v in box.as_tuple())
        image[y0:y1:4, x0:x1] = 250
        image[y0 + 1 : y1 : 4, x0:x1] = 250
    return image


def frame() -> Frame:
    return Frame(picture(), 0.0, 0)


def scene(
    *people: tuple[int, Box, MaskState | None], lost: tuple[int, ...] = (), time: float = 0.0
) -> Observation:
    """People by track, box and state; those in ``lost`` are followed but not found."""
    tracks = tuple(
        Track(number, box, state, 1.0, 0.3 if number in lost else 0.0, 5)
        for number, box, state in people
    )
    faces = tuple(
        Face(box, 0.9, None if state is None else Verdict({state: 0.9}, state))
        for number, box, state in people
        if number not in lost
    )
    return Observation(0, time, Signal.NO_MASK, "somebody", faces, tracks)


def is_clear(image: Image, box: Box) -> bool:
    """Whether the stripes can still be seen."""
    x0, y0, x1, y1 = (int(v) for v in box.as_tuple())
    return bool(image[y0:y1, x0:x1].astype(float).mean(axis=(1, 2)).std() > 40)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "snapshots"


@pytest.fixture
def camera(folder: Path, clock: Any) -> Snapshots:
    return Snapshots(folder, SETTINGS, clock)


def pictures(folder: Path) -> list[Image]:
    found = [cv2.imread(str(file)) for file in sorted(folder.iterdir())]
    assert all(image is not None for image in found)
    return found  # type: ignore[return-value]


def test_one_picture_per_new_violation(camera: Sink, folder: Path, names: Any) -> None:
    for _ in range(5):
        camera.handle(scene((7, LEFT, BARE)), frame())
    assert names(folder) == ["20260302T070000.000Z-NO_MASK-7.jpg"]
    (image,) = pictures(folder)
    assert image.shape == (160, 280, 3)
    assert is_clear(image, LEFT)


def test_whoever_else_is_in_view_is_hidden(camera: Snapshots, folder: Path) -> None:
    camera.handle(scene((1, LEFT, BARE), (2, RIGHT, MASKED), (3, FAR, None)), frame())
    (image,) = pictures(folder)
    assert [is_clear(image, box) for box in (LEFT, RIGHT, FAR)] == [True, False, False]


def test_two_violations_make_two_pictures_of_one_each(
    camera: Snapshots, folder: Path, names: Any
) -> None:
    camera.handle(scene((1, LEFT, BARE), (2, RIGHT, WRONG)), frame())
    assert [name.split("Z-")[1] for name in names(folder)] == ["INCORRECT-2.jpg", "NO_MASK-1.jpg"]
    wrong, bare = pictures(folder)
    assert [is_clear(wrong, box) for box in (LEFT, RIGHT)] == [False, True]
    assert [is_clear(bare, box) for box in (LEFT, RIGHT)] == [True, False]


def test_somebody_followed_but_not_found_is_hidden_where_they_were_last(
    camera: Snapshots, folder: Path
) -> None:
    camera.handle(scene((1, LEFT, BARE), (2, Box(60, 40, 120, 100), MASKED), lost=(2,)), frame())
    (image,) = pictures(folder)
    assert not is_clear(image, Box(60, 40, 80, 100))
    assert is_clear(image, Box(20, 40, 40, 100))


@pytest.mark.parametrize("state", [MASKED, None])
def test_nobody_else_is_pictured(camera: Snapshots, names: Any, folder: Path, state: Any) -> None:
    camera.handle(scene((1, LEFT, state)), frame())
    assert names(folder) == []


def test_a_violation_whose_face_is_not_in_the_frame_is_pictured_later(
    camera: Snapshots, names: Any, folder: Path
) -> None:
    camera.handle(scene((1, LEFT, BARE), lost=(1,)), frame())
    moved = scene((1, LEFT, BARE))
    camera.handle(Observation(0, 0, moved.signal, "", (Face(RIGHT, 0.9),), moved.tracks), frame())
    camera.handle(scene((1, LEFT, BARE)), None)
    assert names(folder) == []
    camera.handle(scene((1, LEFT, BARE)), frame())
    assert len(names(folder)) == 1


def test_another_state_is_a_new_violation_and_so_is_another_person(
    camera: Snapshots, names: Any, folder: Path
) -> None:
    for number, state in ((1, WRONG), (1, MASKED), (1, BARE), (1, WRONG), (2, WRONG)):
        camera.handle(scene((number, LEFT, state)), frame())
    assert [name.split("Z-")[1] for name in names(folder)] == [
        "INCORRECT-1.jpg",
        "INCORRECT-2.jpg",
        "NO_MASK-1.jpg",
    ]


def test_files_are_private_whole_and_without_metadata(camera: Snapshots, folder: Path) -> None:
    umask = os.umask(0)
    try:
        camera.handle(scene((1, LEFT, BARE)), frame())
    finally:
        os.umask(umask)
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert segments(file.read_bytes()) <= {0xE0, 0xDB, 0xC0, 0xC4, 0xDA}, "nothing but a picture"


def segments(jpeg: bytes) -> set[int]:
    """The markers of a JPEG file up to its pixels: no Exif, XMP (both E1) or comment (FE)."""
    assert jpeg[:2] == b"\xff\xd8"
    assert jpeg[-2:] == b"\xff\xd9"
    assert jpeg[6:11] == b"JFIF\0"
    found, at = set(), 2
    while jpeg[at + 1] != 0xDA:
        assert jpeg[at] == 0xFF
        found.add(jpeg[at + 1])
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return found | {0xDA}


# Keeping


def test_old_pictures_are_deleted(camera: Snapshots, folder: Path, clock: Any, names: Any) -> None:
    camera.handle(scene((1, LEFT, BARE)), frame())
    (folder / "holiday.jpg").write_bytes(b"not ours")
    (folder / PARTIAL_NAME).write_bytes(b"half")
    clock.go(days=6.9)
    camera.report(Vitals(0.0))
    assert names(folder) == ["20260302T070000.000Z-NO_MASK-1.jpg", "holiday.jpg"]
    clock.go(days=0.2)
    camera.report(Vitals(EXPIRE_S - 1))
    assert len(names(folder)) == 2
    camera.report(Vitals(EXPIRE_S))
    assert names(folder) == ["holiday.jpg"]


def test_the_oldest_go_when_all_are_too_large(
    folder: Path, clock: Any, names: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "BYTES_PER_MB", 50_000)
    camera = Snapshots(folder, SnapshotSettings(enabled=True, max_mb=1), clock)
    for number in range(1, 31):
        clock.go(seconds=1)
        camera.handle(scene((number, LEFT, BARE)), frame())
        assert sum(file.stat().st_size for file in folder.iterdir()) <= 50_000
    left = names(folder)
    assert 2 < len(left) < 30
    assert left[-1].endswith("-30.jpg")
    assert left[0].endswith(f"-{31 - len(left)}.jpg")


# Trouble


def test_a_full_disk_leaves_no_half_picture_and_takes_it_when_there_is_room(
    disk: Disk, clock: Any, names: Any
) -> None:
    folder = disk.folder / "snapshots"
    camera = Snapshots(folder, SETTINGS, clock)
    disk.fill()
    for time in (0.0, 0.5, 1.0, 2.5, 3.5):
        with pytest.raises(SnapshotError, match="No space left on device"):
            camera.handle(scene((1, LEFT, BARE), time=time), frame())
        assert names(folder) == []
    disk.empty()
    with pytest.raises(SnapshotError, match="No space left on device"):
        camera.handle(scene((1, LEFT, BARE), time=3.6), frame())
    camera.handle(scene((1, LEFT, BARE), time=40), frame())
    assert len(names(folder)) == 1


def test_trouble_lasts_until_a_picture_could_be_stored_again(
    disk: Disk, clock: Any, names: Any
) -> None:
    folder = disk.folder / "snapshots"
    camera = Snapshots(folder, SETTINGS, clock)
    camera.report(Vitals(0))
    disk.fill()
    camera.report(Vitals(1))
    with pytest.raises(SnapshotError, match="No space left on device"):
        camera.handle(scene((1, LEFT, BARE), time=1.5), frame())
    camera.handle(scene(time=1.6), frame())
    for time in range(2, 40):
        with pytest.raises(SnapshotError, match="No space left on device"):
            camera.report(Vitals(float(time)))
    disk.empty()
    camera.report(Vitals(80))
    camera.report(Vitals(81))
    assert names(folder) == []


def test_a_read_only_disk_is_temporary(disk: Disk, clock: Any, names: Any) -> None:
    camera = Snapshots(disk.folder / "snapshots", SETTINGS, clock)
    disk.remount("ro")
    with pytest.raises(SnapshotError, match="Read-only file system"):
        camera.handle(scene((1, LEFT, BARE)), frame())
    disk.remount("rw")
    camera.handle(scene((1, LEFT, BARE), time=1), frame())
    assert len(names(disk.folder / "snapshots")) == 1


def test_a_folder_that_somebody_removed_is_temporary(camera: Snapshots, folder: Path) -> None:
    folder.rmdir()
    for time in (0.0, 1.0):
        with pytest.raises(SnapshotError, match="No such file or directory"):
            camera.handle(scene((1, LEFT, BARE), time=time), frame())
        with pytest.raises(SnapshotError, match="No such file or directory"):
            camera.report(Vitals(time))


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: folder.write_bytes(b""), "this folder cannot be made: File exists"),
        (lambda folder: folder.mkdir(mode=0o755), "others may look into this folder (mode 755)"),
    ],
)
def test_a_folder_that_cannot_be_private_ends_the_start(
    folder: Path, prepare: Callable[[Path], None], words: str
) -> None:
    prepare(folder)
    with pytest.raises(SettingsError) as caught:
        Snapshots(folder, SETTINGS)
    assert str(caught.value).startswith(f"snapshots.folder = {folder}: {words}")


# Settings


def test_where_they_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/state/kiosk")
    assert snapshots_folder(SETTINGS) == Path("/state/kiosk/snapshots")
    assert snapshots_folder(SnapshotSettings(folder="own")) == Path("own")
    monkeypatch.delenv("STATE_DIRECTORY")
    with pytest.raises(SettingsError, match=r"snapshots\.folder is empty"):
        snapshots_folder(SETTINGS)


def test_the_settings_decide_what_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    with caplog.at_level("INFO"):
        assert open_sinks(Settings()) == []
    assert "no journal: journal.path is empty" in caplog.text
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    opened = open_sinks(Settings())
    opened += open_sinks(replace_settings(Settings(), {"snapshots.enabled": True}))
    for sink in opened:
        sink.close()
    assert [sink.name for sink in opened] == ["journal", "journal", "snapshots"]
