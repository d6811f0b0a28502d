"""One device of the rig: a User-Mode Linux process, a serial line to its agent, its lamps."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import selectors
import shutil
import signal
import subprocess  # a list of arguments made here, no shell # nosec B404
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamps import Change

MEMORY_MB = 512
"""As the smallest Raspberry Pi that the kiosk is meant for."""

MEMORY_FOLDER = "/dev/shm"  # noqa: S108 - see below # nosec B108
"""The device's memory is a file there: on a disk it would be slow."""

HELLO_S = 90.0
"""A start takes about 4 s; so long on a busy machine."""

COMMAND_S = 60.0
SETTLE_S = 0.3
PUMP_S = 0.1

KERNEL_ARGUMENTS = (
    f"mem={MEMORY_MB}M",
    "root=/dev/ubda",
    "rootfstype=ext4",
    "rw",
    # Faster, where the kernel knows it and the host allows it; else processes are traced.
    "seccomp=auto",
    "con=null",
    "con0=fd:0,fd:1",
    "loglevel=4",
    "vivid.n_devs=1",
    # One node, which captures, with one input, a webcam: what a USB camera is.
    "vivid.node_types=0x1",
    "vivid.num_inputs=1",
    "vivid.input_types=0x0",
)


class RigError(Exception):
    """The device did not do what the rig needs; the text says what."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command in the device gave; times are seconds on the device's clock."""

    code: int
    output: str
    began: float
    ended: float


