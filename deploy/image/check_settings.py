#!/usr/bin/env python3
"""Is a kiosk.toml right? Asked before a card leaves the desk, and by the kiosk's first boot.

Prints nothing and ends with 0, or prints one line with file, line, key and allowed values, and
ends with 2. With --network it ends with 0 only when a setting needs the network, else with 1; with
--page it prints the status page's address, if there is one.
Needs Python 3.11, no package, and edge_app: of the checkout, or named by PYTHONPATH.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
if (CHECKOUT / "edge_app").is_dir():
    sys.path.insert(0, str(CHECKOUT))

from edge_app.errors import SettingsError  # noqa: E402
from edge_app.network_permission import network_user  # noqa: E402
from edge_app.settings import Settings, parse_settings  # noqa: E402

HEADING = re.compile(r"\s*\[\s*([\w-]+)\s*\]")
KEY = re.compile(r"\s*([\w.-]+)\s*=")
NAMES = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)?")


def main(arguments: list[str]) -> int:
    question, *files = (
        arguments if arguments[:1] in (["--network"], ["--page"]) else ["", *arguments]
    )
    if len(files) != 1:
        sys.stderr.write("usage: check_settings.py [--network | --page] kiosk.toml\n")
        return 2
    try:
        settings = read(Path(files[0]))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if question == "--page" and settings.web.enabled:
        sys.stdout.write(f"http://{name_of(settings.web.host)}:{settings.web.port}/\n")
    return 1 if question == "--network" and not network_user(settings) else 0


def read(file: Path) -> Settings:
    """The settings in a file.

    Args:
        file: A kiosk.toml.

    Returns:
        What it says.

    Raises:
        SettingsError: In one line: which file, which line, which key, and what is allowed.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"{file.name}: cannot be read: {error.strerror}") from None
    try:
        return parse_settings(content, file.name)
    except SettingsError as error:
        message = str(error).removeprefix(f"{file.name}: ")
        number = line_of(content.decode("utf-8-sig", "replace"), message)
        where = f"{file.name}, line {number}" if number else file.name
        raise SettingsError(f"{where}: {message}") from None


def name_of(host: str) -> str:
    """What to write into a browser for the address that the page listens at."""
    try:
        everywhere = ipaddress.ip_address(host).is_unspecified
    except ValueError:  # a name
        everywhere = False
    return f"{socket.gethostname()}.local" if everywhere else host


def line_of(text: str, message: str) -> int | None:
    """The line that an error is about.

    Args:
        text: The settings file.
        message: What is wrong, with the key's name in it.

    Returns:
        The number of the first line with a key or section that the message names, in the order
        in which it names them; None when there is none.
    """
    lines: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if heading := HEADING.match(line):
            section = heading[1]
            lines.setdefault(section, number)
        elif key := KEY.match(line):
            lines.setdefault(f"{section}.{key[1]}" if section else key[1], number)
    if syntax := re.search(r"\(at line (\d+),", message):
        return int(syntax[1])
    return next((lines[name] for name in NAMES.findall(message) if name in lines), None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
