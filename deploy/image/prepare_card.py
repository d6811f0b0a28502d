#!/usr/bin/env python3
r"""Prepares a card written by Raspberry Pi Imager: the kiosk installs itself at first boot.

    python3 deploy/image/prepare_card.py BOOTFS BUNDLE [--settings kiosk.toml] [--secret FILE]...
    python3 deploy/image/prepare_card.py --zip OUT.zip BUNDLE

BOOTFS is the small drive of the card ("bootfs"; E:\ on Windows, /media/NAME/bootfs on Linux,
/Volumes/bootfs on a Mac), BUNDLE the file mask-kiosk-VERSION-offline-arm64.tar.gz. Running it
again is right after every change. With --zip it writes the same files into an archive, for
people who copy them onto the card by hand. See docs/image.md.
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path

import sd_card
from sd_card import CardError

OLDEST_PYTHON = (3, 11)


def main(arguments: list[str]) -> int:
    try:
        if sys.version_info < OLDEST_PYTHON:
            raise CardError("Python 3.11 or newer is needed; or copy the files by hand")
        options = parser().parse_args(arguments)
        sd_card.check_bundle(options.bundle)
        secrets = {path.name: path for path in options.secret}
        for path in secrets.values():
            if not path.is_file():
                raise CardError(f"{path}: there is no such file")
        check_settings(options.settings)
        if options.zip is not None:
            example = Path(__file__).resolve().parents[1] / "kiosk.example.toml"
            files = list(sd_card.payload(options.bundle, options.settings or example, secrets))
            write_zip(options.zip, files)
            sys.stdout.write(f"{options.zip}: unpack it onto the drive bootfs of a card\n")
            return 0
        sd_card.check_partition(options.bootfs)
        files = list(sd_card.payload(options.bundle, options.settings, secrets))
        sd_card.write_card(options.bootfs, files)
    except CardError as error:
        sys.stderr.write(f"prepare_card: {error}\n")
        return 2
    except OSError as error:
        why = error.strerror or type(error).__name__
        sys.stderr.write(f"prepare_card: {error.filename or options.bootfs}: {why}\n")
        return 2
    system = "trixie or newer" if sd_card.has_cloud_init(options.bootfs) else "bookworm"
    settings = options.settings.name if options.settings else "the default settings"
    sys.stdout.write(
        f"{options.bootfs}: prepared (Raspberry Pi OS {system}, {options.bundle.name}, {settings})."
        "\nEject the card, put it into the Pi, connect camera, light and network, power it."
        "\nWhat came of it will stand on this drive in mask-kiosk/RESULT.txt.\n"
    )
    if secrets or options.settings:
        sys.stdout.write(
            "Settings and secrets leave the card when the kiosk is installed; until then whoever"
            " holds the card can read them.\n"
        )
    return 0


def check_settings(file: Path | None) -> None:
    """Refuse a kiosk.toml with a mistake, here at the desk.

    Raises:
        CardError: It has one.
    """
    if file is None:
        return
    from check_settings import read  # needs Python 3.11, which was asked for above

    try:
        read(file)
    except ValueError as error:
        raise CardError(str(error)) from None


def write_zip(out: Path, files: list[tuple[str, Path | bytes]]) -> None:
    """The card's files in an archive. It is for trixie; the one for bookworm lies in the folder."""
    vendor_data = sd_card.unix((sd_card.TEMPLATES / "vendor-data").read_bytes())
    firstrun = sd_card.unix((sd_card.TEMPLATES / "firstrun.sh").read_bytes())
    extra = [("vendor-data", vendor_data), (f"{sd_card.FOLDER}/bookworm/firstrun.sh", firstrun)]
    new = out.with_name(f"{out.name}.new")
    with zipfile.ZipFile(new, "w", zipfile.ZIP_STORED) as archive:
        for name, content in [*files, *extra]:
            data = content if isinstance(content, bytes) else content.read_bytes()
            # A fixed time: the same files give the same archive.
            archive.writestr(zipfile.ZipInfo(name), data)
    new.replace(out)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="prepare_card", description=(__doc__ or "").splitlines()[0])
    target = made.add_mutually_exclusive_group(required=True)
    target.add_argument("bootfs", nargs="?", type=Path, help="the drive bootfs of the card")
    target.add_argument("--zip", type=Path, metavar="OUT.zip", help="write an archive instead")
    made.add_argument("bundle", type=Path, help="mask-kiosk-VERSION-offline-arm64.tar.gz")
    made.add_argument("--settings", type=Path, metavar="kiosk.toml", help="default: the defaults")
    made.add_argument(
        "--secret",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a password's file that kiosk.toml names; goes to /etc/mask-kiosk/FILE",
    )
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
