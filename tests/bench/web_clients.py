"""Greedy visitors for ``web.py``: each asks again as soon as it has its answer.

python tests/bench/web_clients.py HOST PORT CLIENTS SECONDS

Prints one JSON object: how many answers of each status came, and how many connections failed.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections import Counter

PATHS = ("/", "/preview.jpg", "/api/status.json")
TIMEOUT_S = 5.0


def ask(host: str, port: int, path: str) -> str:
    """The status of one answer, read to its end, or the error's name."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as sock:
            sock.sendall(request.encode())
            answer = bytearray()
            while received := sock.recv(65536):
                answer += received
    except OSError as error:
        return type(error).__name__
    return answer[9:12].decode() or "nothing"


def main() -> None:
    host, port, clients, seconds = sys.argv[1], *map(int, sys.argv[2:5])
    end = time.monotonic() + seconds
    counts: Counter[str] = Counter()
    lock = threading.Lock()

    def be_greedy(number: int) -> None:
        mine: Counter[str] = Counter()
        while time.monotonic() < end:
            mine[ask(host, port, PATHS[number % len(PATHS)])] += 1
            number += 1
        with lock:
            counts.update(mine)

    threads = [threading.Thread(target=be_greedy, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
