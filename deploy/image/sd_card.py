"""The files of a card: what they are, which boot partitions take them, how they are written.

See docs/image.md. No package is needed: this runs on the installer's own computer.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

FOLDER = "mask-kiosk"
"""On the boot partition."""

TEMPLATES = Path(__file__).resolve().parent / "card"
CHECKER = Path(__file__).resolve().parent / "check_settings.py"

BUNDLE_NAME = re.compile(r"mask-kiosk-[\w.+~]+-offline-arm64\.tar\.gz")
IN_BUNDLE = ("edge_app/settings.py", "deploy/install.sh", "deploy/install/system.sh")

KERNELS = ("kernel8.img", "kernel_2712.img")
"""The 64-bit ones."""

RUN = " systemd.run=/boot/firmware/firstrun.sh systemd.run_success_action=reboot" + (
    " systemd.unit=kernel-command-line.target"
)
HOOK = re.compile(r"# mask-kiosk begin\n.*?# mask-kiosk end\n", re.DOTALL)
LAST_ACT = re.compile(r"^rm -f \S*/firstrun\.sh$", re.MULTILINE)
"""Before it in Imager's script: Raspberry Pi OS throws away what follows at the first boot."""

SECRET_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")

ROOM = 8 * 2**20
"""Bytes that stay free: the first boot writes its result and a log."""


class CardError(Exception):
    """The card is not prepared; the message is one line and says what to do."""


def check_partition(folder: Path) -> None:
    """Refuse everything but the boot partition of Raspberry Pi OS (64-bit).

    Raises:
        CardError: It is something else.
    """
    if not folder.is_dir():
        raise CardError(f"{folder}: there is no such folder; name the drive bootfs of the SD card")
    for name in ("cmdline.txt", "config.txt"):
        if not (folder / name).is_file():
            raise CardError(
                f"{folder}: this is no boot partition of a Raspberry Pi: it has no {name}; "
                "name the drive bootfs of the SD card"
            )
    if not any((folder / kernel).is_file() for kernel in KERNELS):
        raise CardError(
            f"{folder}: there is no 64-bit system on this card ({KERNELS[0]} is missing); "
            "write Raspberry Pi OS (64-bit) onto it"
        )


def has_cloud_init(folder: Path) -> bool:
    """Raspberry Pi OS "trixie" and newer: their images bring these two files."""
    return (folder / "user-data").is_file() and (folder / "meta-data").is_file()


def payload(
    bundle: Path, settings: Path | None, secrets: Mapping[str, Path]
) -> Iterator[tuple[str, Path | bytes]]:
    """What a card holds beside its hook.

    Args:
        bundle: The offline bundle.
        settings: A kiosk.toml that was checked, or None for the defaults.
        secrets: Files for /etc/mask-kiosk, by the name that they get there.

    Yields:
        The path on the boot partition, and the content.

    Raises:
        CardError: A file cannot be used.
    """
    sums = []
    listed: list[tuple[str, Path | bytes]] = [(bundle.name, bundle)]
    for template in (*sorted((TEMPLATES / FOLDER).iterdir()), CHECKER):
        listed.append((template.name, unix(template.read_bytes())))
    for name, content in listed:
        sums.append(f"{digest(content)}  {name}\n")
        yield f"{FOLDER}/{name}", content
    yield f"{FOLDER}/SHA256SUMS", "".join(sums).encode()
    if settings is not None:
        yield f"{FOLDER}/kiosk.toml", settings
    for name, path in secrets.items():
        if not SECRET_NAME.fullmatch(name) or name == "kiosk.toml":
            raise CardError(f"{path}: {name!r} is no name for a secret's file")
        yield f"{FOLDER}/secrets/{name}", path


