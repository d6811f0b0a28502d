"""Open a local web page: drop a picture or a clip, see boxes, verdicts and the heat map.

    python -m training try
    python -m training try --classifier build/bundles/door_classifier.tflite

The page is served by Streamlit on this machine alone, unless --host says otherwise. Nothing that
is dropped on it leaves this machine or is kept. It judges with the device's own code, so what it
shows is what the kiosk would say.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import Any

from edge_app.errors import MissingPackageError, UsageError

DEFAULT_DETECTOR, DEFAULT_CLASSIFIER = "face_detector", "mask_classifier"

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 7860

PAGE = Path(__file__).with_name("trying") / "view.py"
"""The page itself, which Streamlit runs anew for every upload."""

STREAMLIT_VERSION = "1.67.0"

PRIMARY_COLOUR = "#3b5b92"
"""Of the probability bars: none of the light's colours, which mean something."""

SERVER_OPTIONS = {
    "browser.gatherUsageStats": "false",
    "runner.magicEnabled": "false",
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "server.showEmailPrompt": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorLinks": "false",
    "logger.hideWelcomeMessage": "true",
    "theme.base": "light",
    "theme.primaryColor": PRIMARY_COLOUR,
}
"""What keeps Streamlit to this machine: no statistics, no greeting (it would ask the internet for
our address), no links to its makers. Without magic, only what the page says is shown."""


def add_parser(subparsers: Any) -> None:
    """Add ``try`` to the command line."""
    parser = subparsers.add_parser(
        "try",
        help="open a local web page that judges pictures and clips",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model_options(parser)
    parser.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help="of the page (default: %(default)s)"
    )
    parser.add_argument(
        "--host",
        default=DEFAULT_HOST,
        help="address to serve on (default: %(default)s, this machine alone; "
        "0.0.0.0 is every network it is in, without a password)",
    )
    parser.set_defaults(run_command=run)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that command and page share."""
    for task, name in (("detector", DEFAULT_DETECTOR), ("classifier", DEFAULT_CLASSIFIER)):
        parser.add_argument(
            f"--{task}",
            metavar="BUNDLE",
            default=name,
            help="a shipped bundle's name or a .tflite path (default: %(default)s)",
        )


def run(args: argparse.Namespace) -> int:
    """Entry point of ``try``: check what can be checked, then become the page's server.

    Raises:
        MissingPackageError: Streamlit is not installed.
        BundleNotFoundError, BundleError: A model cannot be used.
        UsageError: The address cannot be served on.
    """
    from edge_app.vision.bundle import load_bundle

    if importlib.util.find_spec("streamlit") is None:
        raise MissingPackageError(
            f"the page needs Streamlit: pip install streamlit=={STREAMLIT_VERSION}"
        )
    load_bundle(args.detector, "detect")
    load_bundle(args.classifier, "classify")
    _require_free(args.host, args.port)
    print(f"open http://{_in_url(args.host)}:{args.port} in a browser; Ctrl-C ends it", flush=True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # the page says what matters
    command = server_command(args)
    os.execv(sys.executable, command)  # noqa: S606 - no shell, a list of arguments # nosec B606


def server_command(args: argparse.Namespace) -> list[str]:
    """The command line of the server that this process turns into."""
    options = {**SERVER_OPTIONS, "server.address": args.host, "server.port": str(args.port)}
    return [
        sys.executable, "-m", "streamlit", "run", str(PAGE),
        *(f"--{name}={value}" for name, value in options.items()),
        "--", "--detector", args.detector, "--classifier", args.classifier,
    ]  # fmt: skip


def _require_free(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise UsageError(
            f"cannot serve on {host} port {port}: {error.strerror}; give another --port or --host"
        ) from None


def _in_url(host: str) -> str:
    every_network = "0.0.0.0"  # noqa: S104 - only compared with what was asked for # nosec B104
    if host in (every_network, "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _port(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 1..65535")
    return value
