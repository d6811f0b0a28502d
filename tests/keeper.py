"""A small systemd for one service: what ``mask-kiosk.service`` has it do, and a ``systemctl``.

ExecStartPre, the kiosk, READY and STATUS, ExecStartPost, Restart=always but for exit code 2. When
the kiosk ends during ExecStartPost, the unit stays as it was, without a process, until that command
has ended. The real one is met in the rig (docs/rig.md).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.services import PATIENCE_S, Systemd

SYSTEMCTL = """#!/bin/sh
case $1 in
show) exec cat "{folder}/show" ;;
restart) touch "{folder}/restart" ;;
esac
"""


class Keeper:
    """Keeps the kiosk running from :meth:`start` to :meth:`stop`.

    Attributes:
        environment: Of everything that it runs.
        starts: How often it started the kiosk.
        state: systemd's ActiveState.
        status: What the kiosk told last.
        log: What root's commands and the kiosk wrote.
    """

    def __init__(self, root: Path, folder: Path, settings: Path, environment: dict[str, str]):
        self.root, self.folder, self.settings = root, folder, settings
        self.starts, self.state, self.status, self.process = 0, "inactive", "", 0
        self._more, self._log = "dead", folder / "log"
        self._listener = Systemd(str(folder / "notify"))
        program = folder / "systemctl"
        program.write_text(SYSTEMCTL.format(folder=folder))
        program.chmod(0o755)
        self.environment = {
            **environment,
            "PATH": f"{folder}:{os.environ['PATH']}",
            "NOTIFY_SOCKET": "",
        }
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep)
        self._tell()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)
        self._listener.close()

    def wait_for(self, words: str) -> None:
        """Until the kiosk is active and its status has these words."""
        end = time.monotonic() + PATIENCE_S
        while not (self.state == "active" and words in self.status):
            assert time.monotonic() < end, f"{self.state}: {self.status}\n{self.log}"
            time.sleep(0.05)

    def command(self, *words: str | Path) -> list[str | Path]:
        return [sys.executable, "-m", "tests.model_kiosk", *words]

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """A command that somebody types."""
        return subprocess.run(
            self.command(*words), cwd=self.root, env=self._environ(), capture_output=True, text=True
        )

    def _environ(self, **more: str) -> dict[str, str]:
        return os.environ | self.environment | more

    def _keep(self) -> None:
        with self._log.open("a") as log:
            while not self._stopping.is_set():
                code = self._once(log)
                if code == 2:
                    self._tell("failed")
                    while not self._ordered() and not self._stopping.wait(0.05):
                        pass
        self._tell("inactive")

    def _once(self, log: object) -> int:
        self.starts += 1
        self.status = ""
        self._tell("activating", "start-pre")
        more = {"cwd": self.root, "stderr": log}
        subprocess.run(self.command("boot", "before-start"), env=self._environ(), **more)
        self._listener.received()
        environment = self._environ(NOTIFY_SOCKET=self._listener.address)
        kiosk = subprocess.Popen(
            self.command("run", "--settings", self.settings), env=environment, **more
        )
        self.process, after = kiosk.pid, None
        while kiosk.poll() is None:
            for message in self._listener.received():
                self.status = message[7:] if message.startswith("STATUS=") else self.status
                self._tell()
                if message == "READY=1":
                    command = self.command("boot", "ready")
                    after = subprocess.Popen(command, env=self._environ(), **more)
                    self._tell("activating", "start-post")
            if self.state == "activating" and after is not None and after.poll() is not None:
                self._tell("active", "running")
            if self._ordered() or self._stopping.wait(0.03):
                kiosk.terminate()
                if after is not None:
                    after.terminate()
                break
        kiosk.wait(PATIENCE_S)
        self.process = 0
        self._tell()
        if after is not None:
            while after.poll() is None:
                if self._ordered() or self._stopping.wait(0.03):
                    after.terminate()
                    after.wait(PATIENCE_S)
        return kiosk.returncode

    def _ordered(self) -> bool:
        try:
            (self.folder / "restart").unlink()
        except FileNotFoundError:
            return False
        return True

    def _tell(self, state: str | None = None, more: str | None = None) -> None:
        self.state, self._more = state or self.state, more or self._more
        shown = (
            f"LoadState=loaded\nActiveState={self.state}\nSubState={self._more}\nMainPID={self.process}\n"
            f"StatusText={self.status}\n"
        )
        new = self.folder / "show.new"
        new.write_text(shown)
        new.replace(self.folder / "show")
