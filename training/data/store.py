"""The prepared data set: decoded pictures in one file, what is known of them in another.

A store is a folder with

- ``pixels.bin``: RGB uint8 pictures, one after the other, row by row;
- ``records.json``: a list of records, see :class:`Record`;
- ``manifest.json``: where it came from, counts, problems, sizes and hashes.

It is written into a folder of another name and renamed when complete. Reading trusts
nothing that disagrees with the manifest.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from edge_app.domain import Box, Image, MaskState
from edge_app.errors import DatasetError, OutputError
from edge_app.recording import why_no_folder
from training.data.splits import Split

STORE_SCHEMA = 1
"""Version of the layout; a store with another version is refused."""

PIXELS, RECORDS, MANIFEST = "pixels.bin", "records.json", "manifest.json"

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class FaceRecord:
    """One face of a stored picture.

    Attributes:
        box: In stored pixels; may stick out of the picture (teacher's boxes do).
        label: How the mask is worn; None for a face that only the detector learns from.
        difficult: Marked as doubtful: neither train nor score on it.
        origin: Who drew the box: ``hand``, ``teacher``, ``detector`` or ``whole`` (nobody:
            the picture itself stands for the face).
        score: The teacher's or detector's score, else None.
        landmarks: In stored pixels: the subject's right eye, left eye, nose tip, right and
            left mouth corner; None where they were not asked for or not found.
    """

    box: Box
    label: MaskState | None
    difficult: bool = False
    origin: str = "hand"
    score: float | None = None
    landmarks: tuple[Point, ...] | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One stored picture.

    Attributes:
        dataset: Name of its data set.
        file: ``dataset/path/inside.jpg``.
        sha256: Hash of the original file.
        group: Near-duplicates share it.
        split: Who may see it.
        width: Stored width in pixels.
        height: Stored height in pixels.
        scale: Stored size / original size, at most 1.
        offset: Where its pixels begin in ``pixels.bin``, in bytes.
        faces: Its faces, in the data set's order; a class-folder picture's labelled one first.
    """

    dataset: str
    file: str
    sha256: str
    group: str
    split: Split
    width: int
    height: int
    scale: float
    offset: int
    faces: tuple[FaceRecord, ...] = ()


class Store:
    """A verified store, open for reading. Safe to read from several threads."""

    def __init__(self, path: Path, records: list[Record], manifest: Mapping[str, Any]) -> None:
        self.path = path
        self.records = records
        self.manifest = manifest
        self._pixels = np.memmap(path / PIXELS, np.uint8, "r")

    @property
    def sha256(self) -> str:
        """One hash of all pictures and records: two equal stores train the same model."""
        files = self.manifest["files"]
        return hashlib.sha256(
            (files[PIXELS]["sha256"] + files[RECORDS]["sha256"]).encode()
        ).hexdigest()

    def image(self, record: Record) -> Image:
        """A record's picture: a read-only view of the file, H x W x 3 RGB uint8."""
        size = record.width * record.height * 3
        flat = self._pixels[record.offset : record.offset + size]
        return np.asarray(flat).reshape(record.height, record.width, 3)


def open_store(path: str | Path) -> Store:
    """Open a prepared data set.

    Raises:
        DatasetError: It is missing, incomplete, damaged or of another version.
    """
    root = Path(path)
    again = "run 'python -m training prepare' again"
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        records_bytes = (root / RECORDS).read_bytes()
        pixel_bytes = (root / PIXELS).stat().st_size
    except OSError as error:
        raise DatasetError(f"{root}: no complete data set ({error}); {again}") from None
    except ValueError as error:
        raise DatasetError(f"{root / MANIFEST}: not valid JSON ({error}); {again}") from None
    if not isinstance(manifest, dict) or manifest.get("schema") != STORE_SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else None
        raise DatasetError(f"{root / MANIFEST}: schema {found!r} is not {STORE_SCHEMA}; {again}")
    files = manifest.get("files", {})
    if hashlib.sha256(records_bytes).hexdigest() != files.get(RECORDS, {}).get("sha256"):
        raise DatasetError(f"{root / RECORDS}: is not the file its manifest describes; {again}")
    if pixel_bytes != files.get(PIXELS, {}).get("bytes"):
        raise DatasetError(f"{root / PIXELS}: is not the size its manifest says; {again}")
    return Store(root, [_record(item) for item in json.loads(records_bytes)], manifest)


class StoreWriter:
    """Writes a store: :meth:`add` every picture, then :meth:`finish`.

    Used as a context manager; left without :meth:`finish`, nothing remains on disk and a
    store that was there before is untouched.
    """

    def __init__(self, path: Path) -> None:
        """Prepare to write ``path``.

        Raises:
            OutputError: ``path`` holds something that is not a store, or cannot be written.
        """
        self.path = path
        is_store = (path / MANIFEST).is_file()
        if path.exists() and not is_store and not (path.is_dir() and not any(path.iterdir())):
            raise OutputError(f"{path}: exists and is no prepared data set; give another --out")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{path}: cannot be written: {why_no_folder(path.parent, error)}"
            ) from None
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=f"{path.name}.partial-", dir=path.parent))
            self._pixels = (self._folder / PIXELS).open("wb")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror}") from None
        self._hash = hashlib.sha256()
        self._offset = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pixels.close()
        shutil.rmtree(self._folder, ignore_errors=True)  # gone already after finish()

    def add(self, image: Image) -> int:
        """Append a picture's pixels; returns their offset."""
        content = np.ascontiguousarray(image).tobytes()
        self._write(content)
        self._hash.update(content)
        offset = self._offset
        self._offset += len(content)
        return offset

    def finish(self, records: Sequence[Record], manifest: Mapping[str, Any]) -> None:
        """Write records and manifest, then put the whole in place."""
        self._pixels.close()
        records_bytes = json.dumps([_plain(record) for record in records]).encode()
        whole = {
            "schema": STORE_SCHEMA,
            **manifest,
            "files": {
                PIXELS: {"bytes": self._offset, "sha256": self._hash.hexdigest()},
                RECORDS: {
                    "bytes": len(records_bytes),
                    "sha256": hashlib.sha256(records_bytes).hexdigest(),
                },
            },
        }
        try:
            (self._folder / RECORDS).write_bytes(records_bytes)
            (self._folder / MANIFEST).write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
            self._folder.chmod(0o755)  # mkdtemp made it private
            self._put_in_place()
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from None

    def _write(self, content: bytes) -> None:
        try:
            self._pixels.write(content)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from None

    def _put_in_place(self) -> None:
        """Rename; a folder cannot replace a full one in one step, so the old moves aside."""
        if not self.path.exists():
            self._folder.rename(self.path)
            return
        old = Path(tempfile.mkdtemp(prefix=f"{self.path.name}.old-", dir=self.path.parent))
        self.path.rename(old / "store")
        self._folder.rename(self.path)
        shutil.rmtree(old)


