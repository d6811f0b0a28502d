"""A long run in a short time: the whole kiosk over hundreds of thousands of frames.

    python -m tests.bench.soak --frames 200000 --out build/soak

Real models, real journal, real status page and figures for Prometheus; lamps without pins (pretend
pins remember every state and would grow). The camera is endless (``scenes.py``), faster than
the pipeline, and unplugged every 20,000 frames. Once a second memory, open files, threads and
latency are noted; at the end stand the slope of memory over frames, and a plot.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_app.daemon import Kiosk
from edge_app.domain import Frame, Observation, Vitals
from edge_app.settings import Settings, SourceSettings, replace_settings
from edge_app.sinks.indicator import open_indicator
from edge_app.sinks.opening import open_sinks
from edge_app.sources import FrameSource
from tests.bench.scenes import EndlessCamera, clip_frames, crowd, empty_room

log = logging.getLogger("soak")

FPS = 400.0
LOST_EVERY = 20_000
WARM_UP_SHARE = 0.1
"""The first tenth of the frames fills caches and pools; the slope is that of the rest."""

PAGE = os.sysconf("SC_PAGE_SIZE")


COLUMNS = (
    "time",
    "frames",
    "dropped",
    "rss_kib",
    "open_files",
    "threads",
    "camera_faults",
    "latency_p50_ms",
    "latency_p99_ms",
    "latency_max_ms",
)

MAX_SAMPLES = 100_000
"""More than a day; the table is made at once, so that the watcher's own growth is not measured."""


@dataclass
class Sampler:
    """A sink that notes the state of the process once a second."""

    frames: int
    name: str = "sampler"
    kiosk: Kiosk | None = None
    signals: dict[str, int] = field(default_factory=dict)
    count: int = 0
    table: NDArray[np.float64] = field(
        default_factory=lambda: np.full((MAX_SAMPLES, len(COLUMNS)), np.nan)
    )

    @property
    def samples(self) -> list[dict[str, float]]:
        """What was noted, from the oldest on."""
        return [dict(zip(COLUMNS, row, strict=True)) for row in self.table[: self.count].tolist()]

    def handle(self, observation: Observation, frame: Frame | None) -> None:
        signal = str(observation.signal)
        self.signals[signal] = self.signals.get(signal, 0) + 1

    def report(self, vitals: Vitals) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.table[self.count] = (
            vitals.time,
            vitals.frames,
            vitals.dropped,
            pages * PAGE / 1024,
            sum(1 for _ in Path("/proc/self/fd").iterdir()),
            threading.active_count(),
            vitals.faults.get("camera", 0),
            *(vitals.latency_ms.get(name, np.nan) for name in ("p50", "p99", "max")),
        )
        self.count += 1
        if vitals.frames >= self.frames and self.kiosk is not None:
            self.kiosk.stop()

    def close(self) -> None:
        """Nothing to give back."""


def soak(frames: int, folder: Path) -> tuple[Sampler, float]:
    """Run the kiosk over so many frames; the samples and the seconds of processor time."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = replace_settings(
        Settings(),
        {
            "indicator.pins": "none",
            "source.idle_fps": 60.0,
            "journal.path": str(folder / "events.sqlite3"),
            "web.enabled": True,
            "web.metrics": True,
            "web.port": 18080,
        },
    )
    clip = clip_frames()
    scenes = [
        ("one", clip, 6000),
        ("nobody", empty_room(), 1000),
        ("twenty", crowd(clip), 1000),
    ]
    shown = 0

    def open_endless(uri: str, source: SourceSettings) -> FrameSource:
        nonlocal shown
        camera = EndlessCamera(scenes, FPS, LOST_EVERY, first=shown)
        shown = (shown // LOST_EVERY + 1) * LOST_EVERY
        return camera

    sampler = Sampler(frames)
    kiosk = Kiosk(
        settings,
        open_indicator(settings.indicator),
        log,
        [*open_sinks(settings), sampler],
        open_source=open_endless,
    )
    sampler.kiosk = kiosk
    before = resource.getrusage(resource.RUSAGE_SELF)
    kiosk.run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return sampler, spent


def figures(sampler: Sampler, spent: float) -> dict[str, Any]:
    """What the samples say."""
    rows = sampler.samples
    frames = np.array([row["frames"] for row in rows])
    rss = np.array([row["rss_kib"] for row in rows])
    settled = frames >= WARM_UP_SHARE * frames[-1]
    slope, _ = np.polyfit(frames[settled], rss[settled], 1)
    p99 = np.array([row["latency_p99_ms"] for row in rows])[settled]
    p50 = np.array([row["latency_p50_ms"] for row in rows])[settled]
    seconds = rows[-1]["time"] - rows[0]["time"]
    return {
        "frames": int(frames[-1]),
        "dropped": int(rows[-1]["dropped"]),
        "seconds": seconds,
        "frames_per_second": (frames[-1] - frames[0]) / seconds,
        "processor_share": spent / seconds,
        "signals": sampler.signals,
        "camera_unplugged": int(rows[-1]["camera_faults"]),
        "rss_mib": {
            "after_warm_up": float(rss[settled][0] / 1024),
            "end": float(rss[-1] / 1024),
            "max": float(rss.max() / 1024),
        },
        "rss_slope_kib_per_10000_frames": float(slope * 10_000),
        "latency_p50_ms": {"median": float(np.nanmedian(p50)), "max": float(np.nanmax(p50))},
        "latency_p99_ms": {"median": float(np.nanmedian(p99)), "max": float(np.nanmax(p99))},
        "open_files": [int(rows[0]["open_files"]), int(rows[-1]["open_files"])],
        "threads": [int(rows[0]["threads"]), int(rows[-1]["threads"])],
    }


def plot(sampler: Sampler, path: Path) -> None:
    """Memory and latency over frames."""
    from matplotlib.figure import Figure

    rows = [row for row in sampler.samples if not np.isnan(row["latency_p99_ms"])]
    frames = [row["frames"] / 1000 for row in rows]
    figure = Figure(figsize=(8, 5), layout="constrained")
    memory, latency = figure.subplots(2, 1, sharex=True)
    memory.plot(frames, [row["rss_kib"] / 1024 for row in rows], color="#1f5fa8")
    memory.set_ylabel("resident memory, MiB")
    memory.set_ylim(bottom=0)
    for name, colour in (("p50", "#2e7d32"), ("p99", "#c62828")):
        latency.plot(frames, [row[f"latency_{name}_ms"] for row in rows], color=colour, label=name)
    latency.set_ylabel("capture to light, ms")
    latency.set_ylim(bottom=0)
    latency.set_xlabel("thousand frames through the pipeline")
    latency.legend()
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--out", type=Path, default=Path("build/soak"), metavar="DIR")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    sampler, spent = soak(options.frames, options.out)
    result = figures(sampler, spent)
    (options.out / "soak.json").write_text(
        json.dumps({"figures": result, "samples": sampler.samples}, indent=1) + "\n"
    )
    plot(sampler, options.out / "soak.png")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