def check_bundle(bundle: Path) -> None:
    """Refuse a file that is no offline bundle.

    Raises:
        CardError: It is missing, damaged or something else.
    """
    if not BUNDLE_NAME.fullmatch(bundle.name):
        raise CardError(
            f"{bundle}: an offline bundle is named mask-kiosk-VERSION-offline-arm64.tar.gz"
        )
    try:
        with tarfile.open(bundle, "r:gz") as archive:
            names = archive.getnames()
    except FileNotFoundError:
        raise CardError(f"{bundle}: there is no such file; `make bundle` makes it") from None
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        why = " ".join(str(error).split())
        raise CardError(f"{bundle}: cannot be read, fetch it again: {why}") from None
    for wanted in IN_BUNDLE:
        if not any(f"/{name}".endswith(f"/{wanted}") for name in names):
            raise CardError(f"{bundle}: {wanted} is not in it; it is no bundle, or an old one")


def write_card(folder: Path, files: list[tuple[str, Path | bytes]]) -> None:
    """Put the files on the boot partition, and the hook last: half a card does nothing.

    Raises:
        CardError: There is no room, or the hook cannot be placed.
        OSError: The card cannot be written.
    """
    hooks = hook_files(folder)
    needed = sum(size(content) for _, content in files) + ROOM
    old = [*(folder / FOLDER).glob("mask-kiosk-*.tar.gz*"), folder / FOLDER / "RESULT.txt"]
    free = shutil.disk_usage(folder).free + sum(f.stat().st_size for f in old if f.is_file())
    if free < needed:
        raise CardError(
            f"{folder}: {free // 2**20} MB are free, {needed // 2**20} MB are needed; "
            "delete what does not belong there"
        )
    for path in old:
        path.unlink(missing_ok=True)
    for name, content in files:
        put(folder / name, content)
    for name, content in hooks:
        put(folder / name, content)
    if hasattr(os, "sync"):  # not on Windows: there "Eject" does it
        os.sync()


def hook_files(folder: Path) -> list[tuple[str, bytes]]:
    """What makes the system start ``hook.sh``; nothing else of Imager's files is changed.

    Args:
        folder: The boot partition.

    Returns:
        Files by name, in the order in which to write them.

    Raises:
        CardError: Something stands in the way that only a person can judge.
    """
    if has_cloud_init(folder):
        ours = unix((TEMPLATES / "vendor-data").read_bytes())
        present = folder / "vendor-data"
        if present.is_file() and FOLDER.encode() not in (was := present.read_bytes()) and was:
            raise CardError(f"{present}: somebody else's; move it away, or use a fresh card")
        return [("vendor-data", ours)]
    cmdline = text_of(folder / "cmdline.txt").strip()
    if not cmdline or "\n" in cmdline:
        raise CardError(f"{folder / 'cmdline.txt'}: must be one line; write the card again")
    ours = unix((TEMPLATES / "firstrun.sh").read_bytes())
    theirs = folder / "firstrun.sh"
    if "systemd.run=" not in cmdline:
        if theirs.is_file() and not HOOK.search(text_of(theirs)):
            raise CardError(f"{theirs}: cmdline.txt does not name it; write the card again")
        return [("firstrun.sh", ours), ("cmdline.txt", bytes_of(f"{cmdline}{RUN}\n"))]
    if "/firstrun.sh" not in cmdline or not theirs.is_file():
        raise CardError(
            f"{folder / 'cmdline.txt'}: systemd.run= in it starts something else than firstrun.sh;"
            " write the card again"
        )
    text = text_of(theirs)
    if bytes_of(text) == ours:
        return [("firstrun.sh", ours)]
    text = HOOK.sub("", text)
    place = LAST_ACT.search(text)
    lines = HOOK.search(ours.decode())
    if place is None or lines is None:
        raise CardError(f"{theirs}: not as Raspberry Pi Imager writes it; see docs/image.md")
    return [("firstrun.sh", bytes_of(text[: place.start()] + lines[0] + text[place.start() :]))]


def text_of(path: Path) -> str:
    """With whatever bytes it holds: an SSID need not be UTF-8."""
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def put(path: Path, content: Path | bytes) -> None:
    """A file in its place, whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        if isinstance(content, bytes):
            file.write(content)
        else:
            with content.open("rb") as source:
                shutil.copyfileobj(source, file, 2**20)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def digest(content: Path | bytes) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def unix(content: bytes) -> bytes:
    """Without the carriage returns of a checkout on Windows: a shell takes them for text."""
    return content.replace(b"\r\n", b"\n")
