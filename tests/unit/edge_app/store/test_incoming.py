from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.errors import BundleError, BundleNotFoundError, KioskError, SignatureError
from edge_app.store import incoming
from edge_app.store.incoming import CARD, MODEL, SELFTEST, SIGNATURE, read_incoming

FILES = {MODEL: b"model", CARD: b"{}", SELFTEST: b"npz", SIGNATURE: b"signed"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "bundle"
    made.mkdir()
    write(made, "door")
    return made


def write(folder: Path, name: str) -> None:
    for suffix, content in FILES.items():
        (folder / f"{name}{suffix}").write_bytes(content)


def tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_a_folder_a_model_and_a_card_name_the_same_bundle(folder: Path) -> None:
    for path in (folder, folder / "door.tflite", folder / "door.json"):
        found = read_incoming(path)
        assert (found.name, found.files) == ("door", FILES)


def test_a_file_names_its_bundle_among_several(folder: Path) -> None:
    write(folder, "window")
    assert read_incoming(folder / "door.tflite").name == "door"
    with pytest.raises(BundleError, match="holds several bundles, give one: door, window"):
        read_incoming(folder)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("prefix", ["", "./", "door-2/"])
def test_a_tar_holds_one_bundle(tmp_path: Path, mode: str, prefix: str) -> None:
    members = {f"{prefix}door{s}": c for s, c in FILES.items()} | {"README": b"hello"}
    found = read_incoming(tar(tmp_path / "door.tar", members, mode))
    assert (found.name, found.files) == ("door", FILES)


def test_nothing_of_a_tar_reaches_the_disk(tmp_path: Path) -> None:
    """Names that lead out of the folder, links, devices: only the names' ends matter."""
    path = tar(tmp_path / "a.tar", {f"../../door{s}": c for s, c in FILES.items()})
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("window.tflite")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    before = sorted(tmp_path.parent.rglob("*"))
    assert read_incoming(path).files == FILES
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_a_file_twice_in_a_tar_is_refused(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {"a/door.tflite": b"1", "b/door.tflite": b"2"})
    with pytest.raises(BundleError, match=r"holds door\.tflite twice"):
        read_incoming(path)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_tar_that_was_cut_is_named(tmp_path: Path, share: float) -> None:
    members = {f"door{s}": os.urandom(30_000) for s in FILES if s != SIGNATURE}
    path = tar(tmp_path / "a.tar.gz", members, "w:gz")
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(BundleError, match="cannot read the bundle: .*; fetch it again"):
        read_incoming(path)


@given(content=st.binary(max_size=2000), begin=st.sampled_from([b"", b"\x1f\x8b", b"door.tflite"]))
def test_rubbish_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, begin: bytes
) -> None:
    path = tmp_path_factory.mktemp("rubbish") / "a.tar"
    path.write_bytes(begin + content)
    with pytest.raises(KioskError) as caught:
        read_incoming(path)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named_with_its_remedy(folder: Path) -> None:
    found = read_incoming(folder)
    for suffix in (SIGNATURE, SELFTEST, CARD):
        found.files.pop(suffix)
    with pytest.raises(SignatureError, match=r"not signed; .* run: minisign -S -m door\.json$"):
        found.get(SIGNATURE)
    with pytest.raises(BundleNotFoundError, match="run: python -m training selftest"):
        found.get(SELFTEST)
    with pytest.raises(BundleNotFoundError, match=r"door\.json is missing$"):
        found.get(CARD)


@pytest.mark.parametrize(
    ("name", "words"),
    [("nowhere", "there is no such file or folder"), ("note.txt", "is no bundle"), ("empty", "no")],
)
def test_no_bundle(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "note.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleNotFoundError, match=words):
        read_incoming(tmp_path / name)


def test_a_name_that_would_lead_elsewhere_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "-door wide open")
    with pytest.raises(BundleError, match="cannot be the name of an installed model"):
        read_incoming(tmp_path)


def test_a_file_that_is_too_large_is_not_read_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(incoming.MOST_BYTES, CARD, 1024)
    (folder / "door.json").write_bytes(bytes(1025))
    with pytest.raises(BundleError, match=r"door\.json: larger than 1 KiB"):
        read_incoming(folder)


def test_a_tar_of_a_thousand_files_is_not_a_bundle(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", {str(i): b"" for i in range(1001)})
    with pytest.raises(BundleError, match="more than 1000 files"):
        read_incoming(path)


def test_a_tar_that_nests_its_names_without_end_is_refused(tmp_path: Path) -> None:
    """tarfile follows such a chain of "long names" by calling itself."""
    path = tmp_path / "a.tar"
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 5
    path.write_bytes((long.tobuf(tarfile.GNU_FORMAT) + b"door\0".ljust(512, b"\0")) * 3000)
    with pytest.raises(BundleError, match="it is no honest tar file"):
        read_incoming(path)


@pytest.mark.parametrize("kind", ["file", "name"])
def test_a_small_file_that_unpacks_to_a_large_one_is_not_read_whole(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "MOST_TOTAL", 1 << 20)
    large = tarfile.TarInfo("door.tflite")
    large.type = tarfile.REGTYPE if kind == "file" else tarfile.GNUTYPE_LONGNAME
    large.size = 4 << 20
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(large.tobuf(tarfile.GNU_FORMAT) + bytes(4 << 20))
    with pytest.raises(BundleError, match="holds more than 1 MiB"):
        read_incoming(path)


def test_nothing_is_read_of_a_second_bundle(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "window")
    members = {f"{name}{s}": c for name in ("door", "window") for s, c in FILES.items()}
    path = tar(tmp_path / "a.tar", {**members, "cut": b""})
    os.truncate(path, 512 * 9 + 10)  # within the second model: to read on would be an error
    with pytest.raises(BundleError, match="holds several bundles, give one: door, window"):
        read_incoming(path)

    def refuse(*_: object) -> bytes:
        raise AssertionError

    monkeypatch.setattr(incoming, "_limited", refuse)
    with pytest.raises(BundleError, match="holds several bundles, give one: door, window"):
        read_incoming(folder)


def test_a_file_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BundleError, match="cannot read the bundle: Permission denied"):
        read_incoming(folder)
    shutil.rmtree(folder)
