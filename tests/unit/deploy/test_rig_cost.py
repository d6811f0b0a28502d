"""What instruction counts say: parsing, projection, the two percent, the table in the docs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

COUNTED = """\
cpu 0 insns: 1234567
cpu 1 insns: 12
total insns: 1234579
"""


@pytest.fixture(scope="module")
def cost(root: Path) -> ModuleType:
    path = root / "deploy" / "rig" / "cost_figures.py"
    spec = importlib.util.spec_from_file_location("rig_cost_figures", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def record(root: Path) -> Any:
    return json.loads((root / "docs" / "pi-core-cost.json").read_text(encoding="utf-8"))


def both(count: int) -> dict[str, int]:
    return {"cortex-a72": count, "cortex-a76": count}


def test_the_total_of_all_threads_is_the_count(cost: ModuleType) -> None:
    assert cost.parse_count(COUNTED) == 1_234_579


@pytest.mark.parametrize("text", ["", "cpu 0 insns: 12\n", COUNTED + COUNTED])
def test_no_single_total_is_no_count(cost: ModuleType, text: str) -> None:
    with pytest.raises(ValueError, match="no single count"):
        cost.parse_count(text)


def test_what_both_runs_do_cancels_out(cost: ModuleType) -> None:
    assert cost.per_call(5_000_100, 5_000_900, 8) == 100


def test_a_longer_run_that_takes_no_more_is_refused(cost: ModuleType) -> None:
    with pytest.raises(ValueError, match="8 more calls took -3"):
        cost.per_call(10, 7, 8)


def test_one_core_of_a_pi_is_worked_out_from_the_published_times(cost: ModuleType) -> None:
    # 17 ms on four cores of a Pi 4; EfficientDet-Lite0 takes 197.8 on one and 78.0 on four there,
    # and 44.2 on one core of a Pi 5.
    assert cost.reference_ms("cortex-a72") == pytest.approx(17 * 197.8 / 78.0)
    assert cost.reference_ms("cortex-a76") == pytest.approx(17 * 44.2 / 78.0)


def test_half_the_instructions_are_half_the_time(cost: ModuleType) -> None:
    whole = cost.projected_ms(100, 100, "cortex-a76")
    assert whole == pytest.approx(cost.reference_ms("cortex-a76"))
    assert cost.projected_ms(50, 100, "cortex-a76") == pytest.approx(whole / 2)


def test_two_percent_more_pass_and_a_little_over_does_not(cost: ModuleType) -> None:
    recorded = {"a": both(1_000_000)}
    assert cost.grown(recorded, {"a": both(1_020_000)}) == []
    assert cost.grown(recorded, {"a": both(500_000)}) == []
    lines = cost.grown(recorded, {"a": {"cortex-a72": 1_000_000, "cortex-a76": 1_021_000}})
    assert lines == ["a on cortex-a76: 1,021,000 instructions, +2.1% beside the recorded 1,000,000"]


def test_a_model_without_a_figure_is_no_pass(cost: ModuleType) -> None:
    assert len(cost.grown({"a": both(1)}, {"b": both(1)})) == 2


def test_figures_hold_for_the_very_files_and_the_runtime_that_were_counted(
    cost: ModuleType,
) -> None:
    known = {"runtime": "r 1", "models": {"a": {"sha256": "1"}, "b": {"sha256": "2"}}}
    assert cost.stale(known, "r 1", {"a": "1", "b": "2"}) == []
    assert cost.stale(known, "r 2", {"a": "1", "b": "2"}) == ["recorded for r 1, pinned is r 2"]
    assert cost.stale(known, "r 1", {"a": "1", "b": "3"}) == ["b is not the file that was counted"]
    assert cost.stale(known, "r 1", {"a": "1"}) == ["b is not shipped"]
    assert cost.stale(known, "r 1", {"a": "1", "b": "2", "c": "3"}) == [
        "c is not the file that was counted"
    ]


def test_only_the_part_between_the_marks_is_replaced(cost: ModuleType) -> None:
    page = f"before\n{cost.BEGIN}\n\nold\n\n{cost.END}\nafter\n"
    assert cost.replaced(page, "new") == f"before\n{cost.BEGIN}\n\nnew\n\n{cost.END}\nafter\n"


@pytest.mark.parametrize("marks", ["", "{0}", "{1}{0}", "{0}{1}{0}{1}"])
def test_a_page_without_its_marks_is_not_written(cost: ModuleType, marks: str) -> None:
    with pytest.raises(ValueError, match="not one part between"):
        cost.replaced(marks.format(cost.BEGIN, cost.END), "new")


def test_the_docs_show_what_is_recorded(cost: ModuleType, root: Path, record: Any) -> None:
    page = (root / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert cost.replaced(page, cost.table(record)) == page, "run: make rig-cost"


def test_what_is_recorded_is_a_measurement_of_every_model_on_both_cores(
    cost: ModuleType, record: Any
) -> None:
    assert set(record["reference"]["network"]) == set(cost.BOARDS)
    for figures in record["models"].values():
        for core in cost.BOARDS:
            # A whole call includes the network.
            assert 0 < figures["network"][core] < figures["call"][core]
