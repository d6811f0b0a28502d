"""From the command line to a running kiosk: signals, reloading, one instance only."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from edge_app.daemon.kiosk import Kiosk
from edge_app.errors import (
    AlreadyRunningError,
    BundleError,
    BundleNotFoundError,
    KioskError,
    Permanent,
    UnconfirmedModelError,
)
from edge_app.settings import Settings
from edge_app.sinks.indicator import open_indicator
from edge_app.sinks.journal import journal_path
from edge_app.sinks.opening import open_sinks
from edge_app.store.layout import is_on_trial, store_folder
from edge_app.systemd import Notifier, is_service
from edge_app.trial import build_tried_pipeline

LOCK = "\0mask-kiosk/"
"""Beginning of an address in Linux's abstract namespace: it needs no file, every user sees
it, and it is free again however its owner ended."""

MODEL_FAULTS = (BundleError, BundleNotFoundError)
"""What a model that cannot be used leads to."""


def run_kiosk(
    settings: Settings,
    *,
    log: logging.Logger,
    reload: Callable[[], Settings] | None = None,
) -> int:
    """Run the kiosk until its source ends or SIGTERM or SIGINT arrives.

    SIGHUP reads the settings anew. A file with a mistake changes nothing; settings that are
    well-formed but cannot be used (a missing model, say) give way to those before.

    As a service of systemd's, a permanent fault keeps the fault light on until somebody
    stops or reloads the service; otherwise it ends the run. So does one of a newly installed model
    that was never confirmed: systemd starts the kiosk again, until the store rolls back.

    Args:
        settings: All settings.
        log: Gets a line for every change of the signal and every trouble.
        reload: Reads the settings anew; None: SIGHUP is left alone.

    Returns:
        0, the exit code.

    Raises:
        AlreadyRunningError: Another kiosk holds the pins or writes the same journal.
        KioskError: A permanent fault; ``exit_code`` says what to return.
    """
    service = _Service(settings, log, reload)
    with service.signals():
        try:
            return service.run()
        finally:
            # Not for a reload: systemd would wait for the end, and kill what goes on.
            Notifier(log).tell("STOPPING=1")


class _Service:
    """One kiosk after the other, each with the settings of its time."""

    def __init__(
        self, settings: Settings, log: logging.Logger, reload: Callable[[], Settings] | None
    ) -> None:
        self._settings = settings
        self._log = log
        self._reload = reload
        self._next: Settings | None = None
        self._stopped = False
        self._kiosk: Kiosk | None = None

    def run(self) -> int:
        settings, before, is_first = self._settings, None, True
        while True:
            try:
                code = self._run_once(settings, is_first, may_linger=before is None)
            except Permanent as error:
                has_worked = self._kiosk is not None and self._kiosk.has_seen
                if self._next is None and before is None and _is_of_unconfirmed(error):
                    # Not lingering, and with an exit code after which systemd starts again: the
                    # store counts those starts, and rolls back.
                    raise UnconfirmedModelError(
                        f"{error}; starting again, a newly installed model is rolled back soon"
                    ) from None
                if self._next is None and (before is None or has_worked):
                    raise
                if self._next is None:
                    self._log.error("%s; going back to the settings before", error)
                    self._next, before = before, None
                code = error.exit_code
            else:
                before = settings
            if self._next is None or self._stopped:
                return code
            settings, self._next, is_first = self._next, None, False

    def _run_once(self, settings: Settings, is_first: bool, may_linger: bool) -> int:
        self._kiosk = None
        with _claimed(settings):
            indicator = open_indicator(settings.indicator)
            try:
                sinks = open_sinks(settings)
            except KioskError:
                indicator.close()
                raise
            self._kiosk = kiosk = Kiosk(
                settings,
                indicator,
                self._log,
                sinks,
                self_test=is_first and settings.indicator.self_test,
                lingers=lambda error: may_linger and is_service() and not _is_of_unconfirmed(error),
                build_pipeline=build_tried_pipeline,
            )
            if self._stopped or self._next is not None:  # a signal came before there was one
                kiosk.stop()
            return kiosk.run()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Act on signals; afterwards they act as before."""
        handlers: dict[int, Callable[[], None]] = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
        }
        if self._reload is not None:
            handlers[signal.SIGHUP] = self._read_anew
        before = {
            number: signal.signal(number, lambda _number, _frame, act=act: act())  # type: ignore[misc]
            for number, act in handlers.items()
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self) -> None:
        self._stopped = True
        if self._kiosk is not None:
            self._kiosk.stop()

    def _read_anew(self) -> None:
        assert self._reload is not None  # noqa: S101 - handled only then # nosec B101
        try:
            self._next = self._reload()
        except KioskError as error:
            self._log.error("%s; the settings stay as they were", error)
            return
        self._log.info("the settings were read anew")
        if self._kiosk is not None:
            self._kiosk.stop()


def _is_of_unconfirmed(error: KioskError) -> bool:
    """Whether a fault may be that of a new model, which a few more starts will roll back."""
    store = store_folder()
    if store is None or not is_service() or not isinstance(error, MODEL_FAULTS):
        return False
    return is_on_trial(store)


@contextmanager
def _claimed(settings: Settings) -> Iterator[None]:
    """Hold what two kiosks must not share.

    Raises:
        AlreadyRunningError: Another one holds it.
    """
    wanted = {}
    if settings.indicator.pins == "gpio":
        wanted["gpio"] = "drives the lamps"
    if (journal := journal_path(settings.journal)) is not None:
        digest = hashlib.sha256(os.fsencode(journal.resolve())).hexdigest()
        wanted[f"journal/{digest[:32]}"] = f"writes {journal}"
    with ExitStack() as held:
        for name, what in wanted.items():
            sock = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            try:
                sock.bind(LOCK + name)
            except OSError:
                raise AlreadyRunningError(
                    f"another mask-kiosk {what} already; "
                    "stop it first: sudo systemctl stop mask-kiosk"
                ) from None
        yield
