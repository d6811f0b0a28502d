"""One run of the kiosk: the main thread with the light, and the pipeline thread.

Every frame gets the time of its arrival on the daemon's own clock, so that its age is
known whatever clock the source uses.
"""

from __future__ import annotations

import datetime
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from edge_app.backoff import Backoff
from edge_app.daemon.capture import Capture, OpenSource
from edge_app.daemon.delivery import Delivery, Outbox
from edge_app.daemon.meter import CAMERA, Health, Meter, read_health
from edge_app.daemon.slot import LatestShot, Shot
from edge_app.domain import MaskState, Observation, Signal
from edge_app.errors import Permanent, Temporary
from edge_app.pipeline import Pipeline, build_pipeline
from edge_app.rhythm import SELF_TEST, TICK_S
from edge_app.settings import Settings
from edge_app.sinks import Server, Sink
from edge_app.sinks.indicator import Indicator
from edge_app.sources import open_source
from edge_app.store.service import models_told
from edge_app.systemd import Notifier

FAREWELL_S = 1.0
"""How long the light shows FAULT before a run ends with an error: one red, one amber."""

JOIN_S = 0.4
"""Patience with each thread at the end. Lamps are off by then; a thread that hangs in a
driver is left behind, it ends with the process."""

SLOT_WAIT_S = 0.1
"""How often the pipeline thread looks up from waiting for a frame."""

STATUS_S = 5.0
"""Seconds between two lines of status for systemd while the signal stays the same."""

START_S = 60.0
"""More time to start in that systemd is asked for whenever the camera could not be opened:
one that is not there yet is no reason to kill the kiosk, one that hangs in its driver is."""


