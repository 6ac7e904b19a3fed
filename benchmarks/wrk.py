"""Closed-loop load by wrk: how many requests a second a server answers when it never rests."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import BenchmarkError, Command

CONNECTIONS = 16
SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Load:
    """One run of wrk: requests answered, how many a second, and latencies in milliseconds."""

    requests: int
    rate: float
    p50: float
    p99: float


def measure(url: str, body: bytes, seconds: float, connections: int = CONNECTIONS) -> Load:
    """POST `body` as JSON over and over; BenchmarkError unless every answer was 2xx and none was lost."""
    if not shutil.which("wrk"):
        raise SystemExit("wrk is not installed: apt-get install -y wrk")
    options = ("-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(SCRIPT))
    command = Command(("wrk", *options, url), env={"WRK_BODY": body.decode()})
    ran = subprocess.run(command.argv, env=command.environment(), capture_output=True, text=True)
    if ran.returncode:
        raise BenchmarkError(f"wrk: {ran.stderr.strip() or ran.stdout.strip()}")
    seen = json.loads(ran.stdout.splitlines()[-1])
    if seen["errors"]:
        raise BenchmarkError(f"{seen['errors']} of {seen['requests']} requests failed or were not 2xx")
    return Load(seen["requests"], seen["requests"] / seen["seconds"], seen["p50_ms"], seen["p99_ms"])
