from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_app.domain import Box, Image, MaskState
from edge_app.errors import DatasetError, OutputError
from training.data.splits import Split
from training.data.store import FaceRecord, Record, StoreWriter, open_store

Photo = Callable[..., Image]

POINTS = ((1.0, 2.0), (3.5, 2.0), (2.25, 3.0), (1.5, 4.0), (3.0, 4.0))
FACES = (
    FaceRecord(Box(-1.5, 2.0, 30.25, 40.0), MaskState.WITH_MASK, True, "hand", None, POINTS),
    FaceRecord(Box(5.0, 6.0, 7.0, 8.0), None, False, "teacher", 0.75),
)


def write(path: Path, images: list[Image], faces: tuple[FaceRecord, ...] = ()) -> list[Record]:
    records = []
    with StoreWriter(path) as writer:
        for i, image in enumerate(images):
            height, width = image.shape[:2]
            file = f"set/{i}.jpg"
            record = Record(
                "set", file, "0" * 64, file, Split.VAL, width, height, 0.5, writer.add(image), faces
            )
            records.append(record)
        writer.finish(records, {"problems": []})
    return records


def test_what_is_written_is_read_back(tmp_path: Path, photo: Photo) -> None:
    images = [photo(1, 31, 17), photo(2, 8, 40), photo(3, 1, 1)]
    records = write(tmp_path / "data", images, FACES)
    store = open_store(tmp_path / "data")
    assert store.records == records
    assert store.manifest["problems"] == []
    for record, image in zip(store.records, images, strict=True):
        np.testing.assert_array_equal(store.image(record), image)


def test_pictures_are_read_only_views(tmp_path: Path, photo: Photo) -> None:
    write(tmp_path / "data", [photo(1)])
    store = open_store(str(tmp_path / "data"))
    image = store.image(store.records[0])
    assert not image.flags.writeable
    assert not image.flags.owndata


def write_half(path: Path, image: Image) -> None:
    with StoreWriter(path) as writer:
        writer.add(image)
        raise RuntimeError("stop")


def test_nothing_is_left_when_writing_fails(tmp_path: Path, photo: Photo) -> None:
    with pytest.raises(RuntimeError, match="stop"):
        write_half(tmp_path / "data", photo(1))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_store(tmp_path: Path, photo: Photo) -> None:
    write(tmp_path / "data", [photo(1)])
    with pytest.raises(RuntimeError, match="stop"):
        write_half(tmp_path / "data", photo(2))
    store = open_store(tmp_path / "data")
    np.testing.assert_array_equal(store.image(store.records[0]), photo(1))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_store_is_replaced_as_a_whole(tmp_path: Path, photo: Photo) -> None:
    write(tmp_path / "data", [photo(1), photo(2)])
    write(tmp_path / "data", [photo(3)])
    store = open_store(tmp_path / "data")
    assert len(store.records) == 1
    np.testing.assert_array_equal(store.image(store.records[0]), photo(3))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_an_empty_folder_may_become_a_store(tmp_path: Path, photo: Photo) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", [photo(1)])
    assert len(open_store(tmp_path / "data").records) == 1


def test_a_folder_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="is no prepared data set"):
        StoreWriter(tmp_path / "data")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is no prepared data set"):
        StoreWriter(tmp_path / "file")
    with pytest.raises(OutputError, match="cannot be written"):
        StoreWriter(tmp_path / "file" / "data")


def damage_pixels(root: Path) -> None:
    with (root / "pixels.bin").open("ab") as file:
        file.write(b"x")


def damage_records(root: Path) -> None:
    text = (root / "records.json").read_text()
    (root / "records.json").write_text(text.replace('"val"', '"train"'))


def damage_schema(root: Path) -> None:
    manifest = json.loads((root / "manifest.json").read_text())
    (root / "manifest.json").write_text(json.dumps({**manifest, "schema": 99}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "manifest.json").unlink(), "no complete data set"),
        (lambda root: (root / "records.json").unlink(), "no complete data set"),
        (lambda root: (root / "pixels.bin").unlink(), "no complete data set"),
        (lambda root: (root / "manifest.json").write_text("{"), "not valid JSON"),
        (lambda root: (root / "manifest.json").write_text("[]"), "schema None is not 1"),
        (damage_schema, "schema 99 is not 1"),
        (damage_records, "not the file its manifest describes"),
        (damage_pixels, "not the size its manifest says"),
    ],
)
def test_a_damaged_store_is_refused(
    tmp_path: Path, photo: Photo, damage: Callable[[Path], object], message: str
) -> None:
    write(tmp_path / "data", [photo(1)])
    damage(tmp_path / "data")
    with pytest.raises(DatasetError, match=message) as caught:
        open_store(tmp_path / "data")
    assert "prepare" in str(caught.value)


def test_a_missing_store(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no complete data set"):
        open_store(tmp_path / "nowhere")
