"""What the house costs: an echo through `serve`, through bare WSGI and through its peers.

    python -m benchmarks.serving_echo [--only ours,bare,mms] [--rounds 3] [--seconds 5]

Every round starts each server in turn, checks its answer, warms it up and measures it. Figures
are medians over the rounds, ratios medians of the ratios within a round. Peers are installed
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

TARGETS = {"bare": 0.75, "mms": 2.5, "mlserver": 3.0, "litserve": 4.0, "inference-server": 1.0}


@dataclass
class Result:
    """One server's loads, one a round, or why there are none."""

    rounds: list[wrk.Load] = field(default_factory=list)
    failure: str = ""


def main() -> int:
    options = arguments()
    results = {name: Result() for name in options.only}
    for number in range(1, options.rounds + 1):
        for name, result in results.items():
            if result.failure:
                continue
            try:
                load = measure(SERVERS[name], options.cache, options.seconds)
            except BenchmarkError as failure:
                result.failure = str(failure)
                print(f"{name}: {failure}", file=sys.stderr, flush=True)
                continue
            result.rounds.append(load)
            rate = f"{load.rate:8,.0f} requests/s {load.cpu:6.0f} µs of CPU each"
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
    parser.add_argument("--cache", type=Path, default=caches / "byo-container" / "benchmarks")
    return parser.parse_args()


def names(text: str) -> list[str]:
    chosen = text.split(",")
    for name in chosen:
        if name not in SERVERS:
            raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(SERVERS)}")
    return chosen


def measure(server: Server, cache: Path, seconds: float) -> wrk.Load:
    with serving(server, environment(server, cache)) as served:
        return wrk.measure(served, seconds)


def report(results: dict[str, Result], options: argparse.Namespace) -> str:
    head = ["server", "requests/s", "p50 ms", "p99 ms", "CPU µs", "ours ÷ it", "target", "by CPU"]
    rows = [row(name, result, results.get("ours")) for name, result in results.items()]
    seen = [versions(SERVERS[name]) for name in results]
    how = (
        f"`wrk -t1 -c{wrk.CONNECTIONS} -d{options.seconds:.0f}s`, one server after another, 2 workers where "
        f"not said otherwise, medians of {options.rounds} rounds. CPU: what a request takes of the processors' "
        f"time in all of the server's processes; that ratio holds on a busy machine too. {machine()} Peers: "
    )
    return f"{table(head, rows)}\n\n{how}{'; '.join(filter(None, seen)) or 'none'}."


def row(name: str, result: Result, ours: Result | None) -> list[str]:
    label = SERVERS[name].label
    if result.failure:
        return [label, f"not measured: {result.failure.splitlines()[0]}", *[""] * 6]
    figures = [median(getattr(one, name) for one in result.rounds) for name in ("rate", "p50", "p99")]
    cells = [label, *(f"{figure:,.{digits}f}" for figure, digits in zip(figures, (0, 2, 2), strict=True))]
    cells.append(f"{median(one.cpu for one in result.rounds):.0f}")
    if ours is None or not ours.rounds or ours is result:
        return [*cells, "", "", ""]
    pairs = list(zip(ours.rounds, result.rounds, strict=False))  # ours may have failed halfway
    by_rate = median(mine.rate / theirs.rate for mine, theirs in pairs)
    by_cpu = median(theirs.cpu / mine.cpu for mine, theirs in pairs)
    target = f"≥ {TARGETS[name]:.2f}" if name in TARGETS else ""
    return [*cells, f"{by_rate:.2f}", target, f"{by_cpu:.2f}"]


if __name__ == "__main__":
    sys.exit(main())
