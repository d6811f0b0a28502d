"""Figures for Prometheus. Needs the optional package prometheus_client."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Enum,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from edge_app import __version__
from edge_app.domain import Frame, MaskState, Observation, Signal, Vitals
from edge_app.settings import Settings
from edge_app.sinks.metrics_vitals import VitalsCollector

UNCERTAIN = "uncertain"
"""Label of a verdict below the confidence floor."""

STAGE_BUCKETS_S = (
    *(0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01),  # round the budget of 4 to 5 ms a face
    *(0.015, 0.02, 0.033, 0.05, 0.067, 0.1),  # round the time between frames: 30, 15, 10 a second
    *(0.2, 0.5, 1.0),  # far too slow
)


class Metrics:
    """A :class:`edge_app.sinks.Sink` that counts; :meth:`exposition` says what it has.

    Everything stays in a registry of its own, so two kiosks in one process keep apart.

    Args:
        settings: For the names of the models.
    """

    name = "metrics"

    def __init__(self, settings: Settings) -> None:
        # Those would double the number of series, and say no more than process_start_time.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self._vitals = VitalsCollector()
        registry.register(self._vitals)
        ProcessCollector(registry=registry)
        Info("mask_kiosk_build", "Version and models.", registry=registry).info(
            {
                "version": __version__,
                "detector": Path(settings.detector.bundle).stem,
                "classifier": Path(settings.classifier.bundle).stem,
            }
        )
        self._signal = Enum(
            "mask_kiosk_signal",
            "What the light shows.",
            states=[str(signal) for signal in Signal],
            registry=registry,
        )
        self._people = Gauge(
            "mask_kiosk_people", "People in view, as far as the kiosk sees.", registry=registry
        )
        self._observations = Counter(
            "mask_kiosk_observations",
            "Frames whose faces, verdicts and stages are counted here; fewer than the frames "
            "only when counting could not keep up.",
            registry=registry,
        )
        self._faces = Counter(
            "mask_kiosk_faces", "Faces found, each once in every frame.", registry=registry
        )
        self._verdicts = Counter(
            "mask_kiosk_verdicts", "Faces judged, by verdict.", ["state"], registry=registry
        )
        self._stages = Histogram(
            "mask_kiosk_stage_duration_seconds",
            "Time that a stage of the pipeline takes for one frame.",
            ["stage"],
            buckets=STAGE_BUCKETS_S,
            registry=registry,
        )
        for state in (*MaskState, UNCERTAIN):
            self._verdicts.labels(state)
        self._signal.state(Signal.FAULT)  # until something was seen

    def handle(self, observation: Observation, frame: Frame | None) -> None:
        """Count what was seen in a frame."""
        self._signal.state(observation.signal)
        self._people.set(observation.people)
        if frame is None:
            return
        self._observations.inc()
        self._faces.inc(len(observation.faces))
        for face in observation.faces:
            if face.verdict is not None:
                self._verdicts.labels(face.verdict.state or UNCERTAIN).inc()
        for stage, milliseconds in observation.timings.items():
            self._stages.labels(stage).observe(milliseconds / 1000)

    def report(self, vitals: Vitals) -> None:
        """Keep how the kiosk is doing."""
        self._vitals.newest = vitals

    def close(self) -> None:
        """Nothing is held."""

    def exposition(self) -> tuple[bytes, str]:
        """All figures, for ``/metrics``; may be called from any thread.

        Returns:
            The body, in Prometheus' text format, and its content type.
        """
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
