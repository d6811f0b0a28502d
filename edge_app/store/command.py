"""``python -m edge_app models install BUNDLE | list | rollback [NAME]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from edge_app.errors import UsageError


def add_parser(commands: Any, name: str) -> None:
    """Add the command and its own commands to the command line."""
    text = "install a signed model, go back to the one before, list them"
    parser = commands.add_parser(name, help=text, description=f"{text.capitalize()}.")
    parser.set_defaults(command=run)
    own = parser.add_subparsers(dest="models", metavar="COMMAND", required=True)
    text = "verify, test and switch to a bundle; go back if the kiosk does not work with it"
    install = own.add_parser("install", help=text, description=f"{text.capitalize()}.")
    install.add_argument(
        "bundle", type=Path, metavar="BUNDLE", help="NAME.tflite, a folder or a .tar"
    )
    text = "show what is shipped, installed and in use"
    own.add_parser("list", help=text, description=f"{text.capitalize()}.")
    text = "go back to the version before, at last to the shipped one"
    rollback = own.add_parser("rollback", help=text, description=f"{text.capitalize()}.")
    rollback.add_argument("name", nargs="?", metavar="NAME", help="default: the only one installed")


def run(options: argparse.Namespace) -> int:
    """Entry point of ``models``."""
    from edge_app.store.layout import VARIABLE, store_folder

    store = store_folder()
    if options.models == "list":
        from edge_app.store.overview import show

        return show(store, sys.stdout)
    if store is None:
        raise UsageError(f"{VARIABLE} is empty: there is no folder for installed models")
    from edge_app.store.install import install, rollback
    from edge_app.store.keys import FOLDER

    if options.models == "install":
        return install(options.bundle, store, FOLDER, sys.stdout)
    return rollback(options.name, store, sys.stdout)
