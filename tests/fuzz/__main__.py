"""python -m tests.fuzz TARGET --cases 100000 --seed 0"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from tests.fuzz.engine import Engine
from tests.fuzz.target import Target

TARGETS = ("settings", "cards", "models", "videos", "mqtt", "http")

FOLDER = Path("build") / "fuzz"


def target_class(name: str) -> type[Target]:
    """The class in ``tests/fuzz/NAME.py``."""
    module = importlib.import_module(f"tests.fuzz.{name}")
    found: type[Target] = module.TARGET
    return found


def main() -> int:
    """Fuzz one target or judge one saved input; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--input", type=Path, help="only this saved input, in this process")
    options = parser.parse_args()
    make = target_class(options.target)
    if options.input is not None:
        target = make()
        target.open()
        target.enter = lambda stage: print(f"{stage} ...", flush=True)
        print(target.judge(options.input.read_bytes()))
        target.close()
        return 0
    summary = Engine(make, options.seed, FOLDER).run(options.cases)
    print(summary)
    return 1 if summary.violations else 0


if __name__ == "__main__":
    sys.exit(main())
