"""The workstation's command line: ``python -m training COMMAND``.

A command is a module with ``add_parser(subparsers)``, which calls
``set_defaults(run_command=function)``; the function takes the parsed arguments and returns the
exit code. Only the module of the command that was asked for is imported, so ``--help``
is quick and an installation without the training packages gets one clear line.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from edge_app.errors import KioskError, UsageError
from edge_app.store.layout import VARIABLE

COMMANDS = {
    "prepare": ("training.prepare", "read data sets, divide them, and store decoded pictures"),
    "fit": ("training.fit", "train a model from a recipe"),
    "tune": ("training.tune", "search for better settings of a recipe"),
    "crossval": ("training.crossval", "train and judge a recipe on every fold in turn"),
    "compare": ("training.compare", "train or load several recipes and print one table"),
    "sheet": ("training.sheet", "draw what a recipe's augmentation looks like"),
    "evaluate": ("training.evaluate", "measure a model on a data set"),
    "explain": ("training.explain", "show where in a face the classifier looks (Grad-CAM)"),
    "export": ("training.export", "turn a trained model into an INT8 bundle"),
    "formats": ("training.formats", "compare float32, float16, dynamic-range and INT8 files"),
    "selftest": ("training.selftest", "store what a model says about a few pictures, for kiosks"),
    "gate": ("training.gate", "refuse a bundle that is worse than the shipped one"),
    "card": ("training.card", "check a bundle's card and print it for people"),
    "pipeline": ("training.pipeline", "prepare, fit, export, evaluate, gate and card in one"),
    "try": ("training.try_page", "open a local web page that judges pictures and clips"),
    "bench-models": ("training.bench_models", "compare the models with public ones"),
}
"""Command -> its module and one line of help."""

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 plus the signal's number, as shells have it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 ok, 1 a check failed, 2 bad usage or input, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # A bundle's name means the one that ships here, not what was installed on this machine's kiosk.
    os.environ.setdefault(VARIABLE, "")
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
    try:
        args = _parser(arguments).parse_args(arguments)
        return int(args.run_command(args))
    except KioskError as error:
        _complain(error)
        return error.exit_code
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in {"training", "edge_app"}:
            raise
        missing = UsageError(
            f"the training half needs the package {error.name!r}: "
            "pip install -r requirements-train.txt"
        )
        _complain(missing)
        return missing.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("mask-kiosk: interrupted\n")
        return INTERRUPTED


def _complain(error: KioskError) -> None:
    sys.stderr.write(f"mask-kiosk: error: {' '.join(str(error).split())}\n")


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser; only the wanted command gets its options, for the others' are not imported."""
    parser = argparse.ArgumentParser(
        prog="python -m training", description="Train the kiosk's models on a workstation."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    for command, (module, help_line) in COMMANDS.items():
        if command == wanted:
            importlib.import_module(module).add_parser(subparsers)
        else:
            subparsers.add_parser(command, help=help_line)
    return parser
