"""What the unit runs as root around each start of the kiosk.

    python -m edge_app.store.boot before-start       ExecStartPre=
    python -m edge_app.store.boot ready              ExecStartPost=, after READY=1

*before-start* looks at every installed model: one that is damaged, or that was never confirmed and
did not let the kiosk work in :data:`~edge_app.store.record.MAX_STARTS` starts, gives way to
the version before, with a line in the system's journal. *ready* confirms the new models with which
the kiosk still works some seconds after READY: one may crash on its third picture. The kiosk itself
cannot write the store.

Neither keeps the kiosk from starting: the unit ignores their exit codes. Without installed models
nothing but this module is imported: a start must not take a second longer for them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.errors import KioskError, ModelStoreError, ServiceSilentError
from edge_app.store.layout import SHORT, names, store_folder, unconfirmed
from edge_app.store.record import MAX_STARTS, Record

if TYPE_CHECKING:
    from edge_app.store.service import Look

log = logging.getLogger(__name__)


def before_start(store: Path) -> int:
    """Roll back what cannot be used, and count a start with what is not confirmed.

    Returns:
        0; 1 if something could not be done.
    """
    return _each(store, _before_start)


def ready(store: Path, ask: Callable[[], Look | None] | None = None) -> int:
    """Confirm the versions that the kiosk works with.

    Waits only where there is something to confirm, and no longer than the kiosk lives: systemd
    waits for this process before it turns off the lamps of a kiosk that crashed and starts it anew.

    Args:
        store: The folder of installed models.
        ask: Looks at the service; None: :func:`edge_app.store.service.look_when_calm`.

    Returns:
        0; 1 if something could not be done.
    """
    if not unconfirmed(store):
        return 0
    from edge_app.store.changes import change
    from edge_app.store.service import look_when_calm

    try:
        seen = (ask or look_when_calm)()
    except ServiceSilentError as error:
        log.error("%s; the new models are not confirmed by this start", error)
        return 1
    if seen is None or not seen.models:
        return 0

    def one(store: Path, name: str) -> None:
        def made(record: Record) -> Record | None:
            active = record.active
            if active is None or active.confirmed:
                return None
            if name not in seen.models:
                return record.excused()
            return record.confirmed() if seen.models[name] == active.version[:SHORT] else None

        change(store, name, made)

    return _each(store, one)


def _before_start(store: Path, name: str) -> None:
    from edge_app.store.changes import change
    from edge_app.store.going_back import damage, go_back, named

    record = change(store, name, lambda _record: None)  # a damaged record is moved aside
    active = record.active
    if active is None:
        return
    why = damage(store, name, active.version)
    if why is None and not active.confirmed and active.starts >= MAX_STARTS:
        why = f"the kiosk did not work in {active.starts} starts with it"

    def count(record: Record) -> Record | None:
        return record.started() if record.active == active else None

    if why is not None:
        try:
            after = go_back(store, name, active.version, why)
        except ModelStoreError:  # nothing to go back to: the kiosk is to know that, and to linger
            change(store, name, count)
            raise
        log.error("%s %s is rolled back to %s: %s", name, active.version[:SHORT], named(after), why)
    elif not active.confirmed:
        change(store, name, count)


def _each(store: Path, work: Callable[[Path, str], None]) -> int:
    failed = 0
    for name in names(store):
        try:
            work(store, name)
        except KioskError as error:
            log.error("%s", " ".join(str(error).split()))
            failed = 1
    return failed


def main(arguments: Sequence[str]) -> int:
    """Do one of the two.

    Returns:
        The exit code.
    """
    logging.basicConfig(format="mask-kiosk: %(levelname)s: %(message)s", stream=sys.stderr)
    store = store_folder()
    works = {"before-start": before_start, "ready": ready}
    if len(arguments) != 1 or arguments[0] not in works:
        sys.stderr.write(f"usage: python -m {__spec__.name} {' | '.join(works)}\n")
        return 2
    return 0 if store is None else works[arguments[0]](store)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
