"""What visitors of the status page cost the pipeline: ``make bench-web``.

The bundled clip's frames come at a camera's pace; a frame's latency runs from the moment it
is due until its decision stands. Four situations take short turns, so that a busy machine
disturbs all of them alike: nobody visits, one visitor looks at the page as a browser does, and
greedy ones in a process of their own ask as fast as they can; the same greedy ones at a page in
another process show what they cost any program on the machine. What is printed are medians over
the rounds. The pipeline's process has one core for itself and the server; the visitors have the
others. The server's share is the processor time that its thread took, which other programs
cannot disturb.

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
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edge_app.demo import CLIP
from edge_app.domain import Frame
from edge_app.pipeline import Pipeline, build_pipeline
from edge_app.settings import Settings, replace_settings
from edge_app.sinks.web import StatusPage
from edge_app.sources import open_source

HOST = "127.0.0.1"

CLIENTS = Path(__file__).with_name("web_clients.py")

VIEWER_PERIOD_S = {"/api/status.json": 1.0, "/preview.jpg": 0.5}
"""How often an open page asks, see edge_app/sinks/web/assets/app.js."""

WARM_UP_S = 1.0
"""The first frames of a turn are not counted: the visitors have to start."""


VIEWER = """
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
"""Asks as an open page does."""


@dataclass(frozen=True)
class Situation:
    """Who visits which page while the frames go through the pipeline."""

    name: str
    command: list[str]


def situations(page: int, decoy: int, clients: int, seconds: float) -> list[Situation]:
    """The situations, by the ports of the page and of a page in another process."""
    periods, many = json.dumps(VIEWER_PERIOD_S), f"{clients} greedy clients"
    viewer = [sys.executable, "-c", VIEWER, f"http://{HOST}:{page}", str(seconds), periods]

    def greedy(port: int) -> list[str]:
        return [sys.executable, str(CLIENTS), HOST, str(port), str(clients), str(round(seconds))]

    return [
        Situation("nobody", []),
        Situation("one viewer", viewer),
        Situation(f"{many}, elsewhere", greedy(decoy)),
        Situation(many, greedy(page)),
    ]


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


def started(page: StatusPage) -> threading.Thread:
    """The thread that serves a page, once it does."""
    server = threading.Thread(target=page.serve, daemon=True)
    server.start()
    while page.address is None:
        time.sleep(0.01)
    return server


def web_settings() -> Settings:
    """Settings with the page at a free port."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    return replace_settings(
        Settings(), {"web.enabled": True, "web.port": port, "detector.threads": 1}
    )


def serve_decoy() -> None:
    """Another page in another process, to tell what the clients cost from what serving costs."""
    page = StatusPage(web_settings())
    server = started(page)
    assert page.address is not None
    print(page.address[1], flush=True)
    server.join()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--decoy", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.decoy:
        serve_decoy()
        return
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})
    # Never on the pipeline's core, not even while they start.
    elsewhere = ["taskset", "--cpu-list", ",".join(map(str, cores[1:] or cores))]

    settings = web_settings()
    pipeline = build_pipeline(settings)
    with open_source(str(CLIP), settings.source) as source:
        frames = []
        while (frame := source.read()) is not None:
            frames.append(frame)
    page = StatusPage(settings)
    server = started(page)
    assert server.ident is not None
    server_clock = time.pthread_getcpuclockid(server.ident)
    decoy = subprocess.Popen(
        [*elsewhere, sys.executable, __file__, "--decoy"], stdout=subprocess.PIPE, text=True
    )
    assert decoy.stdout is not None
    try:
        plan = situations(
            settings.web.port, int(decoy.stdout.readline()), options.clients, options.seconds
        )
        results = {situation.name: Result() for situation in plan}
        for _ in range(options.rounds):
            for situation in plan:
                result, process = results[situation.name], None
                if situation.command:
                    command = [*elsewhere, *situation.command]
                    process = subprocess.Popen(command, stdout=subprocess.PIPE)
                before = time.clock_gettime(server_clock)
                result.turns.append(turn(pipeline, page, frames, options.fps, options.seconds))
                result.server_s += time.clock_gettime(server_clock) - before
                if process is not None:
                    result.answers.update(json.loads(process.communicate()[0]))
    finally:
        decoy.terminate()
        decoy.communicate()
        page.close()
        server.join()
    report(results, options.rounds * options.seconds)


@dataclass
class Result:
    """What one situation gave: latencies by turn, the server's time, the visitors' answers."""

    turns: list[list[float]] = field(default_factory=list)
    server_s: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)


def report(results: dict[str, Result], seconds: float) -> None:
    """Print the figures, and the ratios to the same round's turn with nobody."""
    base = [np.percentile(turn, [50, 99]) for turn in results["nobody"].turns]
    print(f"{'':30} {'p50 ms':>7} {'p99 ms':>7}  against nobody  server's share")
    for name, result in results.items():
        points = [np.percentile(turn, [50, 99]) for turn in result.turns]
        p50, p99 = np.median(points, axis=0)
        r50, r99 = np.median(np.array(points) / base, axis=0)
        share = result.server_s / seconds
        print(f"{name:30} {p50:7.2f} {p99:7.2f}    x{r50:.2f}, x{r99:.2f} {share:15.2%}")
    for name, result in results.items():
        if result.answers:
            rates = [f"{status}: {n / seconds:.1f}" for status, n in result.answers.most_common()]
            print(f"{name}, answers per second: {', '.join(rates)}")


if __name__ == "__main__":
    main()
