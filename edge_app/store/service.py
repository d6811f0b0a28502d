"""The kiosk's service, seen from outside: is it healthy, and with which models?

What the kiosk tells systemd (``STATUS=``) ends with the models in use; this module writes that
part and reads it, so that both agree.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from edge_app.domain import ModelVersion
from edge_app.programs import output_of
from edge_app.store.layout import SHORT

UNIT = "mask-kiosk.service"

HEALTHY_S = 60.0
"""How long a kiosk may take to work with another model."""

CALM_S = 10.0
"""How long it must go on working, in one process: a model may crash on its third picture."""

LOOK_S = 1.0
"""Seconds between two looks."""

TOLD = re.compile(r"; (?P<rate>\d+\.\d) frames per second; models (?P<models>.+)$")

PROPERTIES = ("LoadState", "ActiveState", "SubState", "MainPID", "StatusText")

Ask = Callable[..., str | None]


def models_told(models: Iterable[ModelVersion]) -> str:
    """The models in use, as the end of the line of status."""
    told = [f"{re.sub('[^A-Za-z0-9_.-]', '_', m.name)} {m.sha256[:SHORT]}" for m in models]
    return f"; models {', '.join(told)}" if told else ""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the service.

    Attributes:
        state: systemd's ``ActiveState``.
        is_up: Whether the kiosk has said READY and runs, also while the unit's ExecStartPost does.
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
        used = self.models.get(name)
        if used is not None and used != version[:SHORT]:
            return f"the kiosk uses {name} {used}, not {version[:SHORT]}"
        return None


def look(ask: Ask = output_of) -> Look | None:
    """Look at the service; None where systemd does not run or has no such unit."""
    shown = ask("systemctl", "show", UNIT, *(f"--property={name}" for name in PROPERTIES))
    told = dict(line.split("=", 1) for line in (shown or "").splitlines() if "=" in line)
    if told.get("LoadState") != "loaded":
        return None
    status = told.get("StatusText", "")
    found = TOLD.search(status)
    models = {}
    if found is not None:
        models = dict(
            part.split(" ", 1) for part in found["models"].split(", ") if part.count(" ") == 1
        )
    process = told.get("MainPID", "0")
    state = told.get("ActiveState", "")
    return Look(
        state,
        state == "active" or (state, told.get("SubState")) == ("activating", "start-post"),
        int(process) if process.isdigit() else 0,
        status,
        float(found["rate"]) if found is not None else 0.0,
        models,
    )


def restart(ask: Ask = output_of) -> bool:
    """Start the service anew, the way a boot does; whether systemd took the order."""
    # A unit that gave up (wrong settings) takes no order to start before this.
    ask("systemctl", "reset-failed", UNIT)
    return ask("systemctl", "restart", "--no-block", UNIT) is not None


def wait_until_healthy(
    name: str,
    version: str,
    ask: Ask = output_of,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str | None:
    """Wait until the kiosk has worked with a model for :data:`CALM_S` in one process.

    Returns:
        None; or, after :data:`HEALTHY_S`, what was wrong at the end.
    """
    end, process, since = clock() + HEALTHY_S, 0, 0.0
    trouble: str | None = "nothing was heard of the service"
    while clock() < end:
        seen = look(ask)
        trouble = "systemd does not answer" if seen is None else seen.trouble(name, version)
        if seen is None or trouble is not None:
            process = 0
        elif seen.process != process:
            process, since = seen.process, clock()
        elif clock() - since >= CALM_S:
            return None
        sleep(LOOK_S)
    return trouble or f"it did not go on working for {CALM_S:g} s in one process"


def look_when_calm(
    ask: Ask = output_of, sleep: Callable[[float], None] = time.sleep
) -> Look | None:
    """Look at a kiosk that is up, and again after :data:`CALM_S`.

    Returns:
        The second look; None if it is not the same process, which still works.
    """
    first = look(ask)
    if first is None or not first.is_up:
        return None
    sleep(CALM_S)
    second = look(ask)
    works = second is not None and second.is_up and second.process == first.process
    return second if works and second is not None and second.rate > 0 else None
