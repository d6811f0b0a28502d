"""``gate``: refuse a bundle that is worse than the one that ships.

    python -m training gate new.tflite --against mask_classifier --data DATA/kaggle853 --split test

Both bundles judge the same faces (or pictures). For every data set and class the recalls are
subtracted, with a 95 % interval by a paired bootstrap in which near-duplicates are drawn
together; the new bundle is refused (exit code 1) where that whole interval lies below zero. A
detector is refused for a lower average precision, a lower recall or more false alarms, the last
two at its own threshold, by the same rule. What
has too few independent pictures to tell is shown and refuses nothing; if nothing can be told,
the bundle is refused too. The report goes to ``build/gate/NAME.json`` and ``NAME.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.evaluation.options import add_split_options

if TYPE_CHECKING:
    from edge_app.vision.bundle import Bundle
    from training.metrics.paired import Difference

OUT = Path("build/gate")
"""Where the report goes unless ``--out`` says otherwise."""

WORSE, PASSES, UNKNOWN = "worse", "passes", "too few"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the gate's table.

    Attributes:
        what: Data set and figure.
        difference: The two models' figures, and what separates them.
        lower_is_better: Whether the new figure should be small (false alarms).
    """

    what: str
    difference: Difference
    lower_is_better: bool = False

    @property
    def verdict(self) -> str:
        """``worse``, ``passes`` or ``too few``."""
        interval = self.difference.interval
        if interval is None:
            return UNKNOWN
        worse = interval.low > 0 if self.lower_is_better else interval.high < 0
        return WORSE if worse else PASSES


def add_parser(subparsers: Any) -> None:
    """Add ``gate`` to the command line."""
    parser = subparsers.add_parser(
        "gate",
        help="refuse a bundle that is worse than the shipped one",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", help="the new bundle: path of a .tflite with its card")
    parser.add_argument(
        "--against", required=True, metavar="BUNDLE", help="the bundle to beat: a path or a name"
    )
    parser.add_argument(
        "--data", nargs="+", type=Path, default=[], metavar="DIR", help="data sets to judge on"
    )
    add_split_options(parser)
    parser.add_argument(
        "--negatives",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="detectors: pictures without people, where every detection is a false alarm",
    )
    parser.add_argument(
        "--boxes", type=Path, metavar="FILE", help="classifiers: boxes of class folders"
    )
    parser.add_argument(
        "--detector", metavar="BUNDLE", help="classifiers: finds the faces --boxes does not have"
    )
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="where reports go")
    parser.set_defaults(run_command=run)


def run(args: argparse.Namespace) -> int:
    """Entry point of ``gate``: 0 the new bundle may ship, 1 it is refused."""
    import cv2

    from edge_app.errors import UsageError
    from edge_app.vision.bundle import find_bundle, load_bundle, read_card
    from training.evaluation.division import picker_for
    from training.evaluation.report import problems_text, write_report
    from training.gate_data import compare_classifiers, compare_detectors

    cv2.setNumThreads(1)
    if not args.data and not args.negatives:
        raise UsageError("nothing to judge on: give --data DIR (or, for a detector, --negatives)")
    task = read_card(find_bundle(args.bundle)).task
    new, old = load_bundle(args.bundle, task), load_bundle(args.against, task)
    picker = picker_for(args, [new.card, old.card], args.negatives)
    compare = compare_classifiers if task == "classify" else compare_detectors
    found = compare(new, old, args, picker)
    refused = refusals(found)
    problems = [
        {"file": p.file, "reason": p.reason, "severity": str(p.severity)}
        for p in dict.fromkeys(picker.problems)
    ]
    markdown = f"{gate_markdown(new, old, found, refused)}\n{problems_text(problems)}"
    content = {
        "new": {"name": new.card.name, "sha256": new.card.sha256},
        "old": {"name": old.card.name, "sha256": old.card.sha256},
        "split": "all" if picker.listed is None else "test",
        "seed": args.seed,
        "comparisons": [
            {"what": c.what, "verdict": c.verdict, **asdict(c.difference)} for c in found
        ],
        "refused": refused,
        "problems": problems,
    }
    files = write_report(args.out, new.card.name, content, markdown)
    print(markdown)
    print(f"written: {', '.join(map(str, files))}")
    print(f"refused: {'; '.join(refused)}" if refused else "passed: may ship")
    return 1 if refused else 0


def refusals(found: Sequence[Comparison]) -> list[str]:
    """Why a bundle may not ship, one reason each; empty if it may."""
    if all(c.verdict == UNKNOWN for c in found):
        return ["too few independent pictures to judge anything: give more data"]
    return [f"worse on {c.what}" for c in found if c.verdict == WORSE]


def gate_markdown(
    new: Bundle, old: Bundle, found: Sequence[Comparison], refused: Sequence[str]
) -> str:
    """The gate's table for people."""
    from training.evaluation.report import table

    rows: list[list[object]] = []
    for c in found:
        d, gap = c.difference, "-"
        if d.interval is not None:
            low, high = 100 * d.interval.low, 100 * d.interval.high
            gap = f"{100 * (d.new - d.old):+.1f} ({low:+.1f}..{high:+.1f})"
        rows.append([c.what, d.samples, d.groups, f"{100 * d.old:.1f}", f"{100 * d.new:.1f}", gap])
        rows[-1].append(f"**{WORSE}**" if c.verdict == WORSE else c.verdict)
    head = ["percent of", "number", "groups", "shipped", "new", "difference", "verdict"]
    return "\n".join(
        [
            f"# {new.card.name}: {'refused' if refused else 'passed'}\n",
            f"New `{new.path}` ({new.card.sha256[:12]}) against `{old.path}` "
            f"({old.card.sha256[:12]}); differences with 95 % intervals.\n",
            table(head, rows),
        ]
    )
