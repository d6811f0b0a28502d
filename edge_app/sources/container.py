"""What a video file's container says about itself, without decoding it.

OpenCV cannot tell a clip that ends from a clip that was cut off: it just stops giving
frames, and its frame count is a guess for most formats (an intact MP4 that was trimmed
without re-encoding "has" frames that are never shown; a Matroska file with a longer sound
track "has" too many). The containers themselves know better: their outermost parts state
how many bytes they have.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MATROSKA = b"\x1a\x45\xdf\xa3"
MATROSKA_SEGMENT = 0x18538067

MP4_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp")

MP4_CONTENT_BOXES = (b"moov", b"mdat", b"moof")
"""Boxes without which pictures are missing; anything else behind the end is rubbish."""

MOOV_LIMIT = 64 * 1024 * 1024
"""An index larger than this is not read; real ones have a few megabytes."""


@dataclass(frozen=True, slots=True)
class Container:
    """Findings about a file.

    Attributes:
        cut_off: A part claims more bytes than the file has, or the index is missing.
        duration: Seconds that the pictures shall be shown, where the container says so
            exactly (MP4, MOV); else None.
    """

    cut_off: bool = False
    duration: float | None = None


def inspect(path: Path) -> Container:
    """Read a container's outermost structure; formats without one are taken as they are."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(0)
        if head[4:8] in MP4_FIRST_BOXES:
            return _inspect_mp4(file, size)
        if head[:4] == MATROSKA:
            return Container(cut_off=_matroska_end(file, size) > size)
        if head[:4] == b"RIFF":
            return Container(cut_off=8 + struct.unpack("<I", head[4:8])[0] > size)
    return Container()


def _inspect_mp4(file: BinaryIO, size: int) -> Container:
    duration: float | None = None
    has_index = cut_off = False
    for kind, start, end in _boxes(file, 0, size):
        cut_off |= kind in MP4_CONTENT_BOXES and end > size
        if kind == b"moov":
            has_index = True
            if end <= size and end - start <= MOOV_LIMIT:
                duration = _video_duration(file, start, end)
    return Container(cut_off or not has_index, duration)


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start of the content and end of every box in a stretch of an MP4 file."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(8)
        if len(head) < 8:
            return  # the box around this one claims more than the file has
        length, kind = struct.unpack(">I4s", head)
        content = start + 8
        if length == 1:  # the length follows, in 64 bits
            big = file.read(8)
            if len(big) < 8:
                return
            length, content = struct.unpack(">Q", big)[0], start + 16
        elif length == 0:  # up to the end of the file
            length = end - start
        if start + length < content:
            return  # not a box: damaged, and for the decoder to say
        yield kind, content, start + length
        start += length


def _video_duration(file: BinaryIO, start: int, end: int) -> float | None:
    """Seconds that the first video track is shown, edit list included (ISO 14496-12)."""
    timescale = None
    for kind, inner, inner_end in _boxes(file, start, end):
        if kind == b"mvhd":
            timescale, _ = _header_times(file, inner, between=0)
        elif kind == b"trak":
            found = {k: (s, e) for k, s, e in _boxes(file, inner, inner_end)}
            if b"tkhd" in found and b"mdia" in found and _is_video(file, *found[b"mdia"]):
                _, ticks = _header_times(file, found[b"tkhd"][0], between=4)
                return ticks / timescale if timescale and ticks else None
    return None


def _header_times(file: BinaryIO, start: int, between: int) -> tuple[int, int]:
    """The two numbers behind the two dates of an ``mvhd`` or ``tkhd`` box.

    In ``mvhd`` timescale and duration; in ``tkhd`` track number and duration, with
    ``between`` = 4 reserved bytes between them.
    """
    file.seek(start)
    version = file.read(4)[:1]
    layout = f">16xI{between}xQ" if version == b"\x01" else f">8xI{between}xI"
    content = file.read(struct.calcsize(layout))
    if len(content) < struct.calcsize(layout):
        return 0, 0
    first, second = struct.unpack(layout, content)
    return first, second


def _is_video(file: BinaryIO, start: int, end: int) -> bool:
    for kind, content, _ in _boxes(file, start, end):
        if kind == b"hdlr":
            file.seek(content + 8)
            return file.read(4) == b"vide"
    return False


def _matroska_end(file: BinaryIO, size: int) -> int:
    """Where the segment of a Matroska or WebM file ends; 0 when it does not say."""
    position = 0
    while position < size:
        file.seek(position)
        head = file.read(12)
        if len(head) < 12:
            return 0
        id_length = _vint_length(head[0])
        length_length = _vint_length(head[id_length]) if id_length <= 4 else 9
        if length_length > 8:
            return 0
        identity = int.from_bytes(head[:id_length], "big")
        field = head[id_length : id_length + length_length]
        bits = 7 * length_length
        length = int.from_bytes(field, "big") & ((1 << bits) - 1)
        content = position + id_length + length_length
        if identity == MATROSKA_SEGMENT:
            unknown = length == (1 << bits) - 1  # written live: no length is known
            return 0 if unknown else content + length
        position = content + length
    return 0


def _vint_length(first: int) -> int:
    """How many bytes an EBML number has, from its first byte (RFC 8794, section 4)."""
    return 9 - first.bit_length()
