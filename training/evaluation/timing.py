"""Times several models against each other: paired, interleaved, one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

WARM_UP_ROUNDS = 10
"""Rounds before the clock counts: caches, lazy allocation, the processor's clock."""

Work = Callable[[], object]


def interleaved(
    rounds: Sequence[Mapping[str, Work]],
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time each piece of work once per round, in an order drawn anew for every round.

    Whatever slows the machine for a while then slows all models alike, and a ratio taken
    within a round stays true.

    Args:
        rounds: For every round the work by name; all rounds hold the same names.
        seed: Seed of the orders.
        clock: Seconds, monotonic.

    Returns:
        Milliseconds by name, one per round.
    """
    generator = np.random.default_rng(seed)
    names = list(rounds[0])
    for work in rounds[:WARM_UP_ROUNDS]:
        for name in names:
            work[name]()
    times: dict[str, list[float]] = {name: [] for name in names}
    for work in rounds:
        for i in generator.permutation(len(names)):
            began = clock()
            work[names[i]]()
            times[names[i]].append((clock() - began) * 1000)
    return times


def summary(times: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Median and 95th percentile in milliseconds by name."""
    return {
        name: {"median_ms": statistics.median(ms), "p95_ms": float(np.quantile(ms, 0.95))}
        for name, ms in times.items()
    }


def ratio(times: Mapping[str, Sequence[float]], ours: str, theirs: str) -> dict[str, float]:
    """Our time as a share of theirs: median and middle half of the rounds' own ratios."""
    shares = np.array(times[ours]) / np.array(times[theirs])
    low, median, high = np.quantile(shares, [0.25, 0.5, 0.75])
    return {"median": float(median), "quartile_low": float(low), "quartile_high": float(high)}
