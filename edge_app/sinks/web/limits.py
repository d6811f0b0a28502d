"""How much visitors may ask for: so little that the pipeline never notices them.

The page is a guest on the machine that judges faces. Every request costs the pipeline some
time, because Python runs one thread at a time; so the number of requests per second is small,
and what is too much is turned away before any work is done for it. ``tests/bench/web.py``
measures what these limits leave of the pipeline's speed.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

CLIENTS = 256
"""Addresses that are remembered at most; the one not heard of for longest is forgotten."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second in the long run, and ``burst`` of them at once."""

    per_second: float
    burst: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server bears.

    Attributes:
        accepts: Connections that are looked at. Beyond it they wait in the system's queue,
            at no cost to this program.
        requests: Requests that are answered, of all clients together.
        requests_per_client: The same for one address. An open page asks three times a second.
        wrong_tokens: Wrong tokens that one address may show; more are refused unread.
        connections: Open at the same time; the one open longest makes room for a new one.
        queue: Connections that the system keeps waiting.
        read_s: Seconds for a whole request to arrive, however many pieces it comes in.
        write_s: Seconds for a client to take the whole answer.
        linger_s: Seconds that a client turned away gets to read why.
    """

    accepts: Rate = Rate(40, 40)
    requests: Rate = Rate(25, 40)
    requests_per_client: Rate = Rate(15, 30)
    wrong_tokens: Rate = Rate(0.2, 5)
    connections: int = 32
    queue: int = 64
    read_s: float = 5.0
    write_s: float = 10.0
    linger_s: float = 1.0


class Bucket:
    """Tokens that come back with time (a token bucket).

    Args:
        rate: How fast they come back, and how many there are at most.
        now: Seconds on a clock that never goes back; also below.
    """

    __slots__ = ("_left", "_rate", "_time")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._left = rate.burst
        self._time = now

    def take(self, now: float) -> bool:
        """Take a token; False when there is none."""
        if self.wait(now) > 0:
            return False
        self._left -= 1
        return True

    def wait(self, now: float) -> float:
        """Seconds until there is a token; 0 when there is one now."""
        self._left = min(self._rate.burst, self._left + (now - self._time) * self._rate.per_second)
        self._time = now
        return max(0.0, (1 - self._left) / self._rate.per_second)


class ClientBuckets:
    """A bucket for each client's address."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, client: str, now: float) -> bool:
        """Take one of a client's tokens; False when there is none."""
        return self._bucket(client, now).take(now)

    def wait(self, client: str, now: float) -> float:
        """Seconds until a client has a token."""
        return self._bucket(client, now).wait(now)

    def _bucket(self, client: str, now: float) -> Bucket:
        bucket = self._buckets.get(client)
        if bucket is None:
            bucket = self._buckets[client] = Bucket(self._rate, now)
            if len(self._buckets) > CLIENTS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(client)
        return bucket
