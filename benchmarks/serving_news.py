"""What a real model costs: the news classifier through `serve`, against the echo through `serve`.

    python -m benchmarks.serving_news MODEL_DIR [--rounds 3] [--seconds 5]

Both under full load (wrk, 16 connections), in turn; then both at half the rate that the model has just
shown, requests leaving at a constant rate. The echo's latencies there are what the machine, and whatever
else runs on it, adds of itself.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import median

from benchmarks import constant_rate, wrk
from benchmarks.report import machine, table
from benchmarks.servers import ECHO, our_model, serving

RATIO_TARGET = 0.4
P99_TARGET = 10.0  # milliseconds, at half load
FIGURES = {"rate": 0, "p50": 2, "p99": 2, "cpu": 0}  # and how many digits they have


Round = dict[str, wrk.Load | constant_rate.Latencies]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", type=Path, metavar="MODEL_DIR", help="what `train` left")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load, for each measurement")
    options = parser.parse_args()
    rounds = []
    for number in range(1, options.rounds + 1):
        rounds.append(measure(options.model_dir, options.seconds))
        print(f"round {number}/{options.rounds}", file=sys.stderr, flush=True)
    print(report(rounds, options.seconds))


def measure(model_dir: Path, seconds: float) -> Round:
    with serving(our_model(model_dir)) as served:
        news = wrk.measure(served, seconds)
        news_half = constant_rate.measure(served, news.rate / 2, seconds)
    with serving(ECHO) as served:
        echo = wrk.measure(served, seconds)
        echo_same = constant_rate.measure(served, news.rate / 2, seconds)
    return {
        "echo, full load": echo,
        "news, full load": news,
        "news, half load": news_half,
        "echo, at that same rate": echo_same,
    }


def report(rounds: list[Round], seconds: float) -> str:
    rows = [
        [label, *(f"{middle(rounds, label, name):,.{digits}f}" for name, digits in FIGURES.items())]
        for label in rounds[0]
    ]
    pairs = [(one["news, full load"], one["echo, full load"]) for one in rounds]
    by_rate = median(news.rate / echo.rate for news, echo in pairs)
    by_cpu = median(echo.cpu / news.cpu for news, echo in pairs)
    p99 = middle(rounds, "news, half load", "p99")
    return (
        f"{table(['', 'requests/s', 'p50 ms', 'p99 ms', 'CPU µs'], rows)}\n\n"
        f"News ÷ echo: {by_rate:.2f} (target ≥ {RATIO_TARGET}), by CPU {by_cpu:.2f}; p99 at half load {p99:.2f} ms "
        f"(target < {P99_TARGET:.0f} ms).\n\n"
        f"Full load: wrk with {wrk.CONNECTIONS} connections for {seconds:.0f} s. Half load: a constant rate, "
        f"latency from the intended moment of sending, the client on the same cores. Medians of "
        f"{len(rounds)} rounds. {machine()}"
    )


def middle(rounds: list[Round], label: str, figure: str) -> float:
    return float(median(getattr(one[label], figure) for one in rounds))


if __name__ == "__main__":
    main()
