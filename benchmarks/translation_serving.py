"""Translations a second: `serve` against one request at a time, and against fairseq's own offline generation.

    python -m benchmarks.translation_serving MODEL_DIR SENTENCES [--rounds 3] [--seconds 15]

SENTENCES holds a sentence a line, plain or .gz. 16 clients each send one and wait for its translation before they send
the next; first to `serve`, then to peers/flask_translation.py; then peers/fairseq_offline.py generates as many
sentences in batches of 16. All of them with the same model, text.py, beam and limits, in turn in each round, on the
same cores. On a busy machine PyTorch's threads wait for each other, and both peers, which use all cores, look worse
than they are: --peer-threads 1 shows what they do with one.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median, quantiles

from benchmarks.processes import BenchmarkError, Command, cpu_seconds
from benchmarks.report import machine, table
from benchmarks.servers import PEERS, Launch, Place, Served, Server, ours, serving
from benchmarks.translation_quality import read_lines

CLIENTS = 16
WARM_UP = 10.0  # seconds, in which the second worker loads the model, too
ROOT = PEERS.parent.parent
TARGETS = {"one at a time": 4.0, "offline": 0.9}


@dataclass(frozen=True)
class Measured:
    """Sentences a second; latencies and processor time for a sentence in milliseconds."""

    rate: float
    cpu: float
    p50: float = 0.0
    p95: float = 0.0


Round = dict[str, Measured]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_dir", type=Path, metavar="MODEL_DIR", help="what `train` left, or fairseq itself")
    parser.add_argument("sentences", type=Path, metavar="SENTENCES")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0, help="of load, for each measurement")
    parser.add_argument("--peer-threads", type=int, metavar="N", help="PyTorch's threads in both peers; all cores")
    options = parser.parse_args()
    env = {"OMP_NUM_THREADS": str(options.peer_threads)} if options.peer_threads else {}
    lines = [line for line in read_lines(options.sentences) if line.strip()]
    rounds = []
    for number in range(1, options.rounds + 1):
        rounds.append(measure(options.model_dir.resolve(), lines, options.seconds, env))
        print(f"round {number}/{options.rounds}: {rounds[-1]}", file=sys.stderr, flush=True)
    print(report(rounds, options.seconds))


def measure(model_dir: Path, lines: list[str], seconds: float, env: dict[str, str]) -> Round:
    with serving(translator(model_dir, lines[0])) as served:
        run(served, lines, WARM_UP)
        answers = [ask(served, line) for line in lines[:CLIENTS]]
        serve = run(served, lines, seconds)
    with serving(one_at_a_time(model_dir, lines[0], env)) as served:
        run(served, lines, WARM_UP / 2)
        theirs = [ask(served, line) for line in lines[:CLIENTS]]
        alone = run(served, lines, seconds)
    offline, offline_answers = generate(model_dir, lines[: max(CLIENTS, round(serve.rate * seconds))], env)
    if not (agree(answers, theirs) and agree(answers, offline_answers)):
        raise BenchmarkError(f"not the same translations:\n{answers}\n{theirs}\n{offline_answers}")
    return {"serve": serve, "one at a time": alone, "offline": offline}


def agree(ours: list[str], theirs: list[str]) -> bool:
    """All but one: the order of additions may decide between two that are equally good."""
    return sum(one == other for one, other in zip(ours, theirs, strict=True)) >= len(ours) - 1


# --- the two servers ------------------------------------------------------------------------------


def translator(model_dir: Path, sentence: str) -> Server:
    def launch(place: Place) -> Launch:
        (command,) = ours(place, {"MODEL_HANDLER": "translation"}, model_dir).commands
        return Launch((command,), body=json.dumps(sentence).encode(), answer=str, expected=None)

    return Server("serve", launch)


def one_at_a_time(model_dir: Path, sentence: str, env: dict[str, str]) -> Server:
    def launch(place: Place) -> Launch:
        argv = ("-m", "gunicorn", "-w", "1", "-b", f"127.0.0.1:{place.port}", "--no-control-socket", "-t", "300")
        command = Command(
            (str(place.programs / "python"), *argv, "benchmarks.peers.flask_translation:application"),
            env={"MODEL_DIR": str(model_dir), "PYTHONPATH": str(ROOT), **env},
        )
        return Launch((command,), body=json.dumps(sentence).encode(), answer=str, expected=None)

    return Server("Flask, one request at a time", launch)


# --- load -----------------------------------------------------------------------------------------


def run(served: Served, lines: list[str], seconds: float) -> Measured:
    """16 clients, who never rest for so many seconds. BenchmarkError unless every answer is good."""
    numbers, end = count(), time.perf_counter() + seconds
    latencies: list[float] = []
    before, began = cpu_seconds(served.processes), time.perf_counter()

    def client(_: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=120)
        while time.perf_counter() < end:
            sent = time.perf_counter()
            translate(connection, served, lines[next(numbers) % len(lines)])
            latencies.append((time.perf_counter() - sent) * 1e3)
        connection.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))
    took, used = time.perf_counter() - began, cpu_seconds(served.processes) - before
    parts = quantiles(latencies, n=100)
    return Measured(len(latencies) / took, used * 1e3 / len(latencies), parts[49], parts[94])


def ask(served: Served, sentence: str) -> str:
    return translate(http.client.HTTPConnection("127.0.0.1", served.port, timeout=120), served, sentence)


def translate(connection: http.client.HTTPConnection, served: Served, sentence: str) -> str:
    connection.request("POST", served.launch.path, json.dumps(sentence), {"Content-Type": "application/json"})
    reply = connection.getresponse()
    body = reply.read()
    if reply.status != 200:
        raise BenchmarkError(f"answered {reply.status}: {body[:300]!r}")
    return str(json.loads(body))


def generate(model_dir: Path, lines: list[str], env: dict[str, str]) -> tuple[Measured, list[str]]:
    """fairseq's own generation of these sentences, and the first translations."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as sentences:
        sentences.write("\n".join(lines) + "\n")
        sentences.flush()
        argv = (sys.executable, "-m", "benchmarks.peers.fairseq_offline", str(model_dir), sentences.name)
        command = Command(argv, env)
        ran = subprocess.run(argv, env=command.environment(), cwd=ROOT, capture_output=True, text=True)
    if ran.returncode:
        raise BenchmarkError(f"fairseq_offline: {ran.stderr.strip()[-500:]}")
    seen = json.loads(ran.stdout.splitlines()[-1])
    return Measured(len(lines) / seen["seconds"], seen["cpu"] * 1e3 / len(lines)), seen["answers"]


