"""The ``bench`` command: how long each stage takes on this machine."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np

from edge_app.domain import Box, Frame, Image, Verdict
from edge_app.pi_health import raspberry_pi_model
from edge_app.pipeline import Judge, build_pipeline
from edge_app.recording import write_atomically
from edge_app.replay import describe_bundles
from edge_app.settings import Settings
from edge_app.sources import open_source
from edge_app.vision.bundle import load_bundle
from edge_app.vision.interpreter import runtime_name
from edge_app.vision.kernels import kernels
from edge_app.vision.yunet import is_yunet

WARM_UP_FRAMES = 30
"""Frames before the measurement: caches fill, the clock speed settles."""

OPENCV_KERNELS = "OpenCV's own, float"
"""What runs YuNet."""

PERCENTILES = (50, 95, 99)

STAGES = {
    "detect": "letterbox and detect, per frame",
    "classify": "crop and classify, per face",
    "track": "track and decide, per frame",
    "total": "whole pipeline, per frame",
}


@dataclass(slots=True)
class TimedJudge:
    """A classifier that notes how many milliseconds each face took."""

    judge: Judge
    milliseconds: list[float] = field(default_factory=list)

    def classify(self, image: Image, box: Box) -> Verdict:
        begin = time.perf_counter()
        verdict = self.judge.classify(image, box)
        self.milliseconds.append((time.perf_counter() - begin) * 1000)
        return verdict


def run_bench(settings: Settings, frames: int, output: Path | None, out: TextIO) -> int:
    """Measure, print the table, write the JSON if asked.

    Raises:
        KioskError: The source cannot be read, a bundle is missing, or the file cannot be
            written.
    """
    figures = measure(settings, frames)
    print("\n".join(table(figures)), file=out)
    if output is not None:
        write_atomically(output, (json.dumps(figures, indent=1) + "\n").encode())
        print(f"written: {output}", file=out)
    return 0


def measure(settings: Settings, frames: int) -> dict[str, Any]:
    """Run the pipeline over ``frames`` frames after a warm-up; a clip is repeated as needed.

    Returns:
        Machine, versions, threads, models, and milliseconds per stage, ready for JSON.
    """
    pipeline = build_pipeline(settings)
    judge = pipeline.classifier = TimedJudge(pipeline.classifier)
    taken: dict[str, list[float]] = {stage: [] for stage in STAGES}
    size = (0, 0)
    for number, frame in enumerate(_endless(settings), -WARM_UP_FRAMES):
        if number == frames:
            break
        if number == 0:
            judge.milliseconds.clear()
        timings = pipeline.step(frame).timings
        size = (frame.image.shape[1], frame.image.shape[0])
        if number >= 0:
            for stage in ("detect", "track", "total"):
                taken[stage].append(timings[stage])
    taken["classify"] = judge.milliseconds
    return {
        **describe_machine(settings),
        "source": {"name": Path(settings.source.uri).name, "width": size[0], "height": size[1]},
        "frames": frames,
        "warm_up_frames": WARM_UP_FRAMES,
        "stages_ms": {stage: percentiles(values) for stage, values in taken.items()},
    }


def percentiles(milliseconds: Sequence[float]) -> dict[str, float | int | None]:
    """p50, p95, p99 and how many values they come from; None where there are none."""
    result: dict[str, float | int | None] = {"count": len(milliseconds)}
    for p in PERCENTILES:
        result[f"p{p}"] = round(float(np.percentile(milliseconds, p)), 4) if milliseconds else None
    return result


def describe_machine(settings: Settings) -> dict[str, Any]:
    """What was measured on what: names, versions, threads, kernels."""
    models = {
        "detect": (settings.detector.bundle, settings.detector.threads),
        "classify": (settings.classifier.bundle, settings.classifier.threads),
    }
    return {
        "machine": raspberry_pi_model() or _processor(),
        "architecture": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "opencv": cv2.__version__,
        "runtime": runtime_name(),
        "threads": {task: threads for task, (_, threads) in models.items()}
        | {"opencv": cv2.getNumThreads()},
        "kernels": {
            task: OPENCV_KERNELS
            if is_yunet(name)
            else str(kernels(load_bundle(name, task, threads).interpreter))
            for task, (name, threads) in models.items()
        },
        "bundles": describe_bundles(settings),
    }


def table(figures: dict[str, Any]) -> list[str]:
    """The figures for people."""
    threads = ", ".join(f"{what} {count}" for what, count in figures["threads"].items())
    source = figures["source"]
    lines = [
        f"machine   {figures['machine']} ({figures['architecture']})",
        f"runtime   {figures['runtime']}, Python {figures['python']}, OpenCV {figures['opencv']}",
        f"threads   {threads}",
        *(f"kernels   {task}: {text}" for task, text in figures["kernels"].items()),
        f"source    {source['name']}, {source['width']}x{source['height']}, "
        f"{figures['frames']} frames after {figures['warm_up_frames']} to warm up",
        "",
        f"{'milliseconds':<34}{'p50':>9}{'p95':>9}{'p99':>9}{'values':>9}",
    ]
    for stage, words in STAGES.items():
        row = figures["stages_ms"][stage]
        cells = "".join(_cell(row[f"p{p}"]) for p in PERCENTILES)
        lines.append(f"{words:<34}{cells}{row['count']:>9}")
    return lines


def _cell(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:.2f}':>9}"


def _endless(settings: Settings) -> Iterator[Frame]:
    while True:
        with open_source(settings.source.uri, settings.source) as source:
            yield from source


def _processor() -> str:
    """The processor's name from the kernel, else what Python knows."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return platform.processor() or "unknown"
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or "unknown"
