"""``selftest``: make the self-test of a bundle that is there already.

    python -m training selftest face_detector
    python -m training selftest build/bundles/door_classifier.tflite

Writes ``NAME.selftest.npz`` beside the model and its hash into the card, as ``export`` does for a
new bundle; the model stays as it is. The card's signature, if there is one, no longer fits: sign
again (``minisign -S``). See docs/models.md.
"""

from __future__ import annotations

import argparse
from typing import Any

from edge_app.vision.bundle import card_path, find_bundle, load_bundle, read_card


def add_parser(subparsers: Any) -> None:
    """Add ``selftest`` to the command line."""
    parser = subparsers.add_parser(
        "selftest",
        help="make the self-test of a bundle that is there already",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "bundle", help="path of a .tflite with its card, or a shipped bundle's name"
    )
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Entry point of ``selftest``."""
    from edge_app.vision.selftest import selftest_path
    from training.exporting.bundle_files import settle, write_bundle
    from training.exporting.selftest import with_self_test

    model = find_bundle(args.bundle)
    settle(model.parent, model.stem)
    card = load_bundle(model, read_card(model).task).card.raw
    assert card is not None
    content = model.read_bytes()
    named, test = with_self_test(card, content)
    write_bundle(named, content, model.parent, test)
    print(f"self-test: {selftest_path(model)}, its hash is in {card_path(model)}")
    return 0
