"""How much of one processor core the kiosk takes, with nobody and with somebody in view.

    python -m tests.bench.share --seconds 60

The whole kiosk as in ``soak.py``, with a camera of 15 frames per second and the default
settings, so that an empty room is looked at 5 times a second.
"""

from __future__ import annotations

import argparse
import logging
import resource
import threading

from edge_app.daemon import Kiosk
from edge_app.domain import Image
from edge_app.settings import Settings, SourceSettings, replace_settings
from edge_app.sinks.indicator import open_indicator
from edge_app.sources import FrameSource
from tests.bench.scenes import EndlessCamera, clip_frames, crowd, empty_room

CAMERA_FPS = 15.0
SETTLE_S = 3.0
"""Models are loaded and the first frames through."""


def share(pictures: list[Image], seconds: float) -> float:
    """Seconds of processor time per second, all threads together."""

    def open_endless(uri: str, source: SourceSettings) -> FrameSource:
        return EndlessCamera([("scene", pictures, len(pictures))], CAMERA_FPS)

    settings = replace_settings(Settings(), {"indicator.pins": "none"})
    kiosk = Kiosk(
        settings,
        open_indicator(settings.indicator),
        logging.getLogger("share"),
        open_source=open_endless,
    )
    spent = []

    def watch() -> None:
        pause = threading.Event()
        for wait in (SETTLE_S, seconds):
            pause.wait(wait)
            usage = resource.getrusage(resource.RUSAGE_SELF)
            spent.append(usage.ru_utime + usage.ru_stime)
        kiosk.stop()

    watcher = threading.Thread(target=watch)
    watcher.start()
    kiosk.run()
    watcher.join()
    return (spent[1] - spent[0]) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    clip = clip_frames()
    scenes = {
        "nobody in view": empty_room(),
        "one person": clip,
        "twenty people": crowd(clip),
    }
    for name, pictures in scenes.items():
        print(f"{name}: {share(pictures, options.seconds):.1%} of one core", flush=True)


if __name__ == "__main__":
    main()
