"""What the dashboard shows: :data:`ROWS`; :mod:`make_dashboard` turns it into Grafana's JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

OURS = 'job="mask-kiosk", kiosk=~"$kiosk"'
SIGNALS = {  # in the order of their priority; what each is drawn as
    "IDLE": (0, "text", "nobody"),
    "COMPLIANT": (1, "green", "masks"),
    "INCORRECT": (2, "orange", "worn wrongly"),
    "NO_MASK": (3, "red", "no mask"),
    "FAULT": (4, "purple", "FAULT"),
}
SIGNAL = "max by (kiosk) ({})".format(
    " or ".join(
        f'mask_kiosk_signal{{{OURS}, mask_kiosk_signal="{name}"}} * {number}'
        for name, (number, _, _) in SIGNALS.items()
    )
)
FAULT = f'mask_kiosk_signal{{{OURS}, mask_kiosk_signal="FAULT"}}'


def latency(statistic: str) -> str:
    """Capture to light."""
    return (
        f'max by (kiosk) (mask_kiosk_capture_to_light_seconds{{{OURS}, statistic="{statistic}"}})'
    )


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        title: Its heading.
        kind: Grafana's name of the visualisation.
        queries: Expressions, each with its legend.
        description: For the tooltip beside the heading.
        size: Columns and rows of the grid.
        unit: Grafana's name of the unit.
        red: From here on red; None: no limit.
        more: ``fieldConfig.defaults`` beyond those.
        transformations: What a table does with its columns.
    """

    title: str
    kind: str
    queries: dict[str, str]
    description: str
    size: tuple[int, int] = (12, 8)
    unit: str = "short"
    red: float | None = None
    more: dict[str, Any] = field(default_factory=dict)
    transformations: tuple[dict[str, Any], ...] = ()


def mapping(values: dict[str, tuple[str, str]]) -> dict[str, Any]:
    """Values as words with colours."""
    options = {
        value: {"text": text, "color": colour, "index": index}
        for index, (value, (text, colour)) in enumerate(values.items())
    }
    return {"mappings": [{"type": "value", "options": options}]}


def stat(title: str, query: str, description: str, red: float | None = None) -> Panel:
    """One large number."""
    return Panel(title, "stat", {"": query}, description, (4, 4), red=red)


def lines(
    title: str, queries: dict[str, str], description: str, unit: str, red: float | None = None
) -> Panel:
    """Lines over time."""
    return Panel(title, "timeseries", queries, description, unit=unit, red=red)


def table(title: str, query: str, description: str, hide: tuple[str, ...]) -> Panel:
    """A series a line, its labels as columns."""
    organise = {
        "id": "organize",
        "options": {"excludeByName": dict.fromkeys(("Time", "Value", *hide), True)},
    }
    return Panel(title, "table", {"": query}, description, transformations=(organise,))


SCRAPED = ("__name__", "instance", "job")

