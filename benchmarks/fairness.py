"""How long a client with single sentences waits behind large requests, and what that costs those.

    python -m benchmarks.fairness MODEL_DIR [SENTENCES] [--rounds 3] [--sentences 1500]

Two requests, one a worker, each a JSON list of so many sentences for a translation model, first by themselves and then
beside one client that sends single sentences, one after another; to `serve` as it is, where large requests come in
slices, and to `serve` set to take any request in one call. SENTENCES holds a sentence a line, plain or .gz; without
it they are those of handlers/translation/sample.py. On a busy machine compare the processors' time.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.processes import BenchmarkError, cpu_seconds
from benchmarks.report import machine, table
from benchmarks.servers import WORKERS, Launch, Place, Served, Server, ours, serving
from benchmarks.translation_quality import read_lines
from byo_container.handlers.translation.sample import pairs

SIDES = {
    "serve, in slices": {},
    "serve, each request in one call": {
        "MODEL_SERVER_BATCH_SIZE": "100000",
        "MODEL_SERVER_BATCH_COST": str(10**12),
    },
}
TARGET_S, TARGET_SLOWER = 1.0, 1.1
TIMEOUT = 300.0  # seconds


@dataclass(frozen=True)
class Measured:
    """Seconds, but for `answers`."""

    alone: float  # both large requests by themselves, until the second one is answered
    alone_cpu: float  # of the processors, in all processes
    beside: float  # the same beside the client
    waits: list[float]  # of the client, for each of its requests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", type=Path, metavar="MODEL_DIR", help="what `train` left, or fairseq itself")
    parser.add_argument("source", type=Path, nargs="?", metavar="SENTENCES")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sentences", type=int, default=1500, help="in each of the large requests")
    options = parser.parse_args()
    lines = [line for line in read_lines(options.source) if line.strip()] if options.source else sample()
    bulk = [lines[number % len(lines)] for number in range(options.sentences)]
    rounds: dict[str, list[Measured]] = {name: [] for name in SIDES}
    for number in range(1, options.rounds + 1):
        for name, env in SIDES.items():
            with serving(translator(options.model_dir.resolve(), lines[0], env)) as served:
                rounds[name].append(measure(served, bulk))
            print(f"round {number}/{options.rounds}  {name:<32}{shown(rounds[name][-1])}", file=sys.stderr, flush=True)
    print(report(rounds, options))


def sample() -> list[str]:
    """Sentences of several lengths: one, two or three of the sample's in each."""
    german = [source.rstrip(".") for source, _ in pairs(3000)]
    return [", ".join(german[number : number + 1 + number % 3]) + "." for number in range(2997)]


def translator(model_dir: Path, sentence: str, env: dict[str, str]) -> Server:
    def launch(place: Place) -> Launch:
        variables = {"MODEL_HANDLER": "translation", "MODEL_SERVER_TIMEOUT": str(round(TIMEOUT)), **env}
        (command,) = ours(place, variables, model_dir).commands
        return Launch((command,), body=json.dumps(sentence).encode(), answer=str, expected=None)

    return Server("serve", launch)


def measure(served: Served, bulk: list[str]) -> Measured:
    with ThreadPoolExecutor(int(WORKERS)) as pool:

        def both(sentences: list[str]) -> list[Future[Any]]:
            return [pool.submit(ask, served, sentences) for _ in range(int(WORKERS))]

        def await_all(futures: list[Future[Any]]) -> None:
            for future in futures:
                future.result()

        for _ in range(3):  # the second worker loads the model after the first
            await_all(both(bulk[:32]))
        began, used = time.perf_counter(), cpu_seconds(served.processes)
        await_all(both(bulk))
        alone, cpu = time.perf_counter() - began, cpu_seconds(served.processes) - used
        began = time.perf_counter()
        running = both(bulk)
        time.sleep(0.3)  # until both are under way
        waits: list[float] = []
        while not any(future.done() for future in running):
            sent = time.perf_counter()
            ask(served, bulk[len(waits) % len(bulk)])
            waits.append(time.perf_counter() - sent)
        await_all(running)
        return Measured(alone, cpu, time.perf_counter() - began, waits)


def ask(served: Served, value: object) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=TIMEOUT)
    connection.request("POST", served.launch.path, json.dumps(value), {"Content-Type": "application/json"})
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    if reply.status != 200:
        raise BenchmarkError(f"answered {reply.status}: {body[:300]!r}")
    return json.loads(body)


# --- what came out --------------------------------------------------------------------------------


def p99(waits: list[float]) -> float:
    return quantiles(waits, n=100, method="inclusive")[98] if len(waits) > 1 else waits[0]


def shown(one: Measured) -> str:
    return (
        f"large {one.alone:.1f} s ({one.alone_cpu:.1f} s of CPU), beside the client {one.beside:.1f} s; "
        f"it waited {median(one.waits):.2f} s, p99 {p99(one.waits):.2f} s, {len(one.waits)} times"
    )


def report(rounds: dict[str, list[Measured]], options: argparse.Namespace) -> str:
    whole = rounds["serve, each request in one call"]
    rows = []
    for name, measured in rounds.items():
        sliced = measured is not whole

        def middle(figure: Callable[[Measured], float], measured: list[Measured] = measured) -> float:
            return median(figure(one) for one in measured)

        def ratio(figure: Callable[[Measured], float], measured: list[Measured] = measured) -> str:
            return f"{median(figure(mine) / figure(its) for mine, its in zip(measured, whole, strict=True)):.2f}"

        rows.append(
            [
                name,
                f"{middle(lambda one: median(one.waits)):.2f}",
                f"{middle(lambda one: p99(one.waits)):.2f}" + (f" (target < {TARGET_S:.0f})" if sliced else ""),
                f"{middle(lambda one: one.alone):.1f}",
                f"{middle(lambda one: one.beside):.1f}",
                ratio(lambda one: one.alone) + f" (target ≤ {TARGET_SLOWER})" if sliced else "",
                ratio(lambda one: one.alone_cpu) if sliced else "",
            ]
        )
    head = [
        "",
        "a single sentence: p50 s",
        "p99 s",
        "the large requests by themselves: s",
        "beside the client: s",
        "by themselves, ÷ in one call",
        "the same by CPU",
    ]
    return (
        f"{table(head, rows)}\n\nTwo requests of {options.sentences:,} sentences and one client, {WORKERS} workers; "
        f"medians of {options.rounds} rounds. {machine()}"
    )


if __name__ == "__main__":
    main()
