"""The newest :class:`~edge_app.domain.Vitals` as figures for Prometheus.

The daemon counts these itself, so they are handed on as they are; a figure that is not known
is left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_app.domain import Vitals
from edge_app.pi_health import throttled_now


class VitalsCollector(Collector):
    """Asked by its registry, from any thread.

    Attributes:
        newest: What to hand on; None before the first report.
    """

    def __init__(self) -> None:
        self.newest: Vitals | None = None

    def collect(self) -> Iterator[Metric]:
        """One metric after the other."""
        vitals = self.newest
        if vitals is None:
            return
        models = InfoMetricFamily(
            "mask_kiosk_model", "Models in use; sha256 is that of the card, the bundle's version."
        )
        for model in vitals.models:
            told = {"role": model.role, "name": model.name, "sha256": model.sha256}
            models.add_metric([], told)
        yield models
        yield CounterMetricFamily(
            "mask_kiosk_frames", "Frames that went through the pipeline.", vitals.frames
        )
        yield CounterMetricFamily(
            "mask_kiosk_frames_dropped",
            "Frames that a newer one replaced before the pipeline was free.",
            vitals.dropped,
        )
        yield GaugeMetricFamily(
            "mask_kiosk_frames_per_second", "Frames handled per second, lately.", vitals.fps
        )
        latency = GaugeMetricFamily(
            "mask_kiosk_capture_to_light_seconds",
            "Time from a picture to the light, lately: p50, p99, max.",
            labels=["statistic"],
        )
        for statistic, milliseconds in vitals.latency_ms.items():
            latency.add_metric([statistic], milliseconds / 1000)
        yield latency
        faults = CounterMetricFamily(
            "mask_kiosk_faults", "How often a part was in trouble.", labels=["part"]
        )
        trouble = GaugeMetricFamily(
            "mask_kiosk_trouble", "1 while a part is in trouble.", labels=["part"]
        )
        for part in sorted({*vitals.faults, *vitals.troubles}):
            faults.add_metric([part], vitals.faults.get(part, 0))
            trouble.add_metric([part], part in vitals.troubles)
        yield faults
        yield trouble
        if vitals.temperature_c is not None:
            yield GaugeMetricFamily(
                "mask_kiosk_temperature_celsius",
                "Temperature of the processor.",
                vitals.temperature_c,
            )
        if vitals.throttled is not None:
            yield GaugeMetricFamily(
                "mask_kiosk_throttled",
                "1 while heat or low voltage slows the processor down.",
                throttled_now(vitals.throttled),
            )
