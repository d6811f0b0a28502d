"""Charts of a classifier's figures as SVG, for the page that ``evaluate`` writes.

A chart shows one set of faces and all engines: the first with full lines, others dashed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

SIZE = (4.6, 3.7)
"""Width and height in inches of 72 pixels, scaled to the page."""

COLOURS = ("#009e73", "#d55e00", "#0072b2")
"""By label: three of Okabe and Ito's colours that nobody confuses."""

DASHES = ("-", "--", ":")
MARKERS = ("o", "s", "^")

Pools = Mapping[str, Mapping[str, Any]]
"""Engine -> figures of one set of faces."""


def roc_chart(pools: Pools) -> bytes:
    """ROC curve of each class against the others, with the area under it."""
    figure, axis = _figure("false alarms among the others", "found (recall)")
    axis.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    _draw_curves(axis, pools, "roc", "roc_auc", "AUC", "lower right")
    return _svg(figure)


def precision_recall_chart(pools: Pools) -> bytes:
    """Precision-recall curve of each class against the others, with its average precision."""
    figure, axis = _figure("recall", "precision")
    _draw_curves(axis, pools, "precision_recall", "average_precision", "AP", "lower left")
    return _svg(figure)


def reliability_chart(pools: Pools) -> bytes:
    """How often a verdict of each confidence is right, with 95 % intervals."""
    figure, axis = _figure("confidence of the verdict (below: faces)", "share that is right")
    axis.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    for i, (engine, pool) in enumerate(pools.items()):
        bins = [b for b in pool["calibration"]["bins"] if b["samples"]]
        error = pool["calibration"]["expected_error"]
        _error_bars(
            axis, [b["confidence"] for b in bins], bins, i,
            f"{engine}, calibration error {100 * error:.1f} %",
        )  # fmt: skip
    axis.set_ylim(-0.12, 1.01)
    for b in next(iter(pools.values()))["calibration"]["bins"]:
        middle = (b["low"] + b["high"]) / 2
        axis.text(middle, -0.08, b["samples"], fontsize=6.5, color="0.35", ha="center")
    figure.legend(loc="outside upper left", fontsize=7)
    return _svg(figure)


def size_chart(pools: Pools) -> bytes:
    """Accuracy by the face's short side, with 95 % intervals."""
    figure, axis = _figure("short side of the face", "accuracy")
    sizes = list(dict.fromkeys(size for pool in pools.values() for size in pool["by_size"]))
    for i, (engine, pool) in enumerate(pools.items()):
        held = [size for size in sizes if size in pool["by_size"]]
        rows = [pool["by_size"][size] for size in held]
        shift = 0.12 * (i - (len(pools) - 1) / 2)
        _error_bars(axis, [sizes.index(size) + shift for size in held], rows, i, engine)
    first = next(iter(pools.values()))["by_size"]
    numbers = [first[size]["samples"] if size in first else 0 for size in sizes]
    axis.set_xticks(
        range(len(sizes)), [f"{s}\n{n} faces" for s, n in zip(sizes, numbers, strict=True)],
        fontsize=7,
    )  # fmt: skip
    axis.set_xlim(-0.5, len(sizes) - 0.5)
    lowest = min(
        row["accuracy_interval"]["low"] for pool in pools.values()
        for row in pool["by_size"].values()
    )  # fmt: skip
    axis.set_ylim(math.floor(10 * lowest) / 10, 1.01)
    figure.legend(loc="outside upper left", fontsize=7)
    return _svg(figure)


def _figure(x: str, y: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=SIZE, layout="constrained")
    axis = figure.add_subplot()
    axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axis.set_xlabel(x, fontsize=9)
    axis.set_ylabel(y, fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.3)
    return figure, axis


def _draw_curves(axis: Any, pools: Pools, curve: str, area: str, word: str, corner: str) -> None:
    for dash, (engine, pool) in zip(DASHES, pools.items(), strict=False):
        for colour, (label, curves) in zip(COLOURS, pool["one_vs_rest"].items(), strict=False):
            if curves[area] is None:
                continue
            x, y = zip(*curves[curve], strict=True)
            words = f"{label.replace('_', ' ')}, {engine}: {word} {curves[area]:.3f}"
            axis.plot(x, y, dash, color=colour, linewidth=1.4, label=words)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc=corner, fontsize=7)
    else:
        axis.text(0.5, 0.5, "only one class: no curve", ha="center", color="0.35")


def _error_bars(
    axis: Any, x: Sequence[float], rows: Sequence[Mapping[str, Any]], place: int, label: str
) -> None:
    y = [row["accuracy"] for row in rows]
    low = [max(0.0, row["accuracy"] - row["accuracy_interval"]["low"]) for row in rows]
    high = [max(0.0, row["accuracy_interval"]["high"] - row["accuracy"]) for row in rows]
    axis.errorbar(
        x, y, yerr=(low, high), fmt=MARKERS[place], linestyle=DASHES[place],
        color=COLOURS[-1 - place], markersize=4, linewidth=1.2, capsize=2, label=label,
    )  # fmt: skip


def _svg(figure: Figure) -> bytes:
    """The same figure gives the same bytes: no date, no random names."""
    stream = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "mask-kiosk", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