# --- what came out --------------------------------------------------------------------------------


def report(rounds: list[Round], seconds: float) -> str:
    def middle(label: str, figure: Callable[[Measured], float]) -> float:
        return median(figure(one[label]) for one in rounds)

    def ratio(label: str, figure: Callable[[Measured], float]) -> float:
        return median(figure(one["serve"]) / figure(one[label]) for one in rounds)

    names = {
        "serve": "byo-container: `serve`",
        "one at a time": "Flask, one request at a time",
        "offline": f"fairseq offline, batches of {CLIENTS}",
    }
    rows = [
        [
            name,
            f"{middle(label, lambda m: m.rate):.1f}",
            f"{middle(label, lambda m: m.p50):,.0f}" if label != "offline" else "",
            f"{middle(label, lambda m: m.p95):,.0f}" if label != "offline" else "",
            f"{middle(label, lambda m: m.cpu):.1f}",
            f"{ratio(label, lambda m: m.rate):.2f}" if label in TARGETS else "",
            f"{1 / ratio(label, lambda m: m.cpu):.2f}" if label in TARGETS else "",
            TARGETS.get(label, ""),
        ]
        for label, name in names.items()
    ]
    head = ["", "sentences/s", "p50 ms", "p95 ms", "CPU ms a sentence", "ours ÷ it", "by CPU", "target"]
    return (
        f"{table(head, rows)}\n\n"
        f"p95 ÷ that of one at a time: {ratio('one at a time', lambda m: m.p95):.2f} (target < 1). {CLIENTS} clients "
        f"for {seconds:.0f} s; medians of {len(rounds)} rounds. {machine()}"
    )


if __name__ == "__main__":
    main()
