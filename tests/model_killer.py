"""Kills ``models install`` at a step: ``python -m tests.model_killer STORE KEYS SHIPPED``.

Reads orders, a line each: COMMAND (``install`` or ``rollback``), BUNDLE or NAME, WAY and N, with
tabs between them. Each is carried out in a child of its own (forked, so that no Python starts), in
which the N-th call of the operating system that changes or reads the store ends it: ``before`` the
call, in the middle of a write (``torn``), ``after`` it; or ``stop``s it before the call, for
whoever wants to look at the disk at that moment. Answers ``killed CALL``, ``stopped CALL PID`` or
``finished``, and ``over`` once the child is gone.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_app.errors import KioskError
from edge_app.store import install as installing
from edge_app.store import service
from edge_app.vision import bundle

CALLS = (
    *("open", "write", "fsync", "fchmod", "chmod", "close"),
    *("mkdir", "rename", "replace", "unlink", "rmdir"),
)


def arm(way: str, number: int, tell: Callable[[str], None]) -> None:
    """Make the N-th call the last one of this process."""
    count = 0

    def end(name: str) -> None:
        if way == "stop":
            tell(f"stopped {name} {os.getpid()}")
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            tell(f"killed {name}")
        os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count != number:
                return real(*arguments, **more)
            if way == "torn" and name == "write":
                real(arguments[0], arguments[1][: len(arguments[1]) // 2])
            try:
                if way == "after":
                    real(*arguments, **more)
            finally:
                end(name)
            return None

        return call

    for name in CALLS:
        setattr(os, name, wrapped(name, getattr(os, name)))


def obey(command: str, what: Path, way: str, number: int, folders: tuple[Path, Path]) -> None:
    """Carry out an order as far as it gets; never returns."""
    write, (store, keys) = os.write, folders

    def tell(text: str) -> None:
        write(1, f"{text}\n".encode())

    arm(way, number, tell)
    try:
        if command == "install":
            installing.install(what, store, keys, io.StringIO(), lambda *_: "")
        else:
            installing.rollback(what.name, store, io.StringIO())
        tell("finished")
    except KioskError as error:
        tell(f"failed {error}")
    finally:
        os._exit(0)


def main(store: Path, keys: Path, shipped: Path) -> None:
    bundle.MODELS_DIR = shipped
    service.look = lambda: None
    for line in sys.stdin:
        command, what, way, number = line.rstrip("\n").split("\t")
        child = os.fork()
        if child == 0:
            obey(command, Path(what), way, int(number), (store, keys))
        os.waitpid(child, 0)
        os.write(1, b"over\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