class Machine:
    """A device that can be switched on, asked, and cut from power.

    Its disk outlives a power cut: :meth:`start` boots what was written until then.

    Attributes:
        share: A folder that the device sees, and only reads, as ``/rig``.
        changes: What the lamps did since the start.
        cpu_seconds: Processor time of the host that it has used, counted when it is switched off.
    """

    def __init__(
        self,
        kernel: Path,
        image: Path,
        folder: Path,
        pins: Sequence[int],
        arguments: Sequence[str] = (),
    ) -> None:
        """Prepare a device with a fresh disk.

        Args:
            kernel: The User-Mode Linux program.
            image: The root file system; it is not changed.
            folder: For the disk's changes, the console's text and the shared files.
            pins: GPIO numbers of the lamps.
            arguments: More of the kernel's.
        """
        self.share = folder / "share"
        self.share.mkdir(parents=True)
        self.changes: list[Change] = []
        self.cpu_seconds = 0.0
        self._kernel = kernel
        self._image = image
        self._changed = folder / "disk.cow"
        self._console = folder / "console.log"
        self._pins = pins
        self._arguments = arguments
        self._ids = itertools.count(1)
        self._replies: dict[int, Reply] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._orders = self._answers = -1
        self._unread = b""
        self._hello = False
        for script in (Path(__file__).resolve().parent / "guest").glob("*.py"):
            shutil.copy(script, self.share)
        (self.share / "agent.json").write_text(json.dumps({"pins": list(pins)}))

    def new(self, folder: Path) -> Machine:
        """Another device, switched off, on whose disk is what was on this one's at first."""
        return Machine(self._kernel, self._image, folder, self._pins, self._arguments)

    def share_with(self, other: Machine) -> None:
        """Give what is in this one's shared folder now to another device."""
        for entry in self.share.iterdir():
            if entry.is_dir():
                shutil.copytree(entry, other.share / entry.name, copy_function=os.link)
            else:
                shutil.copy(entry, other.share)

    def twins(self, folders: Sequence[Path]) -> list[Machine]:
        """More devices, switched off, with what is on this one's disk and in its folder now."""
        others = [self.new(folder) for folder in folders]
        self.must("sync")
        process = self._running()
        # It stands still while its disk is copied: what was in the middle of being written is lost
        # as in a power cut. The requests that it handed over before end in a moment.
        os.kill(process.pid, signal.SIGSTOP)
        try:
            time.sleep(SETTLE_S)
            for other in others:
                copy = ["cp", "--sparse=always", "--reflink=auto", str(self._changed)]
                subprocess.run(  # a list of arguments made here, no shell # nosec B603
                    [*copy, str(other._changed)], check=True
                )
        finally:
            os.kill(process.pid, signal.SIGCONT)
        for other in others:
            self.share_with(other)
        return others

    def start(self) -> None:
        """Switch on and wait for the agent.

        Raises:
            RigError: It does not answer; the console's text says why.
        """
        guest_in, self._orders = os.pipe()
        self._answers, guest_out = os.pipe()
        self.changes, self._hello, self._unread = [], False, b""
        disk = f"ubd0={self._changed},{self._image}"
        command = [
            str(self._kernel),
            disk,
            f"hostfs={self.share}",
            *KERNEL_ARGUMENTS,
            *self._arguments,
        ]
        command.append(f"ssl0=fd:{guest_in},fd:{guest_out}")
        environment = dict(os.environ, TMPDIR=MEMORY_FOLDER)
        with self._console.open("ab") as console:
            self._process = subprocess.Popen(  # a list of arguments made here, no shell # nosec B603
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=(guest_in, guest_out),
                start_new_session=True,
            )
        os.close(guest_in)
        os.close(guest_out)
        if not self.wait(lambda: self._hello, HELLO_S):
            raise RigError(f"the device does not start; its console: {self._console}")

    def cut(self) -> None:
        """Take the power away: nothing in the device gets a moment to write or say anything."""
        if self._process is None:
            return
        os.killpg(self._process.pid, signal.SIGKILL)
        _, self._process.returncode, used = os.wait4(self._process.pid, 0)
        self.cpu_seconds += used.ru_utime + used.ru_stime
        self._process = None
        os.close(self._orders)
        os.close(self._answers)
        self._wait_for_disk()

    def _wait_for_disk(self) -> None:
        """Until the last of the device's threads is gone: it holds the lock on the disk."""
        end = time.monotonic() + COMMAND_S
        with self._changed.open("r+b") as disk:
            while True:
                try:
                    fcntl.lockf(disk, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except OSError:
                    if time.monotonic() >= end:
                        raise RigError(f"{self._changed}: is still in use") from None
                    time.sleep(PUMP_S)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RigError("the device is switched off")
        return self._process

    def send(self, *argv: str, stdin: str = "", timeout: float = COMMAND_S) -> int:
        """Begin a command; its reply is fetched with :meth:`reply`."""
        number = next(self._ids)
        order = {"id": number, "argv": argv, "stdin": stdin, "timeout": timeout}
        os.write(self._orders, (json.dumps(order) + "\n").encode())
        return number

    def reply(self, number: int, timeout: float = COMMAND_S) -> Reply:
        """Wait for the reply to a command.

        Raises:
            RigError: There is none in time, or the device is gone.
        """
        if not self.wait(lambda: number in self._replies, timeout + 5):
            raise RigError(f"no reply to a command within {timeout:g} s")
        return self._replies.pop(number)

    def call(self, *argv: str, stdin: str = "", timeout: float = COMMAND_S) -> Reply:
        """Run a command, whatever its exit code.

        Raises:
            RigError: There is no reply in time, or the device is gone.
        """
        return self.reply(self.send(*argv, stdin=stdin, timeout=timeout), timeout)

    def must(self, *argv: str, stdin: str = "") -> Reply:
        """Run a command that has to succeed.

        Raises:
            RigError: It failed.
        """
        reply = self.call(*argv, stdin=stdin)
        if reply.code:
            raise RigError(f"{' '.join(argv)} gave {reply.code}: {reply.output.strip()}")
        return reply

    def write(self, path: str, text: str) -> Reply:
        """Write a file of the device (also one of sysfs)."""
        return self.must("sh", "-c", 'cat > "$0"', path, stdin=text)

    def wait(self, true: Callable[[], bool], timeout: float) -> bool:
        """Listen to the device until something is true; whether it came true in time."""
        end = time.monotonic() + timeout
        while not true():
            if time.monotonic() >= end:
                return False
            self._pump()
        return True

    def listen(self, seconds: float) -> None:
        """Let the device work for some time."""
        self.wait(lambda: False, seconds)

    def _pump(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            if not selector.select(PUMP_S):
                return
        data = os.read(self._answers, 65536)
        if not data:
            raise RigError(f"the device is gone; its console: {self._console}")
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        if "hello" in message:
            self._hello = True
        elif "lamps" in message:
            self.changes.append(Change(message["time"], tuple(message["lamps"])))
        else:
            number = message.pop("id")
            self._replies[number] = Reply(**message)
