"""Steps that run one after the other, each skipped when its result is already there.

A step that ended well leaves a stamp, written at once or not at all: its command, the hashes of
what it read, and the hashes of what it wrote. Only when all of these still hold is it skipped;
a step that was killed has no stamp and runs again.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_app.errors import DatasetError, KioskError
from edge_app.recording import write_atomically


def _nothing_more() -> None:
    """Most results are whole if their hashes are right."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the workstation.

    Attributes:
        name: Of the step, and of its stamp.
        command: Arguments of ``python -m training``.
        outputs: Files that it writes.
        inputs: What it reads, by name, as hashes.
        check: Raises a KioskError if what is there cannot be used.
    """

    name: str
    command: tuple[str, ...]
    outputs: tuple[Path, ...]
    inputs: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[], object] = _nothing_more

    @property
    def key(self) -> str:
        """One hash of the command and all that it reads."""
        text = json.dumps([self.command, dict(self.inputs)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def run_steps(steps: Iterable[Step], stamps: Path, execute: Callable[[list[str]], int]) -> int:
    """Run what is not done yet, up to the first failure.

    Args:
        steps: Taken one by one, so that a step may be made from what the one before it left.
        stamps: Folder of the stamps.
        execute: Runs a command and returns its exit code.

    Returns:
        0, or the exit code of the step that failed.

    Raises:
        OutputError: A stamp cannot be written.
    """
    for step in steps:
        if is_done(step, stamps):
            print(f"{step.name}: there already", flush=True)
            continue
        print(f"{step.name}: python -m training {shlex.join(step.command)}", flush=True)
        if code := execute(list(step.command)):
            print(f"{step.name}: failed with exit code {code}; the steps after it did not run")
            return code
        content = {"key": step.key, "command": step.command, "outputs": _hashes(step.outputs)}
        write_atomically(_stamp(step, stamps), json.dumps(content, indent=1).encode())
    return 0


def is_done(step: Step, stamps: Path) -> bool:
    """Whether a step ended well before, and nothing that it read or wrote has changed since.

    A damaged stamp counts as none.
    """
    try:
        stamp = json.loads(_stamp(step, stamps).read_text(encoding="utf-8"))
        key, outputs = stamp["key"], stamp["outputs"]
    except FileNotFoundError:
        return False
    except (ValueError, TypeError, KeyError) as error:
        print(f"{step.name}: {_stamp(step, stamps)} is damaged ({error!r})", flush=True)
        return False
    try:
        if key != step.key or outputs != _hashes(step.outputs):
            return False
        step.check()
    except (FileNotFoundError, KioskError):
        return False
    return True


def file_hash(path: Path) -> str:
    """sha256 of a file.

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror}") from None


def folder_hash(root: Path) -> str:
    """Hash of the names, sizes and times of change of all files below a folder.

    Raises:
        DatasetError: There is no such folder.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such data set folder")
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file():
            about = path.stat()
            line = f"{path.relative_to(root)}\0{about.st_size}\0{about.st_mtime_ns}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _hashes(paths: Iterable[Path]) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _stamp(step: Step, stamps: Path) -> Path:
    return stamps / f"{step.name}.json"