ROWS: dict[str, list[Panel]] = {
    "The fleet now": [
        stat("Kiosks that answer", f"sum(up{{{OURS}}})", "Of which Prometheus gets figures."),
        stat(
            "Gone",
            f"count(up{{{OURS}}} == 0) or vector(0)",
            "No power, no network, or stopped.",
            red=1,
        ),
        stat("Out of order", f"count({FAULT} == 1) or vector(0)", "The light shows FAULT.", red=1),
        stat(
            "Doors with somebody without a mask",
            f'count(mask_kiosk_signal{{{OURS}, mask_kiosk_signal="NO_MASK"}} == 1) or vector(0)',
            "The light shows NO_MASK.",
        ),
        stat(
            "Application versions",
            f"count(count by (version) (mask_kiosk_build_info{{{OURS}}}))",
            "More than one while a push is on its way.",
            red=2,
        ),
        stat(
            "Alerts",
            'count(ALERTS{alertstate="firing", job=~"mask-kiosk|"}) or vector(0)',
            "What to do for each: docs/fleet.md.",
            red=1,
        ),
    ],
    "Lights": [
        Panel(
            "What the lights show",
            "state-timeline",
            {"{{kiosk}}": SIGNAL},
            "One line for each kiosk; a gap means that it did not answer.",
            (24, 12),
            more=mapping(
                {str(number): (text, colour) for number, colour, text in SIGNALS.values()}
            ),
        ),
        table(
            "Out of order now",
            f"mask_kiosk_trouble{{{OURS}}} == 1",
            "The part that is in trouble: camera, journal, mqtt, web, processor.",
            SCRAPED,
        ),
        Panel(
            "Parts in trouble: camera, MQTT, journal ...",
            "state-timeline",
            {"{{kiosk}} {{part}}": f"max by (kiosk, part) (mask_kiosk_trouble{{{OURS}}})"},
            "Only parts that were in trouble since the kiosk's start have a line.",
            more=mapping({"0": ("works", "green"), "1": ("trouble", "red")}),
        ),
    ],
    "Speed": [
        lines(
            "Pictures a second",
            {"{{kiosk}}": f"mask_kiosk_frames_per_second{{{OURS}}}"},
            "15 with somebody in view, 5 with nobody (source.fps, source.idle_fps).",
            "short",
        ),
        lines(
            "From picture to light, half of them (p50)",
            {"{{kiosk}}": latency("p50")},
            "Of the last 1000 pictures.",
            "s",
        ),
        lines(
            "From picture to light, 99 of 100 (p99)",
            {"{{kiosk}}": latency("p99")},
            "Of the last 1000 pictures.",
            "s",
            red=1,
        ),
        lines(
            "Canaries and fleet: p50 and p99",
            {
                f"{{{{group}}}} {statistic}": "avg by (group) (mask_kiosk_capture_to_light_seconds"
                f'{{{OURS}, statistic="{statistic}"}})'
                for statistic in ("p50", "p99")
            },
            "A canary that is slower is a reason to push nothing to the rest.",
            "s",
        ),
        lines(
            "Judging a face's frame, p95",
            {
                "{{kiosk}}": "histogram_quantile(0.95, sum by (kiosk, le) (rate("
                f'mask_kiosk_stage_duration_seconds_bucket{{{OURS}, stage="classify"}}'
                "[$__rate_interval])))"
            },
            "All faces of a frame together.",
            "s",
        ),
        lines(
            "Pictures replaced by a newer one",
            {"{{kiosk}}": f"rate(mask_kiosk_frames_dropped_total{{{OURS}}}[$__rate_interval])"},
            "A second; many mean that the pipeline does not keep up.",
            "short",
        ),
    ],
    "Health": [
        lines(
            "Temperature of the processor",
            {"{{kiosk}}": f"mask_kiosk_temperature_celsius{{{OURS}}}"},
            "A Raspberry Pi slows down from 80 °C on.",
            "celsius",
            red=80,
        ),
        Panel(
            "Slowed down by heat or low voltage",
            "state-timeline",
            {"{{kiosk}}": f"max by (kiosk) (mask_kiosk_throttled{{{OURS}}})"},
            "Under-voltage: use the official power supply and a short cable.",
            more=mapping({"0": ("no", "green"), "1": ("slowed down", "red")}),
        ),
        lines(
            "Memory",
            {"{{kiosk}}": f"process_resident_memory_bytes{{{OURS}}}"},
            "The service is slowed down from 200 MiB on and ended at 256 MiB.",
            "bytes",
            red=190 * 2**20,
        ),
        lines(
            "Starts within an hour",
            {"{{kiosk}}": f"changes(process_start_time_seconds{{{OURS}}}[1h])"},
            "Beyond the first.",
            "short",
            red=3,
        ),
        lines(
            "Faults within an hour",
            {"{{kiosk}} {{part}}": f"increase(mask_kiosk_faults_total{{{OURS}}}[1h])"},
            "How often a part got into trouble.",
            "short",
        ),
        lines(
            "Processor time",
            {"{{kiosk}}": f"rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval])"},
            "1 is one core, all the time.",
            "percentunit",
        ),
    ],
    "What is installed": [
        table(
            "Application",
            f"mask_kiosk_build_info{{{OURS}}}",
            "As the running service says.",
            SCRAPED,
        ),
        table(
            "Models",
            f"mask_kiosk_model_info{{{OURS}}}",
            "As the running service says: the sha256 of the model file.",
            SCRAPED,
        ),
    ],
    "What was seen": [
        lines(
            "Verdicts by state",
            {
                "{{state}}": f"sum by (state) (rate(mask_kiosk_verdicts_total{{{OURS}}}"
                "[$__rate_interval]))"
            },
            "A second, of all kiosks; verdicts, not people: each face in each picture.",
            "short",
        ),
        lines(
            "Share of uncertain verdicts",
            {
                "{{group}}": "sum by (group) (rate(mask_kiosk_verdicts_total"
                f'{{{OURS}, state="uncertain"}}[$__rate_interval])) / sum by (group) '
                f"(rate(mask_kiosk_verdicts_total{{{OURS}}}[$__rate_interval]))"
            },
            "A new model that is less certain shows on the canaries first.",
            "percentunit",
        ),
    ],
}
