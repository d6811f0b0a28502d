"""Fifty simulated kiosks for a minute: what watching them takes, and a picture of what is seen.

    python -m tests.fleet.show --out build/fleet        or: make bench-fleet

Writes ``fleet.png``, drawn from what the real Prometheus has collected, and prints what fires and
what it costs. Best on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from tests.fleet.watching import GONE, KIOSKS, Prometheus, until_alerts, watched_fleet

WINDOW_S = 60
"""So long it runs, and so much is drawn."""

COSTS = {
    "targets": ("count(up{job='mask-kiosk'})", "{:.0f}"),
    "samples of a kiosk, a scrape": ("avg(scrape_samples_scraped{job='mask-kiosk'} > 0)", "{:.0f}"),
    "scrape of a kiosk, mean": (
        "avg(avg_over_time(scrape_duration_seconds{job='mask-kiosk'}[30s]))*1000",
        "{:.1f} ms",
    ),
    "scrape of a kiosk, longest": (
        "max(max_over_time(scrape_duration_seconds{job='mask-kiosk'}[30s]))*1000",
        "{:.0f} ms",
    ),
    "Prometheus: series": ("prometheus_tsdb_head_series", "{:.0f}"),
    "Prometheus: memory": (
        "process_resident_memory_bytes{job='prometheus'}/1024/1024",
        "{:.0f} MiB",
    ),
    "Prometheus: processor, a scrape every two seconds": (
        "rate(process_cpu_seconds_total{job='prometheus'}[30s])*100",
        "{:.0f} % of a core",
    ),
    "a simulated kiosk: memory": (
        "avg(process_resident_memory_bytes{job='mask-kiosk'})/1024/1024",
        "{:.0f} MiB",
    ),
}

DRAWN: dict[str, tuple[str, str, float]] = {
    "Pictures a second": ("mask_kiosk_frames_per_second", "1/s", 1),
    "Picture to light, p99": ("mask_kiosk_capture_to_light_seconds{statistic='p99'}", "ms", 1000),
    "Temperature": ("mask_kiosk_temperature_celsius", "°C", 1),
}
COLOURS = {
    "kiosk-02": "tab:orange",
    "kiosk-03": "tab:purple",
    GONE: "black",
    "kiosk-05": "tab:red",
}
WHY = {"kiosk-02": "slow", "kiosk-03": "no camera", GONE: "no power", "kiosk-05": "hot"}


def draw(axes: Axes, prometheus: Prometheus, end: float, what: str) -> None:
    """A line for each kiosk; those with a trouble in colour."""
    expression, unit, factor = DRAWN[what]
    series = series_of(prometheus, expression, end)
    for one in sorted(series, key=lambda one: one["metric"]["kiosk"] in COLOURS):
        kiosk = one["metric"]["kiosk"]
        points = [(float(t) - end, float(v) * factor) for t, v in one["values"]]
        axes.plot(
            *zip(*points, strict=True),
            color=COLOURS.get(kiosk, "0.8"),
            linewidth=1.6 if kiosk in COLOURS else 0.6,
            label=f"{kiosk}: {WHY[kiosk]}" if kiosk in WHY else None,
        )
    axes.set_title(what, fontsize=10)
    axes.set_ylabel(unit)
    axes.set_xlim(-WINDOW_S, 0)


def series_of(prometheus: Prometheus, expression: str, end: float) -> list[dict[str, Any]]:
    """Values of the last minute."""
    told = prometheus.ask("query_range", query=expression, start=end - WINDOW_S, end=end, step="1s")
    return list(told["result"])


def picture(prometheus: Prometheus, out: Path) -> None:
    """Draw what Prometheus has."""
    end = time.time()
    figure, grid = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    for axes, what in zip(grid.flat, DRAWN, strict=False):
        draw(axes, prometheus, end, what)
    signals = series_of(prometheus, "sum by (mask_kiosk_signal) (mask_kiosk_signal)", end)
    axes = grid[1][1]
    order = {"IDLE": "0.7", "COMPLIANT": "tab:green", "INCORRECT": "tab:orange"}
    order |= {"NO_MASK": "tab:red", "FAULT": "tab:purple"}
    found = {one["metric"]["mask_kiosk_signal"]: dict(one["values"]) for one in signals}
    times = sorted(set().union(*found.values()))
    axes.stackplot(
        [float(t) - end for t in times],
        [[float(found[name].get(t, 0)) for t in times] for name in order],
        labels=list(order),
        colors=list(order.values()),
    )
    axes.set_title("What the lights show", fontsize=10)
    axes.set_ylabel("kiosks")
    axes.set_xlim(-WINDOW_S, 0)
    axes.legend(loc="lower left", fontsize=8)
    grid[0][0].legend(loc="upper left", fontsize=8)
    for axes in grid[1]:
        axes.set_xlabel("seconds")
    figure.suptitle(f"{KIOSKS} simulated kiosks, as Prometheus saw them")
    figure.savefig(out, dpi=110)


def main() -> None:
    """Run them, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/fleet"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder, watched_fleet(Path(folder)) as world:
        begin = time.monotonic()
        world.cut_off(GONE)
        print(f"all alerts that must fire do after {until_alerts(world):.0f} s")
        time.sleep(max(0.0, WINDOW_S - (time.monotonic() - begin)))
        for name, kiosk in sorted(world.prometheus.ever_fired()):
            print(f"  {name} {kiosk}".rstrip())
        for what, (expression, form) in COSTS.items():
            print(f"{what}: {form.format(world.prometheus.number(expression))}")
        picture(world.prometheus, out / "fleet.png")
    print(f"{out / 'fleet.png'}")


if __name__ == "__main__":
    main()
