"""The running kiosk: the only file, beside the command line, that knows time and threads.

Three threads, so that nothing slow stops the light:

- *capture* reads the source into a slot that holds the newest frame only, opens a lost
  camera again, and plays files at their own speed;
- *pipeline* loads the models, takes frames from the slot and hands observations to the
  sinks;
- the *main* thread drives lamps and buzzer, sees when frames or pipeline stand still,
  tells systemd, and ends the run. Signals arrive here, and it never waits for the others.

Every frame gets the time of its arrival on the daemon's own clock, so that its age is
known whatever clock the source uses.
"""

from __future__ import annotations

import datetime
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from edge_app.domain import Frame, Observation, Signal
from edge_app.errors import CameraLostError, Temporary
from edge_app.pipeline import Pipeline, build_pipeline
from edge_app.rhythm import TICK_S
from edge_app.settings import Settings, SourceSettings
from edge_app.sinks import Sink
from edge_app.sinks.indicator import Indicator, open_indicator
from edge_app.sources import FrameSource, open_source
from edge_app.systemd import sd_notify

BACKOFF_S = (1.0, 30.0)
"""Pause before a lost source is opened again: doubled from the first to the second."""

FAREWELL_S = 1.0
"""How long the light shows FAULT before a run ends with an error: one red, one amber."""

JOIN_S = 0.5
"""Patience with each thread at the end. Lamps are off by then; a thread that hangs in a
driver is left behind, it ends with the process."""

SLOT_WAIT_S = 0.1
"""How often the pipeline thread looks up from waiting for a frame."""


