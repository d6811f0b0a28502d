"""Who may see the page: the token, the cookie of a browser that showed it, and the host name."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import time
import urllib.parse
from collections.abc import Callable

from edge_app.errors import SettingsError
from edge_app.private_files import read_secret
from edge_app.settings import WebSettings
from edge_app.sinks.web.limits import ClientBuckets, Limits
from edge_app.sinks.web.messages import Request

log = logging.getLogger(__name__)

COOKIE = "mask_kiosk_session"

SESSION_S = 30 * 24 * 3600
"""How long a browser stays logged in: a phone that looks once a month need not do it again."""

MIN_TOKEN = 16
"""Characters of a token. Nobody guesses 16 random ones, at any rate."""

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

HOW_TO = "make one with: head -c 24 /dev/urandom | base64"


class Access:
    """Decides who sees the page.

    Without a token everybody who reaches the (loopback) address does. The cookie is a
    signed date of expiry, not the token: other programs on this host get it too, because
    browsers do not keep cookies of different ports apart.

    Args:
        token: What every visitor must know; None: nothing.
        host: The address that the server listens at.
        limits: How many wrong tokens an address may show.
        clock: Seconds, never going back.
        wall_clock: Seconds since 1970, for the date in the cookie.
    """

    def __init__(
        self,
        token: str | None,
        host: str,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.needs_token = token is not None
        self._token = b"" if token is None else token.encode()
        self._names = LOOPBACK_NAMES | {host.lower()} if is_loopback(host) else None
        self._wrong = ClientBuckets(limits.wrong_tokens)
        self._clock = clock
        self._wall_clock = wall_clock

    def knows_host(self, request: Request) -> bool:
        """Whether the request was meant for this server.

        A page elsewhere could let its own name point to 127.0.0.1 and so read this one in
        its visitor's browser (DNS rebinding); its requests name the wrong host.
        """
        if self._names is None:
            return True
        try:
            name = urllib.parse.urlsplit(f"//{request.host}").hostname
        except ValueError:
            return False
        return name in self._names

    def allows(self, request: Request) -> bool:
        """Whether the request shows the token (``Authorization: Bearer``) or a valid cookie."""
        if not self.needs_token:
            return True
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.is_token(given.strip(), request.client)
        return any(map(self._is_session, _cookies(request)))

    def is_token(self, given: str, client: str) -> bool:
        """Whether this is the token; wrong ones are counted against the client."""
        if self.locked_out(client) > 0:
            return False
        # Digests have one length, so that the time of the comparison tells nothing at all.
        if hmac.compare_digest(_digest(given.encode("utf-8", "replace")), _digest(self._token)):
            return True
        self._wrong.take(client, self._clock())
        if self.locked_out(client) > 0:
            log.warning("status page: too many wrong tokens from %s", client)
        return False

    def locked_out(self, client: str) -> float:
        """Seconds until the client may show a token again; 0: it may now."""
        return self._wrong.wait(client, self._clock())

    def session(self) -> str:
        """The ``Set-Cookie`` value for a browser that showed the token."""
        expiry = str(int(self._wall_clock()) + SESSION_S)
        return _cookie(f"{expiry}.{self._signature(expiry)}", SESSION_S)

    def no_session(self) -> str:
        """The ``Set-Cookie`` value that logs a browser out."""
        return _cookie("", 0)

    def _is_session(self, value: str) -> bool:
        expiry, _, signature = value.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(expiry).encode()):
            return False
        return self._wall_clock() < int(expiry)

    def _signature(self, expiry: str) -> str:
        return hmac.new(self._token, f"session {expiry}".encode(), hashlib.sha256).hexdigest()


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach the address; a name but localhost: no."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(settings: WebSettings) -> str | None:
    """The token that the settings ask for.

    Raises:
        SettingsError: The address needs a token and there is none, or its file is open to
            others, missing, or holds a token that is too short.
    """
    if not settings.token_file:
        if is_loopback(settings.host):
            return None
        raise SettingsError(
            f"web.host = {settings.host}: other machines reach this address, so "
            f"web.token_file must name a file with a token; {HOW_TO}"
        )
    token = read_secret(settings.token_file, "web.token_file")
    if len(token) < MIN_TOKEN:
        raise SettingsError(
            f"web.token_file = {settings.token_file}: the token has {len(token)} characters, "
            f"it needs at least {MIN_TOKEN}; {HOW_TO}"
        )
    return token


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _cookie(value: str, seconds: int) -> str:
    return f"{COOKIE}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict"


def _cookies(request: Request) -> list[str]:
    """The values of our cookie that the request carries."""
    parts = ";".join(request.headers.get_all("Cookie", [])).split(";")
    pairs = (part.strip().partition("=") for part in parts)
    return [value for name, _, value in pairs if name == COOKIE]
