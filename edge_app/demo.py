"""The ``demo`` command: the bundled clip through the real pipeline, the light in the terminal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from edge_app.domain import Observation
from edge_app.pipeline import build_pipeline
from edge_app.recording import VideoRecorder
from edge_app.replay import play
from edge_app.settings import Settings, replace_settings
from edge_app.sinks.indicator import open_indicator
from edge_app.sources import open_source
from edge_app.terminal import LightView, Progress, style_of
from edge_app.timeline import describe, timeline
from edge_app.vision.annotate import annotate
from edge_app.vision.interpreter import runtime_name

CLIP = Path(__file__).resolve().parent / "assets" / "demo.mp4"
"""The bundled clip. It is rendered, see the README."""

DEFAULT_OUTPUT = Path("build", "demo-annotated.mp4")


class Pace:
    """Holds frames back until their time has come.

    Args:
        clock: Seconds, never going back.
        sleep: Waits for so many seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._begin: float | None = None

    def wait_for(self, position: float) -> None:
        """Wait until ``position`` seconds have passed since the first call's position."""
        now = self._clock()
        if self._begin is None:
            self._begin = now - position
        due = self._begin + position
        if due > now:
            self._sleep(due - now)


def run_demo(
    settings: Settings,
    output: Path,
    *,
    fast: bool,
    out: TextIO,
    clip: Path = CLIP,
    environment: Mapping[str, str] = os.environ,
) -> int:
    """Play the clip, show the light, write the annotated video, print the timeline.

    Args:
        settings: The kiosk's settings; source and pins in them are not looked at.
        output: Where the annotated video goes.
        fast: As fast as the machine can, instead of in real time.
        out: The terminal.
        clip: What to play.
        environment: For ``NO_COLOR`` and ``TERM``.

    Raises:
        KioskError: The clip or a bundle is missing, or the video cannot be written.
    """
    settings = replace_settings(settings, {"indicator.pins": "mock"})
    pace = None if fast else Pace()
    seen: list[Observation] = []
    pipeline = build_pipeline(settings)
    with open_source(str(clip), settings.source) as source:
        print(f"clip:   {clip.name}, rendered, {source.size[0]}x{source.size[1]}", file=out)
        models = f"{settings.detector.bundle}, {settings.classifier.bundle}"
        print(f"models: {models} ({runtime_name()})", file=out, flush=True)
        length = source.frame_count / source.fps if source.frame_count else None
        with (
            open_indicator(settings.indicator) as indicator,
            VideoRecorder(output, source.fps) as recorder,
            LightView(out, style_of(out, environment)) as view,
        ):
            for frame, observation in play(source, pipeline):
                indicator.show(observation.signal)
                if pace is not None:
                    pace.wait_for(frame.time)
                lamps = indicator.tick(frame.time)
                progress = Progress(frame.time + 1 / source.fps, length)
                view.update(observation, lamps, progress)
                recorder.add(annotate(frame.image, observation))
                seen.append(observation)
        frame_seconds = 1 / source.fps
    print("\ntimeline:", file=out)
    for span in timeline(seen, frame_seconds):
        print(f"  {describe(span)}", file=out)
    print(f"\nannotated video: {output}", file=out)
    return 0
