"""``card``: check a bundle's card and print it for people.

    python -m training card mask_classifier
    python -m training card build/bundles/door_classifier.tflite --out door_classifier.md

The card (NAME.json) is checked against ``training/exporting/card_schema.json``, which documents
every key, and against the model beside it, as the device does. Exit code 1: it breaks the schema.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from edge_app.recording import write_atomically
from edge_app.vision.bundle import card_path, find_bundle, load_bundle, read_card


def add_parser(subparsers: Any) -> None:
    """Add ``card`` to the command line."""
    parser = subparsers.add_parser(
        "card",
        help="check a bundle's card and print it for people",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "bundle", help="path of a .tflite with its card, or a shipped bundle's name"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the Markdown there instead of printing it"
    )
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Entry point of ``card``."""
    from training.exporting.card_schema import violations
    from training.exporting.card_text import card_markdown

    model = find_bundle(args.bundle)
    card = load_bundle(model, read_card(model).task).card.raw
    assert card is not None
    if wrong := violations(card):
        for line in wrong:
            sys.stderr.write(f"{card_path(model)}: {line}\n")
        return 1
    markdown = card_markdown(card)
    if args.out is None:
        print(markdown, end="")
        return 0
    write_atomically(args.out, markdown.encode())
    print(f"card: {args.out}")
    return 0
