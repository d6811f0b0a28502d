"""The figures as Prometheus reads them."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from edge_app import __version__
from edge_app.domain import (
    Box,
    Face,
    Frame,
    MaskState,
    ModelVersion,
    Observation,
    Signal,
    Verdict,
    Vitals,
)
from edge_app.settings import Settings, replace_settings
from edge_app.sinks import Sink
from edge_app.sinks.metrics import Metrics

FRAME = Frame(np.zeros((8, 8, 3), np.uint8), 0.0, 0)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Settings())


def families(metrics: Metrics) -> dict[str, Metric]:
    body, kind = metrics.exposition()
    assert kind.startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


def value(metrics: Metrics, sample: str, **labels: str) -> float | None:
    """One sample; None when there is none."""
    for family in families(metrics).values():
        for found in family.samples:
            if found.name == sample and found.labels == labels:
                return float(found.value)
    return None


def face(state: MaskState | None) -> Face:
    return Face(Box(0, 0, 4, 4), 0.9, Verdict({MaskState.WITH_MASK: 0.9}, state))


def seen(*faces: Face, signal: Signal = Signal.IDLE, **timings: float) -> Observation:
    return Observation(0, 0.0, signal, "as seen", faces, timings=timings)


def test_it_is_a_sink(metrics: Metrics) -> None:
    sink: Sink = metrics
    sink.close()
    sink.close()


def test_faces_and_verdicts_are_counted(metrics: Metrics) -> None:
    assert value(metrics, "mask_kiosk_verdicts_total", state="uncertain") == 0, "from the start"
    unjudged = Face(Box(0, 0, 4, 4), 0.9)
    metrics.handle(seen(face(MaskState.WITH_MASK), face(None), unjudged), FRAME)
    metrics.handle(seen(face(MaskState.WITH_MASK), face(MaskState.INCORRECT_MASK)), FRAME)
    assert value(metrics, "mask_kiosk_faces_total") == 5
    assert value(metrics, "mask_kiosk_observations_total") == 2
    assert value(metrics, "mask_kiosk_people") == 2
    counts = {
        state: value(metrics, "mask_kiosk_verdicts_total", state=state)
        for state in (*MaskState, "uncertain")
    }
    assert counts == {"with_mask": 2, "without_mask": 0, "incorrect_mask": 1, "uncertain": 1}


def test_exactly_one_signal_is_on(metrics: Metrics) -> None:
    def on() -> set[str]:
        samples = families(metrics)["mask_kiosk_signal"].samples
        assert {sample.labels["mask_kiosk_signal"] for sample in samples} == set(Signal)
        return {s.labels["mask_kiosk_signal"] for s in samples if s.value == 1}

    assert on() == {"FAULT"}, "until something was seen"
    for signal in Signal:
        metrics.handle(seen(signal=signal), FRAME)
        assert on() == {signal}


def test_a_fault_without_a_picture_is_shown_but_no_frame(metrics: Metrics) -> None:
    metrics.handle(seen(signal=Signal.FAULT), None)
    assert value(metrics, "mask_kiosk_signal", mask_kiosk_signal="FAULT") == 1
    assert value(metrics, "mask_kiosk_observations_total") == 0


def test_stages_are_histograms_in_seconds(metrics: Metrics) -> None:
    metrics.handle(seen(detect=3.5, total=8.0), FRAME)
    metrics.handle(seen(detect=4.5, total=40.0), FRAME)
    name = "mask_kiosk_stage_duration_seconds"
    assert value(metrics, f"{name}_bucket", stage="detect", le="0.004") == 1
    assert value(metrics, f"{name}_bucket", stage="detect", le="0.005") == 2
    assert value(metrics, f"{name}_count", stage="total") == 2
    assert value(metrics, f"{name}_sum", stage="total") == pytest.approx(0.048)


def test_vitals_are_handed_on(metrics: Metrics) -> None:
    assert value(metrics, "mask_kiosk_frames_total") is None, "before the first"
    metrics.report(
        Vitals(
            time=7.0,
            fps=14.5,
            frames=100,
            dropped=3,
            latency_ms={"p50": 20.0, "p99": 40.0, "max": 55.0},
            temperature_c=51.2,
            throttled=("throttled now",),
            faults={"camera": 2},
            troubles={"mqtt": "connection refused"},
        )
    )
    assert value(metrics, "mask_kiosk_frames_total") == 100
    assert value(metrics, "mask_kiosk_frames_dropped_total") == 3
    assert value(metrics, "mask_kiosk_frames_per_second") == 14.5
    assert value(metrics, "mask_kiosk_capture_to_light_seconds", statistic="p99") == 0.04
    assert value(metrics, "mask_kiosk_temperature_celsius") == 51.2
    assert value(metrics, "mask_kiosk_throttled") == 1
    assert value(metrics, "mask_kiosk_faults_total", part="camera") == 2
    assert value(metrics, "mask_kiosk_trouble", part="camera") == 0
    assert value(metrics, "mask_kiosk_trouble", part="mqtt") == 1


def test_what_is_not_known_is_left_out(metrics: Metrics) -> None:
    metrics.report(Vitals(time=1.0))
    names = set(families(metrics))
    assert not {"mask_kiosk_temperature_celsius", "mask_kiosk_throttled"} & names
    metrics.report(Vitals(time=2.0, throttled=("throttled since boot",)))
    assert value(metrics, "mask_kiosk_throttled") == 0, "no longer"


def test_version_and_models_are_named_without_their_folder() -> None:
    own = {"classifier.bundle": "somewhere/private/door.tflite"}
    built = families(Metrics(replace_settings(Settings(), own)))["mask_kiosk_build_info"]
    assert [sample.labels for sample in built.samples] == [
        {"version": __version__, "detector": "face_detector", "classifier": "door"}
    ]


def test_two_kiosks_keep_apart(metrics: Metrics) -> None:
    metrics.handle(seen(face(None)), FRAME)
    assert value(Metrics(Settings()), "mask_kiosk_faces_total") == 0


def test_names_are_as_prometheus_recommends(metrics: Metrics) -> None:
    metrics.handle(seen(face(None), detect=3.0), FRAME)
    metrics.report(Vitals(time=1.0, temperature_c=50.0, faults={"camera": 1}))
    ours = {n: f for n, f in families(metrics).items() if n.startswith("mask_kiosk_")}
    assert len(ours) >= 12
    for name, family in ours.items():
        assert family.documentation.endswith("."), name
        samples = {sample.name for sample in family.samples}
        assert not any(sample.endswith("_created") for sample in samples)
        if family.type == "counter":
            assert samples <= {f"{name}_total"}
        assert not name.endswith(("_ms", "_milliseconds", "_percent"))


def test_the_models_in_use_are_told_once_they_are_loaded(metrics: Metrics) -> None:
    metrics.report(Vitals(time=1.0))
    assert families(metrics)["mask_kiosk_model_info"].samples == []
    models = (
        ModelVersion("detector", "face_detector", "a" * 64),
        ModelVersion("classifier", "mask_classifier", "b" * 64),
    )
    metrics.report(Vitals(time=2.0, models=models))
    told = [(s.name, s.labels, s.value) for s in families(metrics)["mask_kiosk_model_info"].samples]
    assert told == [
        ("mask_kiosk_model_info", {"role": m.role, "name": m.name, "sha256": m.sha256}, 1.0)
        for m in models
    ]
