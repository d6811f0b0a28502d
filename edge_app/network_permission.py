"""Whether the kiosk may use the network, asked before something times out for no visible reason.

The shipped service has no network; ``systemd/network.conf`` gives it the local one.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from edge_app.errors import SettingsError
from edge_app.programs import output_of
from edge_app.settings import Settings

NETWORK_URI = "://"
"""In a ``source.uri``: a network camera. Files and devices have none."""

REFUSED = (errno.EAFNOSUPPORT, errno.EPERM, errno.EACCES)
"""What a system answers that forbids internet sockets; systemd's filter, the first."""

ADVICE = (
    "sudo install -D -m 644 /opt/mask-kiosk/systemd/network.conf "
    "/etc/systemd/system/mask-kiosk.service.d/network.conf && sudo systemctl daemon-reload"
)

SHOW = ("show", "mask-kiosk.service", "--property=LoadState", "--property=RestrictAddressFamilies")


Runner = Callable[[], str | None]


def network_user(settings: Settings) -> str | None:
    """The first setting that needs the network, e.g. ``mqtt.host``; None if none does."""
    if settings.mqtt.host:
        return "mqtt.host"
    if settings.web.enabled:
        return "web.enabled"
    return "source.uri" if NETWORK_URI in settings.source.uri else None


def require_network(settings: Settings) -> None:
    """Make sure that settings which need the network are used where there may be one.

    Raises:
        SettingsError: One needs it, and this process may not open internet sockets.
    """
    key = network_user(settings)
    if key is None:
        return
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        raise SettingsError(
            f"{key} needs the network, which the kiosk may not use here; run: {ADVICE}"
        ) from None


def ask_systemctl() -> str | None:
    """What systemd knows of the installed service; None where there is no systemd to ask."""
    return output_of("systemctl", *SHOW)


def service_may(ask: Runner = ask_systemctl) -> bool | None:
    """Whether the installed service may open internet sockets; None where none is installed."""
    told = dict(line.split("=", 1) for line in (ask() or "").splitlines() if "=" in line)
    if told.get("LoadState") != "loaded":
        return None
    families = told.get("RestrictAddressFamilies", "")
    if not families or families.startswith("~"):  # no list, or a list of what is forbidden
        return "AF_INET" not in families.removeprefix("~").split()
    return "AF_INET" in families.split()
