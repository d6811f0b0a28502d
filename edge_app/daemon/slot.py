"""The slot between camera and pipeline: it holds the newest frame only."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from edge_app.domain import Frame


@dataclass(frozen=True, slots=True)
class Shot:
    """A frame as it came from a source.

    Attributes:
        frame: With the time of its arrival.
        is_live: It comes from a camera.
        blind: Why nobody could be seen in it, if so.
    """

    frame: Frame
    is_live: bool = False
    blind: str | None = None


class LatestShot:
    """A slot between two threads that holds the newest shot only."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shot: Shot | None = None
        self._closed = False
        self._dropped = 0

    def put(self, shot: Shot) -> None:
        """Leave a shot; one that nobody took is dropped."""
        with self._changed:
            self._dropped += self._shot is not None
            self._shot = shot
            self._changed.notify()

    def take(self, timeout: float) -> Shot | None:
        """The newest shot not yet taken; None if there is none within ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._shot is not None or self._closed, timeout)
            shot, self._shot = self._shot, None
            return shot

    def close(self) -> None:
        """No more shots will come; the last one may still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    @property
    def closed(self) -> bool:
        """Whether no more shots will come."""
        with self._changed:
            return self._closed

    @property
    def finished(self) -> bool:
        """Whether the slot is closed and empty."""
        with self._changed:
            return self._closed and self._shot is None

    @property
    def dropped(self) -> int:
        """How many shots a newer one replaced before anybody took them."""
        with self._changed:
            return self._dropped
