"""What a real model costs: the news classifier through `serve`, against the echo through `serve`.

    python -m benchmarks.serving_news MODEL_DIR [--rounds 3] [--seconds 5]

First the requests per second of both under full load (wrk, 16 connections), in turn; then the
model's latencies at half the rate that it has just shown, requests leaving at a constant rate.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import constant_rate, wrk
from benchmarks.report import machine, table
from benchmarks.servers import ECHO, our_model, serving

RATIO_TARGET = 0.4
P99_TARGET = 10.0  # milliseconds, at half load


@dataclass(frozen=True)
class Round:
    echo: wrk.Load
    news: wrk.Load
    half: constant_rate.Latencies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", type=Path, metavar="MODEL_DIR", help="what `train` left")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load, for each measurement")
    options = parser.parse_args()
    rounds = []
    for number in range(1, options.rounds + 1):
        rounds.append(measure(options.model_dir, options.seconds))
        ratio = rounds[-1].news.rate / rounds[-1].echo.rate
        print(f"round {number}/{options.rounds}  ratio {ratio:.2f}", file=sys.stderr, flush=True)
    print(report(rounds, options.seconds))


def measure(model_dir: Path, seconds: float) -> Round:
    with serving(ECHO) as served:
        wrk.measure(served.url, served.launch.body, seconds=2)
        echo = wrk.measure(served.url, served.launch.body, seconds)
    with serving(our_model(model_dir)) as served:
        launch = served.launch
        wrk.measure(served.url, launch.body, seconds=2)
        news = wrk.measure(served.url, launch.body, seconds)
        half = constant_rate.measure(served.port, launch.path, launch.body, news.rate / 2, seconds)
    return Round(echo, news, half)


def report(rounds: list[Round], seconds: float) -> str:
    def of(run: str, figure: str) -> float:
        return float(median(getattr(getattr(one, run), figure) for one in rounds))

    rows = [
        [label, f"{of(run, 'rate'):,.0f}", f"{of(run, 'p50'):.2f}", f"{of(run, 'p99'):.2f}"]
        for label, run in (
            ("echo, full load", "echo"),
            ("news, full load", "news"),
            ("news, half load", "half"),
        )
    ]
    ratio = median(one.news.rate / one.echo.rate for one in rounds)
    return (
        f"{table(['', 'requests/s', 'p50 ms', 'p99 ms'], rows)}\n\n"
        f"News ÷ echo: {ratio:.2f} (target ≥ {RATIO_TARGET}); p99 at half load "
        f"{of('half', 'p99'):.2f} ms (target < {P99_TARGET:.0f} ms).\n\n"
        f"Full load: wrk with {wrk.CONNECTIONS} connections for {seconds:.0f} s. Half load: a "
        f"constant rate, latency from the intended moment of sending, the client on the same "
        f"cores. Medians of {len(rounds)} rounds. {machine()}"
    )


if __name__ == "__main__":
    main()
