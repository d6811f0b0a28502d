"""What Keras downloads is whole or not there, whatever stops it; the server is a real one."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("tensorflow", reason="the training half's packages are not installed")

import keras

from training.models import download
from training.models.download import whole_downloads

TIME_LIMIT = 200
"""Seconds after which a subprocess has hung."""

CONTENT = bytes(range(256)) * 2000

FETCH = """
import sys
import keras
from training.models.download import whole_downloads
with whole_downloads():
    keras.utils.get_file("net.h5", sys.argv[1], cache_subdir="models")
"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends everything, or half and then nothing until the server is told to go on."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2])
        if self.path == "/stalls":
            self.wfile.flush()
            self.server.go_on.wait(TIME_LIMIT)
            return
        self.wfile.write(CONTENT[len(CONTENT) // 2 :])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.go_on = threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(url: str, home: Path) -> Path:
    with whole_downloads():
        return Path(keras.utils.get_file("net.h5", url, cache_subdir="models", cache_dir=home))


def test_a_download_that_was_killed_is_made_again(server: str, tmp_path: Path, root: Path) -> None:
    home = tmp_path / "keras"
    (home / "models").mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-c", FETCH, f"{server}/stalls"],
        cwd=root, env={**os.environ, "KERAS_HOME": str(home)},
    )  # fmt: skip
    try:
        began = time.monotonic()
        while not any(file.stat().st_size for file in (home / "models").iterdir()):
            assert process.poll() is None
            assert time.monotonic() - began < TIME_LIMIT
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait(TIME_LIMIT) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    assert not (home / "models" / "net.h5").exists()
    assert fetch(f"{server}/whole", home).read_bytes() == CONTENT
    assert [path.name for path in (home / "models").iterdir()] == ["net.h5"]


def test_a_server_that_stalls_is_given_up_and_leaves_nothing(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "STALLED_S", 0.3)
    with pytest.raises(TimeoutError):
        fetch(f"{server}/stalls", tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_keras_is_as_before_afterwards(server: str, tmp_path: Path) -> None:
    from keras.src.utils import file_utils

    before = file_utils.urlretrieve
    fetch(f"{server}/whole", tmp_path)
    assert file_utils.urlretrieve is before
