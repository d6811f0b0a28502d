"""What instruction counts say: the projection to milliseconds, the table, and the two percent.

Pure: numbers and texts in, numbers and texts out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

GROWTH_PERCENT = 2
"""A network that costs more than this much more than its recorded figure is a failure."""

BOARDS = {"cortex-a72": "Raspberry Pi 4", "cortex-a76": "Raspberry Pi 5"}

FACE_MODEL = "mask_classifier"

BUDGET_MS = {"cortex-a72": 5.0, "cortex-a76": 4.0}
"""For one face, from crop to verdict, see the design."""

REFERENCE = "MobileNetV2 1.0/224 INT8"

REFERENCE_PI4_MS = 17.0
"""On all four cores of a Pi 4, 64-bit: XNNPACK's README, "INT8 MobileNet v2 1.0X"."""

SCALING_MS = {"cortex-a72": (197.8, 78.0), "cortex-a76": (44.2, 22.9)}
"""EfficientDet-Lite0 INT8 on one thread and on four, TensorFlow Lite 2.18:
github.com/NobuoTsukamoto/benchmarks, tensorflow/lite/efficentdet. Tells what one core is of four,
and a Pi 5 of a Pi 4."""

TOTAL = re.compile(r"^total insns: (\d+)$", re.MULTILINE)

BEGIN = "<!-- Written by make rig-cost, from pi-core-cost.json. -->"
END = "<!-- End of what make rig-cost writes. -->"


def parse_count(text: str) -> int:
    """The number of instructions in what QEMU's plugin "insn" wrote.

    Raises:
        ValueError: There is none, or more than one.
    """
    found = TOTAL.findall(text)
    if len(found) != 1:
        raise ValueError(f"no single count of instructions in {text[-200:]!r}")
    return int(found[0])


def per_call(few: int, many: int, calls: int) -> int:
    """Instructions of one call, from two runs that differ by ``calls`` calls.

    Raises:
        ValueError: The longer run took no more instructions.
    """
    if many <= few:
        raise ValueError(f"{calls} more calls took {many - few} more instructions")
    return round((many - few) / calls)


def reference_ms(core: str) -> float:
    """Milliseconds of :data:`REFERENCE` on one core, from the published times."""
    four_cores_pi4 = SCALING_MS["cortex-a72"][1]
    return REFERENCE_PI4_MS * SCALING_MS[core][0] / four_cores_pi4


def projected_ms(count: int, reference_count: int, core: str) -> float:
    """Milliseconds of a network on one core, as if every instruction took as long as there."""
    return reference_ms(core) * count / reference_count


def growth(recorded: int, counted: int) -> float:
    """By what share a count has grown; negative: it has shrunk."""
    return counted / recorded - 1


def grown(
    recorded: Mapping[str, Mapping[str, int]], counted: Mapping[str, Mapping[str, int]]
) -> list[str]:
    """Which networks cost more than :data:`GROWTH_PERCENT` % more than recorded: a line each.

    Args:
        recorded: Instructions by model, then core.
        counted: The same, now.
    """
    lines = []
    for model, cores in counted.items():
        for core, count in cores.items():
            before = recorded.get(model, {}).get(core)
            if before is None:
                lines.append(f"{model} on {core}: {count:,} instructions, no figure recorded")
            elif count * 100 > before * (100 + GROWTH_PERCENT):
                lines.append(
                    f"{model} on {core}: {count:,} instructions, "
                    f"{growth(before, count):+.1%} beside the recorded {before:,}"
                )
    return lines


def stale(record: Mapping[str, Any], runtime: str, hashes: Mapping[str, str]) -> list[str]:
    """What the counts depend on and is no longer as recorded: a line each; empty: they hold.

    Args:
        record: See :mod:`cost`.
        runtime: Name and version of the pinned runtime.
        hashes: sha256 of each shipped model.
    """
    lines = []
    if record["runtime"] != runtime:
        lines.append(f"recorded for {record['runtime']}, pinned is {runtime}")
    for model, digest in hashes.items():
        known = record["models"].get(model, {}).get("sha256")
        if known != digest:
            lines.append(f"{model} is not the file that was counted")
    lines += [f"{model} is not shipped" for model in record["models"] if model not in hashes]
    return lines


def table(record: Mapping[str, Any]) -> str:
    """The record as the text of docs/benchmarks.md."""
    cores = list(BOARDS)
    reference = record["reference"]["network"]
    head = ["million instructions"] + [f"{core} ({BOARDS[core]})" for core in cores]
    counts = [[REFERENCE, *(_millions(reference[core]) for core in cores)]]
    times = [
        [f"{REFERENCE}, from published times", *(f"{reference_ms(core):.1f}" for core in cores)]
    ]
    for model, figures in record["models"].items():
        for what, words in (("network", "network alone"), ("call", "whole call")):
            row = figures[what]
            counts.append([f"{model}, {words}", *(_millions(row[core]) for core in cores)])
            ms = (projected_ms(row[core], reference[core], core) for core in cores)
            times.append([f"{model}, {words}", *(f"{value:.1f}" for value in ms)])
    times.append(["budget for one face", *(f"{BUDGET_MS[core]:.1f}" for core in cores)])
    face = record["models"][FACE_MODEL]["call"]
    shares = (projected_ms(face[c], reference[c], c) / BUDGET_MS[c] for c in cores)
    times.append([f"{FACE_MODEL}'s call, share of it", *(f"{share:.0%}" for share in shares)])
    boards = ["projected milliseconds, one core", *(BOARDS[core] for core in cores)]
    made_with = f"{record['runtime']}, {record['environment']}; QEMU {record['qemu']}."
    return "\n\n".join((made_with, _markdown(head, counts), _markdown(boards, times)))


def replaced(page: str, text: str) -> str:
    """A page with the part between :data:`BEGIN` and :data:`END` replaced.

    Raises:
        ValueError: The page does not have exactly one such part.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"not one part between {BEGIN!r} and {END!r}")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}"


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f}"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, [":--", *("--:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
