"""Counts what the shipped models cost on a Raspberry Pi's processor, in instructions.

    python deploy/rig/cost.py            counts, and writes the figures into the documentation
    python deploy/rig/cost.py --check    whether the recorded figures still hold

``--check`` fails when a model costs over 2 % more than recorded. When models and runtime are those
that were counted, nothing can have changed, and it counts only where the counting QEMU is at hand;
else it is built. Exit codes: 0 all well, 1 a model costs more or has changed and cannot be counted,
3 nothing can be counted here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

import cost_figures as figures
import cost_qemu
from arm64_inputs import one_face
from arm64_system import CHECKOUT, DEVICE, UnfitError, environment, root
from cache import UNAVAILABLE, BuildError, Part
from cost_qemu import Counter
from edge_app.recording import write_atomically

GUEST = Path(__file__).with_name("cost_guest.py")
MODELS = CHECKOUT / "edge_app" / "models"
RECORD = CHECKOUT / "docs" / "pi-core-cost.json"
PAGE = CHECKOUT / "docs" / "benchmarks.md"
REFERENCE = CHECKOUT.parent / "shared" / "peers" / "imagenet_mobilenet_v2_1.0_224_int8.tflite"

FEW, MANY = 2, 10
"""Calls of the two runs that are subtracted. The first calls of a process prepare this and that."""


def main() -> int:
    """Count, and write or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument(
        "--reference", type=Path, default=REFERENCE, metavar="FILE.tflite", help=figures.REFERENCE
    )
    options = parser.parse_args()
    try:
        return check() if options.check else write(options.reference)
    except (BuildError, UnfitError) as error:
        print(f"rig: {error}", file=sys.stderr)
        return UNAVAILABLE


def write(reference: Path) -> int:
    """Count everything, and write the record and its part of the page."""
    if not reference.is_file():
        raise BuildError(f"no {reference}: name the file of {figures.REFERENCE}: --reference FILE")
    with tempfile.TemporaryDirectory(prefix="rig-cost-") as folder:
        counting = Counting(Path(folder))
        models = {
            name: {
                "sha256": sha256(path),
                "network": counting.network(path),
                "call": counting.call(name),
            }
            for name, path in shipped().items()
        }
        known = {"sha256": sha256(reference), "network": counting.network(reference)}
        runtime, environment = counting.said.split(", ", 1)
        record = {
            "runtime": runtime,
            "environment": environment,
            "qemu": counting.counter.version(),
            "reference": {"name": figures.REFERENCE, **known},
            "models": models,
        }
    page = figures.replaced(PAGE.read_text(encoding="utf-8"), figures.table(record))
    write_atomically(RECORD, (json.dumps(record, indent=1) + "\n").encode())
    write_atomically(PAGE, page.encode())
    print(figures.table(record))
    print(f"\nwritten: {RECORD.relative_to(CHECKOUT)}, {PAGE.relative_to(CHECKOUT)}")
    return 0


def check() -> int:
    """Whether the shipped models cost what is recorded."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    models = shipped()
    hashes = {name: sha256(path) for name, path in models.items()}
    changed = figures.stale(record, pinned_runtime(), hashes)
    for line in changed:
        print(f"cost: {line}")
    if not changed:
        print("cost: models and runtime are those that were counted: the recorded figures hold")
        if not all(part.path.exists() for part in parts()):
            print("cost: not counted again, no counting QEMU in the cache; make rig-cost builds it")
            return 0
    try:
        with tempfile.TemporaryDirectory(prefix="rig-cost-") as folder:
            counting = Counting(Path(folder))
            counted = {name: counting.network(path) for name, path in models.items()}
    except (BuildError, UnfitError) as error:
        if not changed:
            raise
        # Nobody knows what it costs now: no reason to let it pass.
        print(f"cost: FAIL: what changed cannot be counted here: {error}")
        return 1
    recorded = {name: model["network"] for name, model in record["models"].items()}
    for name, cores in counted.items():
        for core, count in cores.items():
            before = recorded.get(name, {}).get(core)
            beside = f" ({figures.growth(before, count):+.2%})" if before else ""
            print(f"cost: {name} on {core}: {count:,} instructions{beside}")
    dearer = figures.grown(recorded, counted)
    for line in dearer:
        print(f"cost: FAIL: {line}; if that is meant: make rig-cost, and commit what it writes")
    if changed and not dearer:
        print("cost: within 2 % of what is recorded; make rig-cost brings the record up to date")
    return 1 if dearer else 0


class Counting:
    """Counts calls of the device's code.

    Args:
        folder: Takes what it needs for that; empty.

    Attributes:
        said: Versions of what a call was counted with, as the guest prints them.
    """

    def __init__(self, folder: Path) -> None:
        self.counter = Counter(folder)
        self.said = ""
        self._scene = folder / "scene.npy"

    def network(self, model: Path) -> dict[str, int]:
        """Instructions of one inference, by core."""
        return self._count("network", str(model))

    def call(self, name: str) -> dict[str, int]:
        """The same for a whole call on a picture."""
        if not self._scene.exists():
            np.save(self._scene, one_face())
        return self._count("call", name, str(self._scene))

    def _count(self, *what: str) -> dict[str, int]:
        said = self.counter.prepare(next(iter(figures.BOARDS)), [str(GUEST), "0", *what])
        if what[0] == "call":
            self.said = said

        def one(core: str) -> int:
            few, many = (
                self.counter.count(core, [str(GUEST), str(calls), *what]) for calls in (FEW, MANY)
            )
            return figures.per_call(few, many, MANY - FEW)

        with ThreadPoolExecutor(len(figures.BOARDS)) as pool:
            counts = dict(zip(figures.BOARDS, pool.map(one, figures.BOARDS), strict=True))
        print(f"counted {' '.join(what[:2])}: {counts}", flush=True)
        return counts


def parts() -> list[Part]:
    """What counting needs."""
    system = cost_qemu.SYSTEM
    return [cost_qemu.counter(), root(system), environment(system, DEVICE)]


def shipped() -> dict[str, Path]:
    """The models that ship, by name."""
    return {path.stem: path for path in sorted(MODELS.glob("*.tflite"))}


def sha256(path: Path) -> str:
    """Hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pinned_runtime() -> str:
    """Name and version of the runtime that is pinned for the device."""
    for name in DEVICE.files:
        text = (CHECKOUT / name).read_text(encoding="utf-8")
        if found := re.search(r"^(ai-edge-litert)==(\S+)", text, re.MULTILINE):
            return f"{found[1]} {found[2]}"
    raise BuildError(f"no ai-edge-litert in {' and '.join(DEVICE.files)}")


if __name__ == "__main__":
    sys.exit(main())
