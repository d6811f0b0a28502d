"""What the rig installs: offline bundle and Debian package, made for x86-64 as by `make deb`."""

from __future__ import annotations

import os
import shutil
import sys
from hashlib import sha256
from pathlib import Path

from cache import BuildError, Part, run

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
MAKE = CHECKOUT / "deploy" / "bundle" / "make.sh"
MAKE_BOTH = CHECKOUT / "deploy" / "package" / "make.sh"
REQUIREMENTS = CHECKOUT / "deploy" / "requirements-device.txt"
STAGE = CHECKOUT / "build" / "bundle"
DIST = CHECKOUT / "build" / "dist"
BUNDLE, PACKAGE = "*-offline-x86_64.tar.gz", "mask-kiosk_*_amd64.deb"

BROKEN_FILE = "edge_app/daemon/kiosk.py"
BROKEN_FROM = "        capture = self._thread(self._capture.run,"
BROKEN_TO = "        raise SystemExit(2)\n" + BROKEN_FROM
"""A release that passes its check and yet does not run: its service ends at once."""


def wheels() -> Part:
    """The wheels in it, so that a later run needs no network."""
    inputs = ("1", MAKE.read_text(encoding="utf-8"), REQUIREMENTS.read_text(encoding="utf-8"))
    return Part("bundlewheels", "wheels", inputs, _fetch)


def made(folder: Path, log: Path) -> dict[str, Path]:
    """The bundle of this checkout, unpacked in a folder; a broken next release; the package.

    Raises:
        BuildError: They cannot be made.
    """
    archive = packed(log, MAKE_BOTH)
    shutil.unpack_archive(archive, folder, filter="data")
    whole = folder / archive.name.removesuffix(".tar.gz")
    package = shutil.copy(_newest(PACKAGE), folder)
    return {"bundle": whole, "broken": _broken(whole), "package.deb": Path(package)}


def packed(log: Path, script: Path = MAKE) -> Path:
    """The bundle of this checkout, packed.

    Raises:
        BuildError: It cannot be made.
    """
    # Not from the network: the wheels are there, and pip checks their hashes all the same.
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels().built())}
    return _make(script, BUNDLE, log, offline)


def _broken(bundle: Path) -> Path:
    other = bundle.with_name("broken")
    shutil.copytree(bundle, other, copy_function=_linked)
    source = other / BROKEN_FILE
    source.unlink()
    text = (bundle / BROKEN_FILE).read_text(encoding="utf-8")
    if text.count(BROKEN_FROM) != 1:
        raise BuildError(f"{BROKEN_FILE}: the place to break is not there any more")
    source.write_text(text.replace(BROKEN_FROM, BROKEN_TO), encoding="utf-8")
    sums = other / "SHA256SUMS"
    listed = sums.read_text(encoding="utf-8")
    old, new = (sha256((path / BROKEN_FILE).read_bytes()).hexdigest() for path in (bundle, other))
    sums.unlink()
    sums.write_text(listed.replace(old, new), encoding="utf-8")
    return other


def _linked(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def _fetch(work: Path, log: Path) -> None:
    archive = _make(MAKE, BUNDLE, log, {})
    shutil.copytree(STAGE / archive.name.removesuffix(".tar.gz") / "wheels", work / "wheels")


def _make(script: Path, made: str, log: Path, extra: dict[str, str]) -> Path:
    run([str(script), "x86_64"], log, {**os.environ, "PIP": f"{sys.executable} -m pip", **extra})
    return _newest(made)


def _newest(pattern: str) -> Path:
    return max(DIST.glob(pattern), key=lambda path: path.stat().st_mtime_ns)
