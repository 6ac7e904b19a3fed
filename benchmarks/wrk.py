"""Closed-loop load by wrk: how many requests a second a server answers when it never rests."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import BenchmarkError, Command, cpu_seconds
from benchmarks.servers import Served

CONNECTIONS = 16
WARM_UP = 2.0  # seconds
# Until its rate no longer grows, for a server that compiles as it runs: Java does so for half a minute. By steps of so
# many seconds, until two of them in a row are no more than so much faster than the best one before.
STEP, GROWTH = 5.0, 1.03
SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Load:
    """One run of wrk."""

    rate: float  # requests answered per second
    p50: float  # latency, milliseconds
    p99: float
    cpu: float  # microseconds that a request took of the processors, in all the server's processes


def warm(served: Served, most: float) -> float:
    """Full load until the rate no longer grows, for `most` seconds at most. The seconds that it took."""
    best, spent, idle = 0.0, 0.0, 0
    while spent < most and idle < 2:
        step = min(STEP, most - spent)
        seen = run(served, step)
        rate = seen["requests"] / seen["seconds"]
        idle = 0 if rate > GROWTH * best else idle + 1
        best, spent = max(best, rate), spent + step
    return spent


def measure(served: Served, seconds: float, connections: int = CONNECTIONS, warm_up: float | None = WARM_UP) -> Load:
    """Full load, after a warm-up, if any. BenchmarkError unless every answer was good and none was lost."""
    if warm_up:
        run(served, warm_up, connections)
    before = cpu_seconds(served.processes)
    seen = run(served, seconds, connections)
    used = cpu_seconds(served.processes) - before
    rate = seen["requests"] / seen["seconds"]
    return Load(rate, seen["p50_ms"], seen["p99_ms"], used * 1e6 / seen["requests"])


def run(served: Served, seconds: float, connections: int = CONNECTIONS) -> dict[str, float]:
    """Sends the server's requests over and over: the figures that wrk.lua prints."""
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed: apt-get install -y wrk")
    options = ("-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(SCRIPT))
    with tempfile.NamedTemporaryFile("wb", prefix="benchmark-") as bodies:
        bodies.writelines(body + b"\n" for body in served.launch.bodies or (served.launch.body,))
        bodies.flush()
        command = Command(("wrk", *options, served.url), env={"WRK_BODIES": bodies.name})
        ran = subprocess.run(command.argv, env=command.environment(), capture_output=True, text=True)
    if ran.returncode:
        raise BenchmarkError(f"wrk: {ran.stderr.strip() or ran.stdout.strip()}")
    seen: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    if seen["errors"] or not seen["requests"]:
        raise BenchmarkError(f"{seen['errors']} of {seen['requests']} requests failed or were not 2xx")
    return seen