class LatestFrame:
    """A slot between two threads that holds the newest frame only."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame: Frame | None = None
        self._closed = False

    def put(self, frame: Frame) -> None:
        """Leave a frame; one that nobody took is dropped."""
        with self._changed:
            self._frame = frame
            self._changed.notify()

    def take(self, timeout: float) -> Frame | None:
        """The newest frame not yet taken; None if there is none within ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._closed, timeout)
            frame, self._frame = self._frame, None
            return frame

    def close(self) -> None:
        """No more frames will come; the last one may still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    @property
    def finished(self) -> bool:
        """Whether the slot is closed and empty."""
        with self._changed:
            return self._closed and self._frame is None


class Kiosk:
    """One run, from the first frame to the last.

    Args:
        settings: All settings.
        indicator: Lamps and buzzer; used and closed by the thread that calls :meth:`run`.
        log: Gets a line for every change of the signal and every trouble.
        sinks: Get every observation, and one with ``FAULT`` when no fresh frames come;
            used and closed by the pipeline thread.
        open_source: Opens ``source.uri``.
        build_pipeline: Loads the models.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        settings: Settings,
        indicator: Indicator,
        log: logging.Logger,
        sinks: Sequence[Sink] = (),
        *,
        open_source: Callable[[str, SourceSettings], FrameSource] = open_source,
        build_pipeline: Callable[[Settings], Pipeline] = build_pipeline,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._indicator = indicator
        self._log = log
        self._sinks = sinks
        self._open_source = open_source
        self._build_pipeline = build_pipeline
        self._clock = clock
        self._slot = LatestFrame()
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._stop = False
        self._failure: BaseException | None = None
        self._pipeline: Pipeline | None = None
        self._trouble: str | None = None
        self._processed = 0
        self._pinged = 0
        self._shown: Signal | None = None
        self._notify_works = True

    def stop(self) -> None:
        """End the run soon; safe in a signal handler (it takes no lock)."""
        self._stop = True

    def run(self) -> int:
        """Run until the source ends, :meth:`stop` is called or something permanent fails.

        Returns:
            0, the exit code.

        Raises:
            KioskError: A permanent fault of the source, the models or the pins; the light
                has shown ``FAULT`` for :data:`FAREWELL_S`.
        """
        capture = self._thread(self._capture, "capture")
        pipeline = self._thread(self._process, "pipeline")
        try:
            capture.start()
            pipeline.start()
            self._notify("READY=1")
            while not self._stop and self._failure is None and pipeline.is_alive():
                self._light(self._clock())
                time.sleep(TICK_S)
            if self._failure is not None:
                self._farewell(self._failure)
                raise self._failure
            return 0
        finally:
            self._stopping.set()
            self._indicator.close()
            self._notify("STOPPING=1")
            self._slot.close()
            for thread in (capture, pipeline):
                if thread.is_alive():
                    thread.join(JOIN_S)
                if thread.is_alive():
                    self._log.warning("the %s thread hangs and is left behind", thread.name)

    def _thread(self, work: Callable[[], None], name: str) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # run() raises it in the main thread
                if self._failure is None:
                    self._failure = error

        return threading.Thread(target=guarded, name=name, daemon=True)

    # The main thread

    def _showing(self, now: float) -> tuple[Signal, str]:
        """What the light must show now, and why."""
        if self._pipeline is None:
            return Signal.FAULT, self._trouble or "starting"
        shown, reason = self._pipeline.policy.showing(now)
        if shown is Signal.FAULT and self._trouble is not None:
            return shown, self._trouble
        return shown, reason

    def _light(self, now: float) -> None:
        processed = self._processed
        shown, reason = self._showing(now)
        if shown is not self._shown:
            self._shown = shown
            self._log.info("%s: %s", shown, reason)
            self._notify(f"STATUS={shown}: {reason}")
        self._indicator.show(shown)
        quiet = self._settings.policy.is_quiet(datetime.datetime.now().time())
        self._indicator.tick(now, quiet)
        if processed != self._pinged and shown is not Signal.FAULT:
            self._pinged = processed
            self._notify("WATCHDOG=1")

    def _farewell(self, failure: BaseException) -> None:
        self._pipeline = None
        self._trouble = " ".join(str(failure).split()) or type(failure).__name__
        end = self._clock() + FAREWELL_S
        while (now := self._clock()) < end and not self._stop:
            self._light(now)
            time.sleep(TICK_S)

    def _notify(self, message: str) -> None:
        try:
            sd_notify(message)
        except OSError as error:
            if self._notify_works:
                self._log.warning("systemd cannot be told: %s", error)
            self._notify_works = False

    # The capture thread

    def _capture(self) -> None:
        """Feed the slot; open the source again after temporary trouble."""
        pause = BACKOFF_S[0]
        while not self._stopping.is_set():
            try:
                with self._open_source(self._settings.source.uri, self._settings.source) as source:
                    for frame in self._paced(source):
                        self._slot.put(replace(frame, time=self._clock()))
                        self._trouble, pause = None, BACKOFF_S[0]
                if not self._stopping.is_set():
                    self._slot.close()
                return
            except Temporary as error:
                self._trouble = str(error)
                self._log.warning("%s; trying again in %g s", error, pause)
            self._stopping.wait(pause)
            pause = min(2 * pause, BACKOFF_S[1])

    def _paced(self, source: FrameSource) -> Iterator[Frame]:
        """The frames of a source; those of a file when their time has come, none too early."""
        begin: float | None = None
        while not source.live and not self._ready.wait(SLOT_WAIT_S):
            if self._stopping.is_set():
                return
        while not self._stopping.is_set():
            frame = source.read()
            if frame is None:
                if source.live and not self._stopping.is_set():
                    raise CameraLostError(f"source {source.name}: the camera sends no more frames")
                return
            if not source.live:
                if begin is None:
                    begin = self._clock() - frame.time
                self._stopping.wait(max(0.0, begin + frame.time - self._clock()))
            yield frame

    # The pipeline thread

    def _process(self) -> None:
        """Take frames from the slot until it is closed."""
        try:
            self._pipeline = pipeline = self._build_pipeline(self._settings)
            self._ready.set()
            told, index = False, 0
            while not self._slot.finished:
                frame = self._slot.take(SLOT_WAIT_S)
                if frame is not None:
                    observation = pipeline.step(frame)
                    told, index = False, frame.index
                    self._processed += 1
                else:
                    now = self._clock()
                    shown, reason = self._showing(now)
                    if shown is not Signal.FAULT or told:
                        continue
                    told = True
                    observation = Observation(index, now, shown, reason)
                for sink in self._sinks:
                    sink.handle(observation, frame)
        finally:
            for sink in self._sinks:
                sink.close()


def run_kiosk(settings: Settings, *, log: logging.Logger) -> int:
    """Run the kiosk until its source ends or SIGTERM or SIGINT arrives.

    Args:
        settings: All settings.
        log: Gets a line for every change of the signal and every trouble.

    Returns:
        0, the exit code.

    Raises:
        KioskError: A permanent fault; ``exit_code`` says what to return.
    """
    kiosk = Kiosk(settings, open_indicator(settings.indicator), log)
    with _stop_signals(kiosk.stop):
        return kiosk.run()


@contextmanager
def _stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` on SIGTERM and SIGINT; afterwards signals act as before."""
    before = {n: signal.signal(n, lambda *_: stop()) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
