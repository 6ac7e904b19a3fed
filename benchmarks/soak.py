"""Load without a pause while one fault after another is injected: what is lost, and whether memory stays flat.

    python -m benchmarks.soak [--seconds 600]

Every three seconds a fault, in turn: a worker killed, a model that raises, exits, ends its process or hangs past its
time-out of 2 s, clients that go away in the middle, broken HTTP, a body beyond the limit, SIGHUP. Memory is that of all
processes (PSS), the median of a fifth of the time at the beginning and at the end. Ends with 1 where memory grew by
more than a tenth, or a request failed that no fault accounts for.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from statistics import median

from benchmarks.clients import LOST, Answers, asking
from benchmarks.processes import descendants
from benchmarks.recovery import worker
from benchmarks.report import machine, table
from benchmarks.servers import Served, ask, our_server, serving

EVERY_S, CLIENTS, GROWTH = 3.0, 6, 1.10
# What clients may see while workers are killed and calls hang beside theirs.
EXPECTED = {200, 503, 504}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    server = our_server("troubled:Troubled", MODEL_SERVER_TIMEOUT="2", SAGEMAKER_MAX_PAYLOAD_IN_MB="1")
    with serving(server) as served, asking(served, CLIENTS) as answers:
        memory, injected = soak(served, options.seconds)
        time.sleep(3)
        served_after = ask(served.port, served.launch.path, served.launch.body)[0]
    return report(answers, memory, injected, served_after, options.seconds)


def soak(served: Served, seconds: float) -> tuple[list[float], Counter[str]]:
    """Megabytes, measured after each fault, and how often there was which."""
    memory: list[float] = []
    injected: Counter[str] = Counter()
    end = time.monotonic() + seconds
    for name, fault in cycle(FAULTS.items()):
        fault(served)
        injected[name] += 1
        time.sleep(EVERY_S)
        memory.append(megabytes(served))
        if time.monotonic() > end:
            return memory, injected
    raise AssertionError("cycle has no end")


def megabytes(served: Served) -> float:
    """Of all processes of the server, what is shared counted once."""
    kilobytes = 0
    for pid in (served.processes[0].pid, *descendants(served.processes[0].pid)):
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes / 1024


def send(value: object) -> Callable[[Served], None]:
    """A fault that is one request."""

    def inject(served: Served) -> None:
        with suppress(OSError):
            ask(served.port, served.launch.path, json.dumps({"input": value}).encode(), 10.0)

    return inject


def raw(data: bytes, times: int = 20) -> Callable[[Served], None]:
    """A fault that is bytes, after which the client is gone."""

    def inject(served: Served) -> None:
        for _ in range(times):
            with suppress(OSError), socket.create_connection(("127.0.0.1", served.port), timeout=5) as client:
                client.sendall(data)
                client.settimeout(0.05)
                client.recv(4096)

    return inject


HEAD = b"POST /invocations HTTP/1.1\r\nHost: x\r\n"
FAULTS: dict[str, Callable[[Served], None]] = {
    "a worker is killed": lambda served: os.kill(worker(served), signal.SIGKILL),
    "the model raises": send("raise"),
    "the model exits": send("exit"),
    "the model ends its process": send("end"),
    "the model hangs": send("hang"),
    "clients go away": raw(HEAD + b"Content-Length: 100\r\n\r\n{"),
    "broken HTTP": raw(HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "bodies beyond the limit": raw(HEAD + b"Content-Length: 99999999\r\n\r\n" + b" " * 65536),
    "deep JSON": raw(HEAD + b"Content-Length: 60000\r\n\r\n" + b"[" * 60000),
    "SIGHUP": lambda served: os.kill(served.processes[0].pid, signal.SIGHUP),
}


def report(answers: Answers, memory: list[float], injected: Counter[str], after: int, seconds: float) -> int:
    fifth = max(1, len(memory) // 5)
    # The first faults load what is loaded on first use.
    begin, end = median(memory[fifth : 2 * fifth] or memory), median(memory[-fifth:])
    statuses = Counter(status for _, status, _ in answers.seen)
    unexpected = sum(count for status, count in statuses.items() if status not in EXPECTED)
    rows = [
        ["faults injected", f"{injected.total()}", ""],
        ["requests answered well", f"{statuses[200]:,}", ""],
        ["answered with 503 (try again), lost with their worker", f"{statuses[503]}", ""],
        ["in one call with a request that hung (504)", f"{statuses[504]}", ""],
        ["connections broken", f"{statuses[LOST]}", "0"],
        ["any other answer", f"{unexpected - statuses[LOST]}", "0"],
        ["memory at the beginning, MB", f"{begin:.0f}", ""],
        ["memory at the end, MB", f"{end:.0f}", f"≤ {begin * GROWTH:.0f}"],
        ["a request afterwards", f"{after}", "200"],
    ]
    print(table([f"{seconds:.0f} s", "measured", "target"], rows))
    print(f"\n{CLIENTS} clients, 2 workers; {', '.join(injected)}. {machine()}")
    return 0 if not unexpected and after == 200 and end <= begin * GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())
