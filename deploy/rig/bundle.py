"""The offline bundle that the rig installs from: that of `make bundle`, made for this processor."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from cache import Part, run

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
MAKE = CHECKOUT / "deploy" / "bundle" / "make.sh"
REQUIREMENTS = CHECKOUT / "deploy" / "requirements-device.txt"
STAGE = CHECKOUT / "build" / "bundle"
DIST = CHECKOUT / "build" / "dist"

BROKEN_FILE = "edge_app/daemon/kiosk.py"
BROKEN_FROM = "        capture = self._thread(self._capture.run,"
BROKEN_TO = "        raise SystemExit(2)\n" + BROKEN_FROM
"""A release that passes its check and yet does not run: its service ends at once."""


def wheels() -> Part:
    """The wheels in it, so that a later run needs no network."""
    inputs = ("1", MAKE.read_text(encoding="utf-8"), REQUIREMENTS.read_text(encoding="utf-8"))
    return Part("bundlewheels", "wheels", inputs, _fetch)


def unpacked(folder: Path, log: Path) -> Path:
    """Make the bundle of this checkout and unpack it in a folder; returns where it lies.

    Raises:
        BuildError: It cannot be made.
    """
    # Not from the network: the wheels are there, and pip checks their hashes all the same.
    archive = _make(log, {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels().built())})
    shutil.unpack_archive(archive, folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def broken(bundle: Path, log: Path) -> Path:
    """The same bundle as the next release, whose service does not stay up."""
    other = bundle.with_name("broken")
    shutil.copytree(bundle, other)
    source = other / BROKEN_FILE
    text = source.read_text(encoding="utf-8")
    if text.count(BROKEN_FROM) != 1:
        raise ValueError(f"{BROKEN_FILE}: the place to break is not there any more")
    source.write_text(text.replace(BROKEN_FROM, BROKEN_TO), encoding="utf-8")
    sums = "find . -type f ! -name SHA256SUMS | sort | xargs -d '\\n' sha256sum >.sums"
    run(["sh", "-ec", f"cd {other}; {sums}; mv .sums SHA256SUMS"], log)
    return other


def _fetch(work: Path, log: Path) -> None:
    archive = _make(log, {})
    shutil.copytree(STAGE / archive.name.removesuffix(".tar.gz") / "wheels", work / "wheels")


def _make(log: Path, extra: dict[str, str]) -> Path:
    environment = {**os.environ, "PIP": f"{sys.executable} -m pip", **extra}
    begin = {path: path.stat().st_mtime_ns for path in DIST.glob("*-offline-x86_64.tar.gz")}
    run([str(MAKE), "x86_64"], log, environment)
    made = [
        path
        for path in DIST.glob("*-offline-x86_64.tar.gz")
        if path.stat().st_mtime_ns != begin.get(path)
    ]
    return max(made, key=lambda path: path.stat().st_mtime_ns)
