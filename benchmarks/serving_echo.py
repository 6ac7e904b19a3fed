"""What the server costs: an echo through `serve`, through bare WSGI and through its peers.

    python -m benchmarks.serving_echo [--only ours,script,bare,mms] [--rounds 3] [--seconds 5] [--warm-up 60]

Every round starts each server in turn, checks its answer, warms it up and measures it. All are warmed up by one rule:
under full load until the rate no longer grows, --warm-up seconds at most. Ours is there twice: with a handler of its
own interface, and with the very inference.py that multi-model-server runs, which is what to compare with servers of
an inference.py. Figures are medians over the rounds, ratios medians of the ratios within a round. Peers are installed
into virtual environments of their own on first use (about 500 MB together).
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import wrk
from benchmarks.processes import BenchmarkError
from benchmarks.report import machine, table
from benchmarks.servers import SERVERS, Server, environment, serving, versions

# What ours, with an inference.py and with a handler, should be of another server: by rate, and by the processors' time
# of a request.
TARGETS: dict[str, dict[str, tuple[float, float | None]]] = {
    "script": {"bare": (0.9, 0.95), "mms": (2.5, None)},
    "ours": {
        "bare": (0.9, None),
        "mms": (2.5, None),
        "mlserver": (3.0, None),
        "litserve": (4.0, None),
        "inference-server": (1.0, None),
    },
}


@dataclass
class Result:
    """One server's loads, one a round, or why there are none."""

    rounds: list[wrk.Load] = field(default_factory=list)
    warm_up: list[float] = field(default_factory=list)
    failure: str = ""


def main() -> int:
    options = arguments()
    results = {name: Result() for name in options.only}
    for number in range(1, options.rounds + 1):
        for name, result in results.items():
            if result.failure:
                continue
            try:
                load, warm_up = measure(SERVERS[name], options)
            except BenchmarkError as failure:
                result.failure = str(failure)
                print(f"{name}: {failure}", file=sys.stderr, flush=True)
                continue
            result.rounds.append(load)
            result.warm_up.append(warm_up)
            rate = f"{load.rate:8,.0f} requests/s {load.cpu:6.0f} µs of CPU each, after {warm_up:.0f} s"
            progress = f"round {number}/{options.rounds}  {name:<18}{rate}"
            print(progress, file=sys.stderr, flush=True)
    print(report(results, options))
    return 1 if any(result.failure for result in results.values()) else 0


def arguments() -> argparse.Namespace:
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=names, default=list(SERVERS), metavar=",".join(SERVERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load, for each measurement")
    parser.add_argument("--warm-up", type=float, default=60.0, help="seconds of load before, at most")
    parser.add_argument("--cache", type=Path, default=caches / "byo-container" / "benchmarks")
    return parser.parse_args()


def names(text: str) -> list[str]:
    chosen = text.split(",")
    for name in chosen:
        if name not in SERVERS:
            raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(SERVERS)}")
    return chosen


def measure(server: Server, options: argparse.Namespace) -> tuple[wrk.Load, float]:
    """Its load, and the seconds after which it was warm."""
    with serving(server, environment(server, options.cache)) as served:
        warm_up = wrk.warm(served, options.warm_up)
        return wrk.measure(served, options.seconds, warm_up=None), warm_up


def report(results: dict[str, Result], options: argparse.Namespace) -> str:
    head = ["server", "requests/s", "p50 ms", "p99 ms", "CPU µs", "warm after s"]
    head += ["inference.py ÷ it", "by CPU", "handler ÷ it", "by CPU"]
    rows = [row(name, results) for name in results]
    seen = [versions(SERVERS[name]) for name in results]
    how = (
        f"`wrk -t1 -c{wrk.CONNECTIONS} -d{options.seconds:.0f}s`, one server after another, 2 workers where "
        f"not said otherwise, medians of {options.rounds} rounds, targets in brackets. Warm: under full load until the "
        f"rate no longer grew, at most {options.warm_up:.0f} s. CPU: what a request takes of the processors' "
        f"time in all of the server's processes; that ratio holds on a busy machine too. {machine()} Peers: "
    )
    return f"{table(head, rows)}\n\n{how}{'; '.join(filter(None, seen)) or 'none'}."


def row(name: str, results: dict[str, Result]) -> list[str]:
    label, result = SERVERS[name].label, results[name]
    if result.failure:
        return [label, f"not measured: {result.failure.splitlines()[0]}", *[""] * 8]
    figures = [median(getattr(one, name) for one in result.rounds) for name in ("rate", "p50", "p99", "cpu")]
    cells = [label, *(f"{figure:,.{digits}f}" for figure, digits in zip(figures, (0, 2, 2, 0), strict=True))]
    cells.append(f"{median(result.warm_up):.0f}")
    for ours in ("script", "ours"):
        cells += ratios(results.get(ours), result, *TARGETS[ours].get(name, (None, None)))
    return cells


def ratios(ours: Result | None, its: Result, by_rate: float | None, by_cpu: float | None) -> list[str]:
    """Ours ÷ the other one: by rate, and by the processors' time."""
    if ours is None or not ours.rounds or ours is its:
        return ["", ""]
    pairs = list(zip(ours.rounds, its.rounds, strict=False))  # ours may have failed halfway
    return [
        f"{median(mine.rate / theirs.rate for mine, theirs in pairs):.2f}" + target(by_rate),
        f"{median(theirs.cpu / mine.cpu for mine, theirs in pairs):.2f}" + target(by_cpu),
    ]


def target(least: float | None) -> str:
    return f" (≥ {least})" if least else ""


if __name__ == "__main__":
    sys.exit(main())