class Kiosk:
    """One run, from the first frame to the last.

    Args:
        settings: All settings.
        indicator: Lamps and buzzer; used and closed by the thread that calls :meth:`run`.
        log: Gets a line for every change of the signal and every trouble.
        sinks: Get every observation, and one with ``FAULT`` when no fresh frames come;
            used and closed by the delivery thread.
        self_test: Let every lamp light once at the start.
        lingers: Whether to show a permanent fault until :meth:`stop`, instead of ending.
        open_source: Opens ``source.uri``.
        build_pipeline: Loads the models.
        read_health: Reads temperature and throttling.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        settings: Settings,
        indicator: Indicator,
        log: logging.Logger,
        sinks: Sequence[Sink] = (),
        *,
        self_test: bool = False,
        lingers: Callable[[Permanent], bool] = lambda _error: False,
        open_source: OpenSource = open_source,
        build_pipeline: Callable[[Settings], Pipeline] = build_pipeline,
        read_health: Callable[[], Health] = read_health,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._indicator = indicator
        self._log = log
        self._sinks = sinks
        self._self_test = self_test
        self._lingers = lingers
        self._build_pipeline = build_pipeline
        self._clock = clock
        self._meter = Meter(log, read_health)
        self._slot = LatestShot()
        self._outbox = Outbox()
        self._capture = Capture(settings.source, self._slot, self._meter, log, open_source, clock)
        self._delivery = Delivery(
            sinks, self._outbox, self._meter, lambda: self._slot.dropped, log, clock
        )
        self._systemd = Notifier(log)
        self._news = threading.Event()
        self._ending = threading.Event()
        self._stop = False
        self._failure: BaseException | None = None
        self._pipeline: Pipeline | None = None
        self._newest: tuple[int, float] = (0, 0.0)
        self._blind: str | None = None
        self._violators: frozenset[int] = frozenset()
        self._violations = 0
        # What the main thread has done so far.
        self._began = 0.0
        self._lit = 0
        self._attempts = 0
        self._shown: tuple[Signal, str | None] | None = None
        self._status_at = 0.0

    @property
    def has_seen(self) -> bool:
        """Whether a frame has gone through the pipeline."""
        return self._newest[0] > 0

    def stop(self) -> None:
        """End the run soon; safe in a signal handler (it takes no lock)."""
        self._stop = True

    def run(self) -> int:
        """Run until the source ends, :meth:`stop` is called or something permanent fails.

        Returns:
            0, the exit code.

        Raises:
            KioskError: A permanent fault of the source, the models, the pins or a sink; the
                light has shown ``FAULT`` for :data:`FAREWELL_S`, or until :meth:`stop`.
        """
        capture = self._thread(self._capture.run, "capture")
        pipeline = self._thread(self._process, "pipeline")
        delivery = self._thread(self._delivery.run, "delivery")
        servers = [
            self._thread(partial(self._serve, sink), sink.name)
            for sink in self._sinks
            if isinstance(sink, Server)
        ]
        try:
            self._began = self._clock()
            for thread in (delivery, capture, pipeline, *servers):
                thread.start()
            while not self._stop and self._failure is None and pipeline.is_alive():
                self._light(self._clock())
                self._news.wait(TICK_S)
                self._news.clear()
            if self._failure is not None:
                self._farewell(self._failure)
                raise self._failure
            return 0
        finally:
            self._ending.set()
            self._capture.stop()
            self._indicator.close()
            self._slot.close()
            for thread in (capture, pipeline):
                self._leave(thread)
            self._outbox.close()
            for thread in (delivery, *servers):
                self._leave(thread)

    def _thread(self, work: Callable[[], None], name: str) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # run() raises it in the main thread
                if self._failure is None:
                    self._failure = error

        return threading.Thread(target=guarded, name=name, daemon=True)

    def _serve(self, server: Server) -> None:
        backoff = Backoff()
        while not self._ending.is_set():
            try:
                server.serve()
                return
            except Temporary:  # the sink reports it
                self._ending.wait(backoff.failed())

    def _leave(self, thread: threading.Thread) -> None:
        if thread.is_alive():
            thread.join(JOIN_S)
        if thread.is_alive():
            self._log.warning("the %s thread hangs and is left behind", thread.name)

    # The main thread

    def _showing(self, now: float) -> tuple[Signal, str]:
        """What the light must show now, and why."""
        if self._pipeline is None or self._failure is not None:
            return Signal.FAULT, self._cause() or "starting"
        shown, reason = self._pipeline.policy.showing(now)
        if shown is Signal.FAULT or self._blind is not None:
            return Signal.FAULT, self._cause() or reason
        return shown, reason

    def _cause(self) -> str | None:
        """Why nothing can be seen, as far as that is known."""
        if self._failure is not None:
            return one_line(self._failure)
        return self._meter.trouble_of(CAMERA) or self._blind

    def _light(self, now: float) -> None:
        processed, taken_at = self._newest
        shown, reason = self._showing(now)
        self._say(shown, reason, now)
        self._indicator.show(shown)
        quiet = self._settings.policy.is_quiet(datetime.datetime.now().time())
        if self._self_test and now - self._began < SELF_TEST.period:
            lamps = SELF_TEST.at(now - self._began)
            self._indicator.set(replace(lamps, buzzer=lamps.buzzer and not quiet))
        else:
            self._indicator.tick(now, quiet, self._violations)
        if processed != self._lit:
            if self._lit == 0:
                self._tell_status(shown, reason, now)  # what is ready, for who acts on it
                self._systemd.tell("READY=1")
            self._lit = processed
            self._meter.lit(self._clock() - taken_at)
            self._systemd.tell("WATCHDOG=1")
        elif self._lit == 0 and self._capture.failures != self._attempts:
            self._attempts = self._capture.failures
            self._systemd.more_time(START_S)

    def _say(self, shown: Signal, reason: str, now: float) -> None:
        """Log what is new, and tell systemd and, where the pipeline does not, the sinks."""
        cause = self._cause() if shown is Signal.FAULT else None
        is_new = (shown, cause) != self._shown
        if is_new:
            self._log.info("%s: %s", shown, reason)
        if is_new and shown is Signal.FAULT and (cause is None or cause != self._blind):
            self._outbox.put(Observation(self._newest[0], now, shown, reason), None)
        self._shown = (shown, cause)
        if is_new or now - self._status_at >= STATUS_S:
            self._tell_status(shown, reason, now)

    def _tell_status(self, shown: Signal, reason: str, now: float) -> None:
        self._status_at = now
        told = f"{shown}: {reason}; {self._meter.rate(now):.1f} frames per second"
        self._systemd.tell(f"STATUS={told}{models_told(self._meter.models)}")

    def _farewell(self, failure: BaseException) -> None:
        lingers = isinstance(failure, Permanent) and self._lingers(failure)
        if lingers:
            self._log.error("%s; the light shows a fault until this is mended", one_line(failure))
        end = self._clock() + FAREWELL_S
        asked_at = -START_S
        while not self._stop and ((now := self._clock()) < end or lingers):
            self._light(now)
            if lingers and now - asked_at >= START_S / 2:
                asked_at = now
                self._systemd.more_time(START_S)
            time.sleep(TICK_S)

    # The pipeline thread

    def _process(self) -> None:
        """Take shots from the slot until it is closed."""
        self._pipeline = pipeline = self._build_pipeline(self._settings)
        for model in pipeline.models:
            self._log.info("%s: %s, version %s", model.role, model.name, model.sha256)
        self._meter.models = pipeline.models
        self._capture.begin()
        while not self._slot.finished:
            shot = self._slot.take(SLOT_WAIT_S)
            if shot is not None:
                self._step(pipeline, shot)

    def _step(self, pipeline: Pipeline, shot: Shot) -> None:
        observation = pipeline.step(shot.frame)
        if shot.blind is not None:
            observation = replace(observation, signal=Signal.FAULT, reason=shot.blind)
        bare = {t.id for t in observation.tracks if t.state is MaskState.WITHOUT_MASK}
        self._violations += len(bare - self._violators)
        self._violators = frozenset(bare)
        self._blind = shot.blind
        now = self._clock()
        self._meter.processed(now)
        self._newest = (self._newest[0] + 1, shot.frame.time)
        self._news.set()
        self._outbox.put(observation, shot.frame)
        if shot.is_live and not observation.tracks:
            self._rest(shot.frame.time)

    def _rest(self, begun: float) -> None:
        """With nobody in view, leave the processor alone until the next frame is due."""
        pause = min(1 / self._settings.source.idle_fps, self._settings.policy.stale_s / 2)
        due = begun + pause
        while (left := due - self._clock()) > 0 and not self._slot.closed:
            time.sleep(min(left, SLOT_WAIT_S))


def one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
