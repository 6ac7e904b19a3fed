"""Whether /ping is answered while every worker computes: latencies of 100 pings.

    python -m benchmarks.ping_under_load [--pings 100] [--seconds 10]

Each worker is given a prediction of 10 s; pings, each on a connection of its own as the platform's
are, are spread over the time in which all of them compute.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.processes import BenchmarkError
from benchmarks.report import machine, table
from benchmarks.servers import WORKERS, Launch, Place, Served, Server, ask, our_server, serving

TARGET = 50.0  # milliseconds, for the slowest ping
HANDLERS = {
    "nothing": "busy:OutsideTheLock",
    "pure Python": "busy:PurePython",
    "C without the interpreter's lock": "busy:OutsideTheLock",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pings", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0, help="that a prediction takes")
    options = parser.parse_args()
    rows = []
    for work, handler in HANDLERS.items():
        seconds = options.seconds if work != "nothing" else 0.0
        taken = sorted(measure(handler, seconds, options.pings))
        p99 = taken[round(0.99 * (len(taken) - 1))]
        rows.append([work, f"{median(taken):.1f}", f"{p99:.1f}", f"{taken[-1]:.1f}"])
    print(table([f"{WORKERS} workers compute", "/ping p50 ms", "p99 ms", "max ms"], rows))
    print(f"\n{options.pings} pings each; target: max ≤ {TARGET:.0f} ms. {machine()}")


def measure(handler: str, seconds: float, pings: int) -> list[float]:
    """Milliseconds of each ping, while every worker is in a prediction of `seconds` seconds."""
    with (
        tempfile.TemporaryDirectory() as marks,
        ThreadPoolExecutor(32) as pool,
        serving(busy_server(handler, marks)) as served,
    ):
        pending = keep_busy(served, Path(marks), seconds, pool) if seconds else []
        spread = 0.7 * seconds or 5.0
        taken = []
        for _ in range(pings):
            taken.append(ping(served.port))
            time.sleep(max(0.0, spread / pings - taken[-1] / 1e3))
        if any(answer.done() for answer in pending):
            raise BenchmarkError("a prediction ended before the last ping; give it more --seconds")
    return taken


def busy_server(handler: str, marks: str) -> Server:
    """The handler behind `serve`, which gets requests for predictions of 0 s until it is up."""
    ordinary = our_server(handler, BUSY_MARKS=marks)

    def launch(place: Place) -> Launch:
        return replace(ordinary.launch(place), body=b'{"input": 0}', expected=None)

    return Server(ordinary.label, launch)


def keep_busy(served: Served, marks: Path, seconds: float, pool: ThreadPoolExecutor) -> list[Future[tuple[int, bytes]]]:
    """Ask for long predictions, one after another, until every worker is in one."""
    body = json.dumps({"input": seconds}).encode()
    pending = []
    for _ in range(20):
        pending.append(pool.submit(ask, served.port, served.launch.path, body, 10 * seconds))
        time.sleep(0.1)
        if len(list(marks.iterdir())) == int(WORKERS):
            return pending
    raise BenchmarkError(f"20 requests at once have not made {WORKERS} workers busy")


def ping(port: int) -> float:
    """Milliseconds that one ping took. BenchmarkError when it was not answered with 200."""
    start = time.perf_counter()
    status, _ = ask(port, "/ping")
    if status != 200:
        raise BenchmarkError(f"/ping answered {status}")
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    main()
