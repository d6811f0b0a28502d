"""``edge_app`` with other shipped models and keys: ``python -m tests.model_kiosk COMMAND ...``.

``boot`` as the first word is ``edge_app.store.boot``. The folders come from the environment, and
so does the version of a detector that misbehaves, in one of three ways: it makes the process
``crash`` on its third picture, ``hang`` on its first, or is ``refuse``d when it is opened. No
such model could pass a self-test, so the code is changed here instead.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from edge_app.vision import bundle

bundle.MODELS_DIR = Path(os.environ["TEST_SHIPPED"])

from edge_app.store import keys, service  # noqa: E402

keys.FOLDER = Path(os.environ["TEST_KEYS"])
service.HEALTHY_S, service.CALM_S, service.LOOK_S, service.WATCH_S = 15.0, 1.5, 0.25, 0.25
service.RUNS = Path("/")  # tests/keeper.py stands in for systemd


def misbehave(version: str, way: str) -> None:
    from edge_app.errors import BundleError
    from edge_app.vision.detector import BundleDetector

    begin, detect = BundleDetector.__init__, BundleDetector.detect
    seen = 0

    def opened(self: Any, bundle: Any, *rest: Any) -> None:
        if way == "refuse" and bundle.card.version == version:
            raise BundleError(f"{bundle.path}: refused by the test")
        begin(self, bundle, *rest)

    def looked(self: Any, image: Any) -> Any:
        nonlocal seen
        if self.bundle.card.version == version:
            seen += 1
            if way == "crash" and seen == 3:
                os.kill(os.getpid(), signal.SIGSEGV)
            if way == "hang":
                time.sleep(1000)
        return detect(self, image)

    BundleDetector.__init__, BundleDetector.detect = opened, looked


def wait_less(version: str) -> None:
    """Nobody has to wait long for what will never work; the one after it gets its full time."""
    wait, healthy_s = service.wait_until_healthy, service.HEALTHY_S

    def waited(name: str, wanted: str) -> Any:
        service.HEALTHY_S = 8.0 if wanted == version else healthy_s
        return wait(name, wanted)

    service.wait_until_healthy = waited


def main(arguments: list[str]) -> int:
    if arguments[0] == "boot":
        from edge_app.store.boot import main as boot

        return boot(arguments[1:])
    from edge_app.cli import main as edge_app

    if "TEST_BAD" in os.environ and arguments[0] == "run":
        misbehave(os.environ["TEST_BAD"], os.environ["TEST_WAY"])
    elif "TEST_BAD" in os.environ:
        wait_less(os.environ["TEST_BAD"])
    return edge_app(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
