"""A worker is killed under full load: how long until the full rate is back, and how many requests failed.

    python -m benchmarks.recovery [--kills 5]

Two workers, a model of 10 ms a request, 16 clients without a pause. SIGKILL to one of the workers, again and again.
Back is the rate when a tenth of a second has 0.9 of what there was before.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path
from statistics import median

from benchmarks.clients import Answers, asking
from benchmarks.processes import BenchmarkError, descendants
from benchmarks.report import machine, table
from benchmarks.servers import Served, our_server, serving

CLIENTS, WINDOW_S, BACK = 16, 0.1, 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    rows = []
    with serving(our_server("steady:Steady")) as served, asking(served, CLIENTS) as answers:
        time.sleep(2)
        for number in range(1, options.kills + 1):
            rows.append([f"kill {number}", *(f"{figure:.2f}" for figure in kill(served, answers))])
    columns = list(zip(*(map(float, row[1:]) for row in rows), strict=True))
    rows.append(["median", *(f"{median(column):.2f}" for column in columns)])
    head = [
        "",
        "requests/s before",
        "s until it is back",
        "lowest rate, share",
        "requests failed",
        "share of a second's",
    ]
    print(table(head, rows))
    print(f"\n{CLIENTS} clients, 2 workers, one of them killed, 10 ms a request. {machine()}")


def kill(served: Served, answers: Answers) -> tuple[float, float, float, float, float]:
    time.sleep(2)
    now = time.monotonic()
    before = answers.rate(now - 2, now)
    os.kill(worker(served), signal.SIGKILL)
    began, lowest = time.monotonic(), 1.0
    while True:
        time.sleep(0.02)
        now = time.monotonic()
        rate = answers.rate(max(began, now - WINDOW_S), now) / before
        lowest = min(lowest, rate) if now - began > WINDOW_S else lowest
        if now - began > WINDOW_S and rate > BACK:
            break
        if now - began > 60:
            raise BenchmarkError("the rate has not come back within 60 s")
    failed = answers.failed(began, now)
    return before, max(0.0, now - began - WINDOW_S), lowest, failed, failed / before


def worker(served: Served) -> int:
    """One of gunicorn's workers."""
    titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in descendants(served.processes[0].pid)}
    gunicorn = [pid for pid, title in titles.items() if b"-m\0byo_container.serving.workers\0" in title]
    return gunicorn[-1]


if __name__ == "__main__":
    main()
