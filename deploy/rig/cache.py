"""What the rigs build once and keep outside the checkout, so that every clone here shares it.

Each part lies in ``$XDG_CACHE_HOME/mask-kiosk/rig`` (else ``~/.cache/mask-kiosk/rig``), in a folder
named after a hash of what went in: other inputs make another folder, the same are built once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import shutil
import subprocess  # lists of arguments made here, no shell # nosec B404
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

KEPT_DAYS = 14
"""A part that nobody used for so long goes when another of its name is built."""


UNAVAILABLE = 3
"""Exit code of a rig that cannot run here. Not 2, which Python gives for a script that is not
there: whoever takes a rig's absence for no failure must not take that for it."""


class BuildError(Exception):
    """Something that a rig needs cannot be made here; the text says what to do."""


def folder() -> Path:
    """Where all parts lie."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mask-kiosk" / "rig"


class Part:
    """Something that is built once for the same inputs.

    Attributes:
        label: The part's name and its hash.
        path: The result; it may not exist yet.
    """

    def __init__(
        self, name: str, result: str, inputs: Sequence[str], make: Callable[[Path, Path], None]
    ) -> None:
        """Describe a part.

        Args:
            name: Beginning of the folder's name: letters and digits.
            result: Name of the result in the folder.
            inputs: All that the result depends on.
            make: Makes the result in an empty folder; the second path is a log to write to.
        """
        key = hashlib.sha256("\0".join((name, result, *inputs)).encode()).hexdigest()[:12]
        self.label = f"{name}-{key}"
        self.path = folder() / self.label / result
        self._name = name
        self._make = make

    def built(self) -> Path:
        """The result, made now if it is missing; another process that makes it is waited for.

        Raises:
            BuildError: A step failed.
        """
        cache = folder()
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f"{self.label}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.path.exists():
                self._build(cache)
        os.utime(self.path.parent)  # in use: see KEPT_DAYS
        return self.path

    def _build(self, cache: Path) -> None:
        work = cache / f"{self.label}.work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        log = cache / f"{self.label}.log"
        log.write_text("", encoding="utf-8")
        print(f"building {self.label}, log: {log}", flush=True)
        begin, used = time.monotonic(), cpu_seconds()
        self._make(work, log)
        if not (work / self.path.name).exists():
            raise BuildError(f"{self.label}: built, but there is no {self.path.name}; log: {log}")
        work.rename(self.path.parent)
        took, cpu = time.monotonic() - begin, cpu_seconds() - used
        print(f"built {self.label} in {took:.0f} s ({cpu:.0f} s of processor time)", flush=True)
        self._sweep(cache)

    def _sweep(self, cache: Path) -> None:
        """Remove parts of the same name that were not used for long."""
        oldest = time.time() - KEPT_DAYS * 86_400
        for other in cache.glob(f"{self._name}-*"):
            if other.is_dir() and other != self.path.parent and other.stat().st_mtime < oldest:
                shutil.rmtree(other)


def cpu_seconds() -> float:
    """Processor time, user and system, of this process and of its children that have ended."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def run(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a command into a log.

    Args:
        command: Program and arguments.
        log: Gets the command and its output at the end.
        environment: All its environment variables; None: the present ones.

    Raises:
        BuildError: It failed.
    """
    with log.open("a", encoding="utf-8") as output:
        print(f"$ {' '.join(command)}", file=output, flush=True)
        code = subprocess.run(  # a list of arguments made here, no shell # nosec B603
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False
        ).returncode
    if code:
        last = " / ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:])
        raise BuildError(f"{command[0]} failed with {code}: {last} (all of it: {log})")
