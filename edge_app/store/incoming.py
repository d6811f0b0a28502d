"""Reads a bundle that is to be installed, from a folder, a tar file or by one of its files.

Everything is read once, into memory: what was verified is what is installed, whatever happens
to the files meanwhile. Nothing of an archive is unpacked to the disk.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from edge_app.errors import BundleError, BundleNotFoundError, SignatureError
from edge_app.store.record import NAME

MODEL, CARD, SELFTEST, SIGNATURE = ".tflite", ".json", ".selftest.npz", ".json.minisig"

MOST_BYTES = {MODEL: 64 << 20, CARD: 1 << 20, SELFTEST: 8 << 20, SIGNATURE: 1 << 14}
"""The largest shipped model has 0.6 MiB, its card 30 KiB."""

MOST_TOTAL = 80 << 20
"""Of a tar file, unpacked: all that may come into memory before a signature was seen."""

MOST_MEMBERS = 1000
"""Of a tar file; one that holds a bundle has four or five."""

WANTED = "a bundle is NAME.tflite or NAME.json with its files, or a folder or .tar with one bundle"


@dataclass(frozen=True, slots=True)
class Incoming:
    """A bundle's files, of which nothing is known yet.

    Attributes:
        name: The stem of the files.
        origin: Where they came from, for messages.
        files: Suffix -> content.
    """

    name: str
    origin: Path
    files: dict[str, bytes]

    def get(self, suffix: str) -> bytes:
        """One of the files that every bundle must have.

        Raises:
            SignatureError: The signature is missing.
            BundleNotFoundError: Another file is missing.
        """
        if suffix in self.files:
            return self.files[suffix]
        if suffix == SIGNATURE:
            raise SignatureError(
                f"{self.origin}: {self.name}{suffix} is missing, the bundle is not signed; on the "
                f"workstation run: minisign -S -m {self.name}{CARD}"
            )
        do = ""
        if suffix == SELFTEST:
            do = "; on the workstation run: python -m training selftest, then sign the card again"
        raise BundleNotFoundError(f"{self.origin}: {self.name}{suffix} is missing{do}")


def read_incoming(path: Path) -> Incoming:
    """Read the bundle that a path names.

    Raises:
        BundleNotFoundError: There is nothing, or no bundle.
        BundleError: It cannot be read, is too large, or there are several bundles.
    """
    try:
        if path.is_dir():
            return _only_one(path, _in_folder(path, _only_name(path, _models_in(path))))
        if not path.is_file():
            raise BundleNotFoundError(f"{path}: there is no such file or folder; {WANTED}")
        if path.suffix in (MODEL, CARD):
            name = path.name.removesuffix(path.suffix)
            found = _in_folder(path.parent, name)
            return _only_one(path, found)
        return _only_one(path, _in_tar(path))
    except (BundleNotFoundError, BundleError):
        raise
    except (RecursionError, MemoryError):
        raise BundleError(f"{path}: cannot read the bundle: it is no honest tar file") from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise BundleError(f"{path}: cannot read the bundle: {why}") from None
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise BundleError(f"{path}: cannot read the bundle: {why}; fetch it again") from None


def _only_one(origin: Path, found: dict[str, dict[str, bytes]]) -> Incoming:
    """Of the groups of files, by name, the one with a model."""
    name = _only_name(origin, [name for name, files in found.items() if MODEL in files])
    return Incoming(name, origin, found[name])


def _only_name(origin: Path, bundles: list[str]) -> str:
    if not bundles:
        raise BundleNotFoundError(f"{origin}: holds no NAME{MODEL}; {WANTED}")
    if len(bundles) > 1:
        few = ", ".join(name[:100] for name in sorted(bundles)[:3])
        raise BundleError(f"{origin}: holds several bundles, give one: {few}")
    [name] = bundles
    if not NAME.fullmatch(name):
        raise BundleError(f"{origin}: {name[:100]!r} cannot be the name of an installed model")
    return name


def _models_in(folder: Path) -> list[str]:
    found = [parts for path in folder.iterdir() if (parts := _parts(path.name)) and path.is_file()]
    return [name for name, suffix in found if suffix == MODEL]


def _in_folder(folder: Path, name: str) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted(folder.iterdir()):
        parts = _parts(path.name)
        if parts is None or parts[0] != name or not path.is_file():
            continue
        with path.open("rb") as file:
            found.setdefault(parts[0], {})[parts[1]] = _limited(file, parts[1], path)
    return found


def _in_tar(path: Path) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    with _unpacked(path) as content, _archive(content, path) as archive:
        for member in _members(archive, path):
            parts = _parts(PurePosixPath(member.name).name)
            if parts is None or not member.isreg():
                continue
            name, suffix = parts
            if suffix == MODEL:
                _only_name(path, sorted({name, *(n for n, f in found.items() if MODEL in f)}))
            file = archive.extractfile(member)
            if file is None or suffix in found.get(name, {}):
                raise BundleError(f"{path}: holds {name}{suffix} twice")
            found.setdefault(name, {})[suffix] = _limited(file, suffix, path / member.name)
    return found


class _Limited(io.RawIOBase):
    """A file that ends in an error where too much comes out of it."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, where: Path) -> None:
        self._file, self._where, self._left = file, where, MOST_TOTAL

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise BundleError(f"{self._where}: holds more than {MOST_TOTAL >> 20} MiB; {WANTED}")
        return content


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            file.seek(0)
            yield file
            return
        file.seek(0)
        with gzip.open(file) as unpacked:
            yield unpacked


def _archive(content: IO[bytes] | gzip.GzipFile, path: Path) -> tarfile.TarFile:
    # As a stream: tarfile reads it in small pieces, so that the limit holds for what it reads by
    # itself (long names) too.
    try:
        return tarfile.open(fileobj=_Limited(content, path), mode="r|")
    except (tarfile.ReadError, gzip.BadGzipFile, zlib.error, EOFError):
        raise BundleNotFoundError(f"{path}: is no bundle; {WANTED}") from None


def _members(archive: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    for number, member in enumerate(archive):
        if number >= MOST_MEMBERS:
            raise BundleError(f"{path}: holds more than {MOST_MEMBERS} files; {WANTED}")
        yield member


def _parts(file_name: str) -> tuple[str, str] | None:
    """Name and suffix of a bundle's file; None for any other."""
    for suffix in (SIGNATURE, SELFTEST, MODEL, CARD):
        if file_name.endswith(suffix) and file_name != suffix:
            return file_name.removesuffix(suffix), suffix
    return None


def _limited(file: IO[bytes], suffix: str, where: Path) -> bytes:
    content = file.read(MOST_BYTES[suffix] + 1)
    if len(content) > MOST_BYTES[suffix]:
        raise BundleError(f"{where}: larger than {MOST_BYTES[suffix] >> 10} KiB; this is none")
    return content
