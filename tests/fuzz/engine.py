"""Runs a target's cases in child processes, so that a crash or a hang is one more outcome."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.target import Target, Violation

HANG_S = 5.0
"""A case that takes longer has hung, if it does so twice: the machine may be busy elsewhere."""

START_S = 120.0
"""For a child to import what it needs, and to make the next case."""

BATCH = 2000
"""Cases per child: a leak in a library stays small, and hypothesis remembers every case."""

MEMORY_BYTES = 2 << 30
"""What a child may allocate; a model or a picture that asks for more must be refused."""

CONFIRMED = 10
"""Contained deaths that are tried again the way the kiosk does it, the first ones of each kind."""

SAVED = 20
"""Inputs that are kept for each kind of violation."""


@dataclass
class Summary:
    """What became of all cases."""

    target: str
    cases: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    saved: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        rate = self.cases / max(self.seconds, 1e-9)
        lines = [f"{self.target}: {self.cases} cases in {self.seconds:.0f} s, {rate:.0f} a second"]
        lines += [f"  {count:>7}  {kind}" for kind, count in self.outcomes.most_common()]
        lines += [f"  {count:>7}  WRONG: {kind}" for kind, count in self.violations.most_common()]
        lines += [f"  see {path}" for path in self.saved]
        lines.append(f"  {sum(self.violations.values())} violations")
        return "\n".join(lines)


@dataclass
class _Child:
    """A child at work, and how far it has come."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection
    is_second_try: bool
    content: bytes | None = None
    stage: str = ""


class Engine:
    """Fuzzes one target.

    Args:
        make: The target's class.
        seed: Of all its cases.
        folder: Where failing inputs are put, below a folder of the target's name.
        say: Gets a line now and then.
    """

    def __init__(
        self, make: type[Target], seed: int, folder: Path, say: Callable[[str], None] = print
    ) -> None:
        self._make = make
        self._target = make()
        self._seed = seed
        self._folder = folder / self._target.name
        self._say = say
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([make.__module__])
        self._summary = Summary(self._target.name)

    def run(self, cases: int) -> Summary:
        """Judge so many cases."""
        begin = time.monotonic()
        summary = self._summary
        said = 0
        while summary.cases < cases:
            room = BATCH - summary.cases % BATCH
            self._batch(summary.cases, min(room, cases - summary.cases))
            summary.seconds = time.monotonic() - begin
            if summary.cases // 10_000 > said:
                said = summary.cases // 10_000
                bad = sum(summary.violations.values())
                self._say(f"{summary.cases} cases, {summary.seconds:.0f} s, {bad} violations")
        return summary

    def _batch(self, start: int, count: int, again: bytes | None = None) -> None:
        """Judge up to ``count`` cases from number ``start`` on: until the child dies, or all.

        With ``again``, that input instead.
        """
        pipe, end = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(end, self._make, self._seed, start, count, again), daemon=True
        )
        process.start()
        end.close()
        child = _Child(process, pipe, again is not None)
        try:
            self._listen(child)
        finally:
            process.kill()
            process.join()
            pipe.close()

    def _listen(self, child: _Child) -> None:
        patience = START_S
        while True:
            if not child.pipe.poll(patience):
                self._hung(child)
                return
            try:
                kind, value = child.pipe.recv()
            except (EOFError, ConnectionResetError):
                child.process.join()
                self._died(child)
                return
            patience = HANG_S if kind in ("case", "stage") else START_S
            if kind == "case":
                child.content, child.stage = value, ""
            elif kind == "stage":
                child.stage = value
            elif kind == "outcome":
                self._count(value)
                child.content = None
            elif kind == "wrong":
                self._wrong(child.content or b"", *value)
                child.content = None
            elif kind == "broken":
                raise RuntimeError(f"the child broke down: {value}")
            else:
                return

    def _count(self, outcome: str) -> None:
        self._summary.cases += 1
        self._summary.outcomes[outcome] += 1

    def _hung(self, child: _Child) -> None:
        if child.content is None:
            raise RuntimeError("the child neither makes a case nor ends")
        if child.is_second_try:
            self._ended(child, f"hangs for more than {HANG_S:g} s")
        else:
            self._batch(self._summary.cases, 1, child.content)

    def _died(self, child: _Child) -> None:
        code = child.process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if child.content is None:
            raise RuntimeError(f"the child broke down before a case or between two: {how}")
        self._ended(child, f"dies of {how}")

    def _ended(self, child: _Child, how: str) -> None:
        assert child.content is not None
        if child.stage not in self._target.contained:
            self._wrong(child.content, f"the process {how} {child.stage}".strip(), "")
            return
        outcome = f"contained: {child.stage} {how}"
        if self._summary.outcomes[outcome] < CONFIRMED:
            try:
                self._target.confirm(child.content)
            except Violation as violation:
                self._wrong(child.content, violation.kind, str(violation))
                return
        self._count(outcome)

    def _wrong(self, content: bytes, kind: str, detail: str) -> None:
        self._summary.cases += 1
        self._summary.violations[kind] += 1
        if self._summary.violations[kind] > SAVED:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / (hashlib.sha256(content).hexdigest()[:16] + self._target.suffix)
        path.write_bytes(content)
        path.with_name(f"{path.name}.txt").write_text(f"{kind}\n{detail}\n", encoding="utf-8")
        self._summary.saved.append(path)


def _work(
    pipe: Connection,
    make: type[Target],
    seed: int,
    start: int,
    count: int,
    again: bytes | None,
) -> None:
    """What the child does; what libraries print is of no interest."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    target = make()
    target.enter = lambda stage: pipe.send(("stage", stage))

    def visit(content: bytes) -> None:
        pipe.send(("case", content))
        try:
            outcome = target.judge(content)
        except Violation as violation:
            pipe.send(("wrong", (violation.kind, str(violation))))
        except Exception as error:  # noqa: BLE001 - any exception is a finding here
            pipe.send(("wrong", (f"{type(error).__name__} escapes", traceback.format_exc())))
        else:
            pipe.send(("outcome", outcome))

    try:
        target.open()
        try:
            if again is None:
                target.cases(seed, start, count, visit)
            else:
                visit(again)
        finally:
            target.close()
    except BaseException:
        pipe.send(("broken", traceback.format_exc()))
        raise
    pipe.send(("end", None))