def _plain(record: Record) -> dict[str, Any]:
    """A record as JSON values, coordinates to a hundredth of a pixel."""
    return {
        "dataset": record.dataset,
        "file": record.file,
        "sha256": record.sha256,
        "group": record.group,
        "split": str(record.split),
        "width": record.width,
        "height": record.height,
        "scale": record.scale,
        "offset": record.offset,
        "faces": [
            {
                "box": [round(value, 2) for value in face.box.as_tuple()],
                "label": None if face.label is None else str(face.label),
                "difficult": face.difficult,
                "origin": face.origin,
                "score": face.score,
                "landmarks": None
                if face.landmarks is None
                else [[round(x, 2), round(y, 2)] for x, y in face.landmarks],
            }
            for face in record.faces
        ],
    }


def _record(item: dict[str, Any]) -> Record:
    faces = tuple(
        FaceRecord(
            box=Box(*face["box"]),
            label=None if face["label"] is None else MaskState(face["label"]),
            difficult=face["difficult"],
            origin=face["origin"],
            score=face["score"],
            landmarks=None
            if face["landmarks"] is None
            else tuple((x, y) for x, y in face["landmarks"]),
        )
        for face in item["faces"]
    )
    return Record(**{**item, "split": Split(item["split"]), "faces": faces})
