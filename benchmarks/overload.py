"""Twice the load that a server can carry: what it still answers, and how soon it refuses the rest.

    python -m benchmarks.overload [--seconds 10]

Two workers, a model of 100 ms a request: 20 requests a second. First as many clients as keep it just busy, then
requests at twice the rate, each leaving at its moment whether or not others were answered.
"""

from __future__ import annotations

import argparse
import threading
import time
from statistics import median, quantiles

from benchmarks.clients import Answers, asking, once
from benchmarks.report import machine, table
from benchmarks.servers import Served, our_server, serving

WORKERS, EACH_S = 2, 0.1
QUEUE = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    server = our_server("steady:Slower", MODEL_SERVER_QUEUE_SIZE=str(QUEUE))
    with serving(server) as served:
        capacity = full(served, options.seconds)
        answers = at_rate(served, 2 * capacity, options.seconds)
    good = [took for _, status, took in answers.seen if status == 200]
    refused = [took for _, status, took in answers.seen if status == 503]
    last = max(when for when, status, _ in answers.seen if status == 200)
    first = min(when - took for when, _, took in answers.seen)
    rate = len(good) / (last - first)
    rows = [
        ["capacity, requests/s", f"{capacity:.1f}", f"{WORKERS / EACH_S:.0f} at most"],
        ["answered at twice that, requests/s", f"{rate:.1f}", ""],
        ["of the capacity", f"{rate / capacity:.2f}", "≥ 0.9"],
        ["refused with 503", f"{len(refused)} of {len(answers.seen)}", ""],
        ["refused after, ms: p50", f"{median(refused) * 1e3:.1f}", ""],
        ["refused after, ms: p99", f"{quantiles(refused, n=100)[98] * 1e3:.1f}", "≤ 50"],
        ["answered after, s: longest", f"{max(good):.2f}", ""],
        ["other answers", f"{len(answers.seen) - len(good) - len(refused)}", "0"],
    ]
    print(table(["", "measured", "target"], rows))
    print(f"\n{options.seconds:.0f} s each, a queue of {QUEUE}. {machine()}")


def full(served: Served, seconds: float) -> float:
    with asking(served, 3 * WORKERS) as answers:
        time.sleep(1)
        begin = time.monotonic()
        time.sleep(seconds)
        return answers.rate(begin, time.monotonic())


def at_rate(served: Served, rate: float, seconds: float) -> Answers:
    answers, threads = Answers(), []
    began = time.monotonic()
    for number in range(round(rate * seconds)):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        threads.append(threading.Thread(target=once, args=(served, answers)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return answers


if __name__ == "__main__":
    main()
