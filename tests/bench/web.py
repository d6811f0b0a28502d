"""What visitors of the status page cost the pipeline: ``make bench-web``.

The bundled clip's frames come at a camera's pace; a frame's latency runs from the moment it
is due until its decision stands. Three situations take short turns, so that a busy machine
disturbs all of them alike: nobody visits, one visitor looks at the page as a browser does, and
greedy ones in a process of their own ask as fast as they can. What is printed are
medians over the rounds. The pipeline's process has one core for itself and the server; the
visitors have the others. The server's share is the processor time that its thread took, which
other programs cannot disturb.

PYTHONPATH=. python tests/bench/web.py [--clients N] [--rounds N] [--seconds S] [--fps F]
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_app.demo import CLIP
from edge_app.domain import Frame
from edge_app.pipeline import Pipeline, build_pipeline
from edge_app.settings import Settings, replace_settings
from edge_app.sinks.web import StatusPage
from edge_app.sources import open_source

CLIENTS = Path(__file__).with_name("web_clients.py")

VIEWER_PERIOD_S = {"/api/status.json": 1.0, "/preview.jpg": 0.5}
"""How often an open page asks, see edge_app/sinks/web/assets/app.js."""

WARM_UP_S = 1.0
"""The first frames of a turn are not counted: the visitors have to start."""


class Viewer:
    """Asks as an open page does, from a process of its own."""

    CODE = """
import json, sys, time, urllib.request
url, seconds, periods = sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3])
end, due, count = time.monotonic() + seconds, dict.fromkeys(periods, 0.0), {}
while time.monotonic() < end:
    for path, period in periods.items():
        if time.monotonic() >= due[path]:
            due[path] = time.monotonic() + period
            with urllib.request.urlopen(url + path) as answer:
                answer.read()
            count[str(answer.status)] = count.get(str(answer.status), 0) + 1
    time.sleep(0.02)
print(json.dumps(count))
"""


def visitors(situation: str, page: StatusPage, clients: int, seconds: float) -> list[str] | None:
    """The command that plays the visitors of a situation."""
    assert page.address is not None
    host, port = page.address
    if situation == "nobody":
        return None
    if situation == "one viewer":
        url = f"http://{host}:{port}"
        periods = json.dumps(VIEWER_PERIOD_S)
        return [sys.executable, "-c", Viewer.CODE, url, str(seconds), periods]
    return [sys.executable, str(CLIENTS), host, str(port), str(clients), str(round(seconds))]


def turn(
    pipeline: Pipeline, page: StatusPage, frames: list[Frame], fps: float, seconds: float
) -> list[float]:
    """Latencies in milliseconds of the frames that come in so many seconds."""
    latencies: list[float] = []
    begin, number = time.monotonic(), 0
    while (due := begin + number / fps) < begin + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        # The clip repeats, but time goes on: as a camera's would.
        frame = replace(frames[number % len(frames)], time=due, index=number)
        observation = pipeline.step(frame)
        page.handle(observation, frame)
        if due - begin >= WARM_UP_S:
            latencies.append((time.monotonic() - due) * 1000)
        number += 1
    return latencies


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--fps", type=float, default=15)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    others = cores[1:] or cores
    os.sched_setaffinity(0, {cores[0]})

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = replace_settings(
        Settings(), {"web.enabled": True, "web.port": port, "detector.threads": 1}
    )
    pipeline = build_pipeline(settings)
    with open_source(str(CLIP), settings.source) as source:
        frames = []
        while (frame := source.read()) is not None:
            frames.append(frame)
    page = StatusPage(settings)
    server = threading.Thread(target=page.serve)
    server.start()
    while page.address is None:
        time.sleep(0.01)

    situations = ("nobody", "one viewer", f"{options.clients} greedy clients")
    latencies: dict[str, list[list[float]]] = {name: [] for name in situations}
    answers: dict[str, Counter[str]] = {name: Counter() for name in situations}
    shares: dict[str, list[float]] = {name: [] for name in situations}
    assert server.ident is not None
    server_clock = time.pthread_getcpuclockid(server.ident)
    try:
        for _ in range(options.rounds):
            for name in situations:
                command = visitors(name, page, options.clients, options.seconds)
                process = None
                if command is not None:
                    # Never on the pipeline's core, not even while it starts.
                    pinned = ["taskset", "--cpu-list", ",".join(map(str, others)), *command]
                    process = subprocess.Popen(pinned, stdout=subprocess.PIPE)
                before = time.clock_gettime(server_clock)
                latencies[name].append(turn(pipeline, page, frames, options.fps, options.seconds))
                used = time.clock_gettime(server_clock) - before
                shares[name].append(used / options.seconds)
                if process is not None:
                    out, _ = process.communicate()
                    answers[name].update(json.loads(out))
    finally:
        page.close()
        server.join()
    report(latencies, shares, answers, options.rounds * options.seconds)


def report(
    latencies: dict[str, list[list[float]]],
    shares: dict[str, list[float]],
    answers: dict[str, Counter[str]],
    seconds: float,
) -> None:
    base = latencies["nobody"]
    print(
        f"{'':20} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}   p50, p99 against nobody   "
        "server's share"
    )
    for name, rounds in latencies.items():
        p50, p99 = np.median([np.percentile(mine, [50, 99]) for mine in rounds], axis=0)
        ratios = [
            np.percentile(mine, [50, 99]) / np.percentile(theirs, [50, 99])
            for mine, theirs in zip(rounds, base, strict=True)
        ]
        r50, r99 = np.median(ratios, axis=0)
        share = float(np.mean(shares[name]))
        worst = max(map(max, rounds))
        print(
            f"{name:20} {p50:8.2f} {p99:8.2f} {worst:8.2f}   x{r50:.2f}, x{r99:.2f} {share:19.2%}"
        )
    for name, counts in answers.items():
        if counts:
            rates = ", ".join(f"{status}: {n / seconds:.1f}" for status, n in counts.most_common())
            print(f"{name}, answers per second: {rates}")


if __name__ == "__main__":
    main()
