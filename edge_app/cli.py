"""The command line: ``python -m edge_app run | demo | replay | events | off | check | ...``.

Exit codes: 0 all well, 1 a check failed, 2 bad usage or input, 130 stopped by Ctrl-C. The
modules behind a command are imported when it runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
import datetime
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.errors import KioskError
from edge_app.store.command import add_parser as add_models_parser

if TYPE_CHECKING:
    from edge_app.settings import Settings

PROGRAM = "mask-kiosk"

INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""

BENCH_FRAMES = 300
"""Enough for a p99 of which three values lie above."""

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The command line without the program's name; default ``sys.argv``.

    Returns:
        The exit code. (Bad usage leaves through ``SystemExit`` with code 2.)
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if options.command is _run else logging.WARNING,
        format=f"{PROGRAM}: %(levelname)s: %(message)s",
        stream=sys.stderr,
        force=True,
    )
    try:
        return int(options.command(options))
    except KioskError as error:
        sys.stderr.write(f"{PROGRAM}: error: {' '.join(str(error).split())}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"{PROGRAM}: stopped\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has closed it (``| head``); Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(options: argparse.Namespace) -> int:
    from edge_app.daemon import run_kiosk

    def read() -> Settings:
        from edge_app.network_permission import require_network

        settings = _private_settings(options)
        require_network(settings)
        return settings

    return run_kiosk(read(), log=log, reload=read)


def _off(options: argparse.Namespace) -> int:
    from edge_app.sinks.indicator import open_indicator

    open_indicator(_settings(options).indicator).close()
    return 0


def _demo(options: argparse.Namespace) -> int:
    from edge_app.demo import DEFAULT_OUTPUT, run_demo

    output = options.annotate or DEFAULT_OUTPUT
    return run_demo(_settings(options), output, fast=options.fast, out=sys.stdout)


def _replay(options: argparse.Namespace) -> int:
    from edge_app.replay_command import Wishes, run_replay

    wishes = Wishes(options.expect, options.annotate, options.report, options.show)
    return run_replay(options.videos, _settings(options), wishes, sys.stdout)


def _events(options: argparse.Namespace) -> int:
    from edge_app.events import Wishes, run_events

    wishes = Wishes(options.file, options.day, options.csv, options.chart, options.daily)
    return run_events(_settings(options), wishes, sys.stdout)


def _check(options: argparse.Namespace) -> int:
    from edge_app.check import run_check

    return run_check(_private_settings(options), sys.stdout)


def _bench(options: argparse.Namespace) -> int:
    import cv2

    from edge_app.bench import run_bench
    from edge_app.demo import CLIP

    if options.source is None:
        options.source = str(CLIP)
    changes: dict[str, Any] = {}
    if options.threads is not None:
        changes = {"detector.threads": options.threads, "classifier.threads": options.threads}
    settings = _settings(options, changes)
    if options.threads is not None:
        cv2.setNumThreads(options.threads)
    return run_bench(settings, options.frames, options.json, sys.stdout)


def _settings(options: argparse.Namespace, changes: dict[str, Any] | None = None) -> Settings:
    from edge_app.settings import load_settings, replace_settings

    changes = dict(changes or {})
    if getattr(options, "source", None) is not None:
        changes["source.uri"] = options.source
    if getattr(options, "mock_pins", False):
        changes["indicator.pins"] = "mock"
    return replace_settings(load_settings(options.settings), changes)


def _private_settings(options: argparse.Namespace) -> Settings:
    """Those of a kiosk at work, whose file nobody else may open."""
    from edge_app.private_files import require_private

    if options.settings is not None:
        require_private(options.settings, "settings file")
    return _settings(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Watches a door, judges how people wear their masks, and drives a light.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--settings", type=Path, metavar="kiosk.toml", help="settings file")
    device = argparse.ArgumentParser(add_help=False)
    device.add_argument(
        "--source", metavar="SOURCE", help="picamera, /dev/video0, rtsp://..., clip.mp4 or photos/"
    )
    device.add_argument("--mock-pins", action="store_true", help="pretend pins, no real light")

    def command(name: str, action: Any, parents: list[Any], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, parents=parents, help=text, description=text)
        made.set_defaults(command=action)
        return made

    command("run", _run, [common, device], "run the kiosk until it is stopped")

    command("off", _off, [common, device], "switch lamps and buzzer off, once a kiosk has died")

    demo = command("demo", _demo, [common], "play the bundled clip, show the light here")
    demo.add_argument("--fast", action="store_true", help="do not wait for real time")
    demo.add_argument(
        "--annotate", type=Path, metavar="OUT.mp4", help="default: build/demo-annotated.mp4"
    )

    replay = command("replay", _replay, [common], "say what the light shows on recordings")
    replay.add_argument("videos", nargs="+", metavar="VIDEO", help="video or folder of images")
    replay.add_argument(
        "--expect", type=Path, metavar="expected.json", help="fail if the light differs from this"
    )
    replay.add_argument(
        "--annotate", type=Path, metavar="OUT", help="annotated copy (.mp4; several: a folder)"
    )
    replay.add_argument("--report", type=Path, metavar="OUT.json", help="every face, as JSON")
    replay.add_argument("--show", action="store_true", help="live window; Q quits")

    events = command("events", _events, [common], "show what the light showed, and when")
    events.add_argument(
        "--file", type=Path, metavar="events.sqlite3", help="default: as the settings say"
    )
    events.add_argument("--day", type=_day, metavar="YYYY-MM-DD", help="of this day alone")
    form = events.add_mutually_exclusive_group()
    form.add_argument("--csv", type=Path, metavar="OUT.csv", help="write a table for a spreadsheet")
    form.add_argument("--chart", action="store_true", help="a day by hours; default: today")
    form.add_argument("--daily", action="store_true", help="how often and how long per day")

    command("check", _check, [common, device], "test models, runtime, camera, pins and supply")

    add_models_parser(commands, "models")

    bench = command("bench", _bench, [common], "measure milliseconds per stage")
    bench.add_argument("--source", metavar="CLIP", help="default: the bundled clip")
    bench.add_argument("--threads", type=int, metavar="N", help="for both models and OpenCV")
    bench.add_argument("--frames", type=_positive, default=BENCH_FRAMES, metavar="N")
    bench.add_argument("--json", type=Path, metavar="OUT.json", help="the figures as JSON")
    return parser


def _positive(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of at least 1")
    return value


def _day(text: str) -> datetime.date:
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be a day like 2026-03-31") from None
