"""What dynamic batching makes of a model that is worth it: 10 ms a call and 1 ms an input.

    python -m benchmarks.serving_batch [--only ours,litserve,mlserver,torchserve] [--rounds 3] [--seconds 5]

64 connections, batches of 16 at most, one worker, the same delay everywhere. The ideal is 16 inputs in 26 ms, call
after call. Each round also measures what such a call really takes on this machine, by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import wrk
from benchmarks.batchable import CALL_S, INPUT_S
from benchmarks.processes import BenchmarkError, Command, free_port
from benchmarks.report import machine, table
from benchmarks.servers import (
    PEERS,
    Launch,
    Place,
    Server,
    environment,
    mlserver_question,
    our_server,
    serving,
    versions,
)
from benchmarks.torchserve import torchserve

CONNECTIONS, SIZE, DELAY_MS = 64, 16, 5
IDEAL = SIZE / (CALL_S + SIZE * INPUT_S)
TARGET = 0.9


def litserve(place: Place) -> Launch:
    arguments = (str(place.port), str(SIZE), str(DELAY_MS))
    return Launch((Command((str(place.programs / "python"), str(PEERS / "litserve_batch.py"), *arguments)),))


def mlserver(place: Place) -> Launch:
    settings = {"host": "127.0.0.1", "http_port": place.port, "grpc_port": free_port()}
    settings |= {"metrics_port": free_port(), "parallel_workers": 0, "debug": False}
    model: dict[str, object] = {"name": "batchable", "implementation": "mlserver_batch.Batchable"}
    model |= {"max_batch_size": SIZE, "max_batch_time": DELAY_MS / 1000}
    (place.folder / "settings.json").write_text(json.dumps(settings))
    (place.folder / "model-settings.json").write_text(json.dumps(model))
    start = Command((str(place.programs / "mlserver"), "start", str(place.folder)), env={"PYTHONPATH": str(PEERS)})
    return mlserver_question(start, "batchable")


OURS = {"MODEL_SERVER_WORKERS": "1", "MODEL_SERVER_BATCH_SIZE": str(SIZE)}
SERVERS = {
    "ours": our_server("batchable:Batchable", "byo-container", **OURS, MODEL_SERVER_BATCH_DELAY_MS=str(DELAY_MS)),
    "no-delay": our_server("batchable:Batchable", "byo-container, no delay", **OURS),
    "litserve": Server("LitServe", litserve, "litserve"),
    "mlserver": Server("MLServer, adaptive batching", mlserver, "mlserver"),
    "torchserve": Server("TorchServe", partial(torchserve, size=SIZE, delay_ms=DELAY_MS), "torchserve"),
}


def main() -> int:
    options = arguments()
    rates: dict[str, list[wrk.Load]] = {name: [] for name in options.only}
    failures: dict[str, str] = {}
    real: list[float] = []
    for number in range(1, options.rounds + 1):
        real.append(really())
        for name in options.only:
            if name in failures:
                continue
            try:
                with serving(SERVERS[name], environment(SERVERS[name], options.cache)) as served:
                    rates[name].append(wrk.measure(served, options.seconds, CONNECTIONS))
            except BenchmarkError as failure:
                failures[name] = str(failure)
                print(f"{name}: {failure}", file=sys.stderr, flush=True)
                continue
            print(f"round {number}  {name:<12}{rates[name][-1].rate:8,.0f} requests/s", file=sys.stderr, flush=True)
    print(report(rates, failures, real, options))
    return 1 if failures else 0


def arguments() -> argparse.Namespace:
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(SERVERS), metavar=",".join(SERVERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load, for each measurement")
    parser.add_argument("--cache", type=Path, default=caches / "byo-container" / "benchmarks")
    return parser.parse_args()


def really() -> float:
    """Inputs a second of full batches, one after another, with nothing around them: sleeping is not exact."""
    began, calls = time.perf_counter(), 40
    for _ in range(calls):
        time.sleep(CALL_S + INPUT_S * SIZE)
    return calls * SIZE / (time.perf_counter() - began)


def report(
    rates: dict[str, list[wrk.Load]], failures: dict[str, str], real: list[float], options: argparse.Namespace
) -> str:
    head = ["server", "requests/s", "p50 ms", "p99 ms", "of the ideal", "target", "ours ÷ it"]
    rows = [["the ideal: 16 in 26 ms", f"{IDEAL:,.0f}", "", "", "1.00", "", ""]]
    rows.append(["the same calls by themselves", f"{median(real):,.0f}", "", "", f"{median(real) / IDEAL:.2f}", "", ""])
    for name, loads in rates.items():
        if not loads:
            rows.append([SERVERS[name].label, f"not measured: {failures[name].splitlines()[0]}", *[""] * 5])
            continue
        rate, p50, p99 = (median(getattr(load, figure) for load in loads) for figure in ("rate", "p50", "p99"))
        mine = rates.get("ours") or []
        ratio = median(ours.rate / its.rate for ours, its in zip(mine, loads, strict=False)) if mine else 0.0
        target = f"≥ {TARGET}" if name == "ours" else "≥ 1" if SERVERS[name].peer else ""
        rows.append(
            [
                SERVERS[name].label,
                f"{rate:,.0f}",
                f"{p50:.0f}",
                f"{p99:.0f}",
                f"{rate / IDEAL:.2f}",
                target,
                f"{ratio:.2f}",
            ]
        )
    peers = "; ".join(filter(None, (versions(SERVERS[name]) for name in rates)))
    how = f"wrk -t1 -c{CONNECTIONS}, batches of {SIZE}, delay {DELAY_MS} ms, one worker, {options.rounds} rounds."
    return f"{table(head, rows)}\n\n{how} {machine()} Peers: {peers}."


if __name__ == "__main__":
    sys.exit(main())
