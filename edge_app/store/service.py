"""The kiosk's service, seen from outside: is it healthy, and with which models?

What the kiosk tells systemd (``STATUS=``) ends with the models in use; this module writes that
part and reads it, so that both agree.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_app.domain import ModelVersion, Signal
from edge_app.errors import ServiceSilentError
from edge_app.policy import STALE
from edge_app.programs import output_of
from edge_app.store.layout import SHORT

UNIT = "mask-kiosk.service"

HEALTHY_S = 60.0
"""How long a kiosk may take to work with another model."""

CALM_S = 10.0
"""How long it must go on working, in one process: a model may crash on its third picture."""

LOOK_S = 1.0
"""Seconds between two looks."""

WATCH_S = 0.5
"""The same for the unit's own command, which keeps a kiosk that crashed from being started anew."""

ANSWER_S = 30.0
"""A small processor with a full memory may let even systemctl wait."""

RUNS = Path("/run/systemd/system")
"""Is there where systemd runs the machine."""

TOLD = re.compile(r"; (?P<rate>\d+\.\d) frames per second; models (?P<models>.+)$")

PROPERTIES = ("LoadState", "ActiveState", "SubState", "MainPID", "StatusText")

Ask = Callable[..., str | None]

ask_systemd: Ask = partial(output_of, timeout_s=ANSWER_S)


def models_told(models: Iterable[ModelVersion]) -> str:
    """The models in use, as the end of the line of status."""
    told = [f"{re.sub('[^A-Za-z0-9_.-]', '_', m.name)} {m.sha256[:SHORT]}" for m in models]
    return f"; models {', '.join(told)}" if told else ""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the service.

    Attributes:
        state: systemd's ``ActiveState``.
        is_up: Whether the kiosk has said READY and runs, also while the unit's ExecStartPost does
            (which goes on when the kiosk has crashed: then there is no process).
        process: Of the kiosk; 0 when there is none.
        status: What the kiosk told last.
        rate: Frames per second, by that line.
        models: Name -> version (its first digits), by that line.
    """

    state: str
    is_up: bool
    process: int
    status: str
    rate: float
    models: Mapping[str, str]

    @property
    def is_wanted(self) -> bool:
        """Whether systemd is to keep it running."""
        return self.state != "inactive"

    @property
    def hangs(self) -> bool:
        """Whether the light shows a fault for want of a judged picture.

        Its rate is of the last seconds, and would still be above zero for some.
        """
        return self.status.startswith(f"{Signal.FAULT}: {STALE}")

    def trouble(self, name: str, version: str) -> str | None:
        """Why the kiosk does not work with this version of a model; None if it does.

        A kiosk whose settings name other models cannot show whether it works with this one.
        """
        if not self.is_up:
            return f"the service is {self.state}{f' ({self.status})' if self.status else ''}"
        if not self.models:
            return f"the kiosk does not say which models it uses ({self.status or 'no status'})"
        if self.rate <= 0:
            return f"no frames are processed ({self.status})"
        if self.hangs:
            return f"the model hangs or is too slow ({self.status})"
        used = self.models.get(name)
        if used is not None and used != version[:SHORT]:
            return f"the kiosk uses {name} {used}, not {version[:SHORT]}"
        return None


def look(ask: Ask = ask_systemd) -> Look | None:
    """Look at the service; None where systemd does not run or has no such unit.

    Raises:
        ServiceSilentError: systemd runs, but does not answer.
    """
    if shutil.which("systemctl") is None or not RUNS.is_dir():
        return None
    shown = ask("systemctl", "show", UNIT, *(f"--property={name}" for name in PROPERTIES))
    told = dict(line.split("=", 1) for line in (shown or "").splitlines() if "=" in line)
    if "LoadState" not in told:
        raise ServiceSilentError(f"systemctl show {UNIT}: fails, or takes more than {ANSWER_S:g} s")
    if told["LoadState"] == "not-found":
        return None
    status = told.get("StatusText", "")
    found = TOLD.search(status)
    models = {}
    if found is not None:
        models = dict(
            part.split(" ", 1) for part in found["models"].split(", ") if part.count(" ") == 1
        )
    process = int(told.get("MainPID", "0"))
    state = told.get("ActiveState", "")
    is_ready = state == "active" or (state, told.get("SubState")) == ("activating", "start-post")
    return Look(
        state,
        is_ready and process != 0,
        process,
        status,
        float(found["rate"]) if found is not None else 0.0,
        models,
    )


def restart(ask: Ask = ask_systemd) -> bool:
    """Start the service anew, the way a boot does; whether systemd took the order."""
    # A unit that gave up (wrong settings) takes no order to start before this.
    ask("systemctl", "reset-failed", UNIT)
    return ask("systemctl", "restart", "--no-block", UNIT) is not None


def wait_until_healthy(
    name: str,
    version: str,
    ask: Ask = ask_systemd,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Look | str:
    """Wait until the kiosk has worked with a model for :data:`CALM_S` in one process.

    Returns:
        The last look at a kiosk that works; or, after :data:`HEALTHY_S`, what was wrong at the end.
    """
    end, process, since = clock() + HEALTHY_S, 0, 0.0
    trouble: str | None = "nothing was heard of the service"
    while clock() < end:
        try:
            seen = look(ask)
        except ServiceSilentError as error:  # says nothing about the kiosk, good or bad
            trouble = str(error)
        else:
            trouble = "systemd does not know it" if seen is None else seen.trouble(name, version)
            if seen is None or trouble is not None:
                process = 0
            elif seen.process != process:
                process, since = seen.process, clock()
            elif clock() - since >= CALM_S:
                return seen
        sleep(LOOK_S)
    return trouble or f"it did not go on working for {CALM_S:g} s in one process"


def look_when_calm(
    ask: Ask = ask_systemd,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Look | None:
    """Look at a kiosk that is up until it has worked for :data:`CALM_S`.

    Returns:
        The last look; None as soon as it does not work, or not in the same process.
    """
    first, end = look(ask), clock() + CALM_S
    seen = first
    while seen is not None and first is not None and seen.process == first.process:
        if not seen.is_up or seen.hangs:
            return None
        if clock() >= end:
            return seen if seen.rate > 0 else None
        sleep(WATCH_S)
        seen = look(ask)
    return None
