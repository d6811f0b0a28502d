"""Video files, whole and broken: real containers, written and cut here."""

from __future__ import annotations

import itertools
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.domain import Frame
from edge_app.errors import SourceNotFoundError, SourceUnreadableError
from edge_app.settings import SourceSettings
from edge_app.sources import open_source
from edge_app.sources.container import inspect

WIDTH, HEIGHT, FPS, FRAMES = 96, 64, 10, 40

RED = (220, 30, 30)
"""Left half of every frame, as RGB; the right half is dark blue."""


def write_clip(path: Path, codec: str = "mp4v", frames: int = FRAMES) -> Path:
    fourcc = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, FPS, (WIDTH, HEIGHT))
    assert writer.isOpened()
    noise = np.random.default_rng(1)
    for _ in range(frames):
        # Noise below, so that every frame takes its share of the file.
        image = np.full((HEIGHT, WIDTH, 3), (30, 30, 60), np.uint8)
        image[:, : WIDTH // 2] = RED
        image[HEIGHT // 2 :] = noise.integers(0, 255, (HEIGHT // 2, WIDTH, 3))
        writer.write(image[:, :, ::-1].copy())
    writer.release()
    return path


@pytest.fixture
def mp4(tmp_path: Path) -> Path:
    """An MP4 with its index at the end."""
    return write_clip(tmp_path / "clip.mp4")


@pytest.fixture
def streamable_mp4(mp4: Path) -> Path:
    """An MP4 with its index at the start, as for the web: what ffmpeg's faststart does."""
    content = mp4.read_bytes()
    ftyp_end = struct.unpack_from(">I", content)[0]
    index_start = content.rindex(b"moov") - 4
    moov = bytearray(content[index_start:])
    chunks = moov.index(b"stco") + 4
    for i in range(struct.unpack_from(">I", moov, chunks + 4)[0]):
        entry = chunks + 8 + 4 * i
        struct.pack_into(">I", moov, entry, struct.unpack_from(">I", moov, entry)[0] + len(moov))
    path = mp4.with_name("streamable.mp4")
    path.write_bytes(content[:ftyp_end] + moov + content[ftyp_end:index_start])
    return path


def cut(path: Path, share: float = 0.5) -> Path:
    content = path.read_bytes()
    short = path.with_name("cut_" + path.name)
    short.write_bytes(content[: int(len(content) * share)])
    return short


def frames_of(path: Path) -> list[Frame]:
    with open_source(str(path), SourceSettings()) as source:
        return list(source)


def complaint(path: Path) -> str:
    with pytest.raises(SourceUnreadableError) as caught:
        frames_of(path)
    message = str(caught.value)
    assert message.startswith(f"source {path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "mp4v"), ("a.mov", "mp4v")]
)
def test_a_whole_clip_plays_to_its_end(tmp_path: Path, name: str, codec: str) -> None:
    path = write_clip(tmp_path / name, codec)
    with open_source(str(path), SourceSettings()) as source:
        assert not source.live
        assert source.name == str(path)
        assert source.size == (WIDTH, HEIGHT)
        assert source.fps == pytest.approx(FPS)
        assert source.frame_count == FRAMES
        frames = list(source)
        assert source.read() is None
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert [frame.time for frame in frames] == pytest.approx([i / FPS for i in range(FRAMES)])


def test_frames_are_rgb(mp4: Path) -> None:
    frame = frames_of(mp4)[3]
    assert frame.image.shape == (HEIGHT, WIDTH, 3)
    assert frame.image.dtype == np.uint8
    assert frame.image[10, 10] == pytest.approx(RED, abs=25)
    assert frame.name is None


def test_reading_after_close_is_the_end(mp4: Path) -> None:
    source = open_source(str(mp4), SourceSettings())
    source.read()
    source.close()
    source.close()
    assert source.read() is None


def test_an_mp4_with_its_index_at_the_start_plays(streamable_mp4: Path) -> None:
    assert len(frames_of(streamable_mp4)) == FRAMES


def test_a_missing_file_says_what_a_source_is(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"nowhere\.mp4: there is no such file; a source"):
        open_source(str(tmp_path / "nowhere.mp4"), SourceSettings())


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.touch()
    assert "the file is empty (0 bytes)" in complaint(path)


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    assert "no frame can be decoded: not a video" in complaint(path)


def test_a_text_file_is_no_video_though_ffmpeg_would_draw_it(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello\n" * 100)
    assert cv2.VideoCapture(str(path), cv2.CAP_FFMPEG).isOpened()
    assert "is a text file, not a video" in complaint(path)


def test_a_container_without_frames(tmp_path: Path) -> None:
    assert "no frame can be decoded" in complaint(write_clip(tmp_path / "none.avi", "MJPG", 0))


def test_an_mp4_cut_before_its_index_cannot_be_opened(mp4: Path) -> None:
    assert "no frame can be decoded: the file is cut off" in complaint(cut(mp4))


def test_an_mp4_cut_behind_its_index_plays_and_then_says_how_far_it_came(
    streamable_mp4: Path,
) -> None:
    path = cut(streamable_mp4)
    with open_source(str(path), SourceSettings()) as source:
        shown: list[Frame] = []
        with pytest.raises(SourceUnreadableError) as caught:
            shown.extend(source)
    frames = len(shown)
    assert FRAMES * 0.3 < frames < FRAMES * 0.7
    assert str(caught.value) == (
        f"source {path}: {frames} of {FRAMES} frames ({frames / FPS:.1f} s) could be decoded, "
        "then the file is cut off; copy or record it again"
    )


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mkv", "mp4v")])
def test_other_containers_notice_a_cut_too(tmp_path: Path, name: str, codec: str) -> None:
    path = cut(write_clip(tmp_path / name, codec))
    assert "then the file is cut off" in complaint(path)


def test_a_file_whose_rest_was_never_copied(streamable_mp4: Path) -> None:
    """Right length, but the second half is zeros: what a broken download leaves behind."""
    content = bytearray(streamable_mp4.read_bytes())
    half = len(content) // 2
    content[half:] = bytes(len(content) - half)
    streamable_mp4.write_bytes(content)
    assert "then the rest is damaged" in complaint(streamable_mp4)


def test_bytes_behind_the_end_do_no_harm(mp4: Path) -> None:
    mp4.write_bytes(mp4.read_bytes() + b"\xff\xff\xff\xffjunk" + bytes(20))
    assert len(frames_of(mp4)) == FRAMES


def test_a_clip_trimmed_by_its_edit_list_is_whole(mp4: Path) -> None:
    """Phones and ``ffmpeg -ss ... -c copy`` trim so: the file keeps frames never shown."""
    content = bytearray(mp4.read_bytes())

    def put(box: bytes, offset: int, value: int) -> None:
        start = content.index(box) + 4 + offset
        struct.pack_into(">I", content, start, value)

    def get(box: bytes, offset: int) -> int:
        value: int = struct.unpack_from(">I", content, content.index(box) + 4 + offset)[0]
        return value

    movie_ticks, media_ticks = get(b"mvhd", 12), get(b"mdhd", 12)  # per second
    put(b"elst", 8, movie_ticks * 2)  # show 2 of the 4 seconds,
    put(b"elst", 12, media_ticks * 2)  # beginning with the third
    put(b"tkhd", 20, movie_ticks * 2)
    put(b"mvhd", 16, movie_ticks * 2)
    mp4.write_bytes(content)
    assert inspect(mp4).duration == pytest.approx(2)
    with open_source(str(mp4), SourceSettings()) as source:
        frames = list(source)
        assert source.frame_count == FRAMES  # what the container says of itself
    assert len(frames) == FRAMES // 2


def test_a_box_that_claims_more_than_the_file_has(mp4: Path) -> None:
    content = bytearray(mp4.read_bytes())
    start = content.index(b"trak") - 4
    struct.pack_into(">I", content, start, struct.unpack_from(">I", content, start)[0] + 4096)
    mp4.write_bytes(content)
    assert len(frames_of(mp4)) == FRAMES  # FFmpeg does not mind


def test_frames_that_a_damaged_index_hides_are_missed(mp4: Path) -> None:
    """Each frame lasts for days, so all but the first lie behind the end of the edit list."""
    content = bytearray(mp4.read_bytes())
    struct.pack_into(">I", content, content.index(b"stts") + 16, 1 << 31)
    mp4.write_bytes(content)
    assert f"1 of {FRAMES} frames (0.0 s) could be decoded" in complaint(mp4)


def test_a_damaged_time_is_not_waited_for(tmp_path: Path) -> None:
    """Played in real time, the frame would come after a day."""
    path = write_clip(tmp_path / "clip.ts", "mpg2")
    content = bytearray(path.read_bytes())
    packets = [at.start() for at in re.finditer(b"\0\0\1\xe0", content)]
    content[packets[len(packets) // 2] + 9] |= 0x0E  # the highest bits of its time
    path.write_bytes(content)
    assert re.search(r"frame \d+ comes \d+ s after the one before: .* damaged", complaint(path))


def test_times_go_on_where_the_container_has_none(tmp_path: Path) -> None:
    path = tmp_path / "raw.m4v"
    source = write_clip(tmp_path / "clip.avi", "XVID").read_bytes()
    # A bare MPEG-4 stream, without any container: the payloads of the AVI's "00dc" chunks.
    stream, at = b"", source.index(b"movi")
    while (at := source.find(b"00dc", at)) >= 0 and len(stream) < len(source):
        length = struct.unpack_from("<I", source, at + 4)[0]
        if at + 8 + length > source.index(b"idx1"):
            break
        stream += source[at + 8 : at + 8 + length]
        at += 8 + length
    path.write_bytes(stream)
    times = [frame.time for frame in frames_of(path)]
    assert len(times) >= FRAMES - 2
    assert times[0] == 0
    assert all(later > earlier for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize(
    ("clip", "frames"),
    [
        ("bare_face_outdoors.mp4", 206),
        ("bare_face_webcam.mkv", 77),
        ("masked_at_desk.mp4", 244),
        ("masked_crowds.mp4", 635),
        ("puts_mask_on.mp4", 234),
    ],
)
def test_the_real_clips_are_whole(shared: Path, clip: str, frames: int) -> None:
    source = open_source(str(shared / "data" / "videos" / clip), SourceSettings())
    times = [frame.time for frame in source]
    assert len(times) == frames
    assert times[0] == 0
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
    assert times[-1] == pytest.approx((frames - 1) / source.fps, rel=0.02)


@pytest.mark.parametrize("clip", ["masked_at_desk.mp4", "bare_face_webcam.mkv"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_real_clip_cut_anywhere_is_noticed(
    shared: Path, tmp_path: Path, clip: str, share: float
) -> None:
    content = (shared / "data" / "videos" / clip).read_bytes()
    path = tmp_path / clip
    path.write_bytes(content[: int(len(content) * share)])
    assert "the file is cut off" in complaint(path)


@pytest.mark.parametrize("prepare", [lambda p: p, cut], ids=["no video", "cut off"])
def test_the_libraries_keep_quiet(
    tmp_path: Path, root: Path, prepare: Callable[[Path], Path]
) -> None:
    path = tmp_path / "clip.mp4"
    if prepare is cut:
        write_clip(path)
    else:
        path.write_bytes(bytes(range(256)) * 20)
    code = (
        "from edge_app.sources import open_source\n"
        "from edge_app.settings import SourceSettings\n"
        "from edge_app.errors import SourceUnreadableError\n"
        "try: list(open_source(__import__('sys').argv[1], SourceSettings()))\n"
        "except SourceUnreadableError: print('refused')\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENCV_")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(prepare(path))],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("refused\n", "")
