"""Open-loop load: requests leave at fixed moments, whether or not earlier ones were answered.

wrk waits for an answer before it asks again, so a server that pauses gets fewer requests and looks
better than it is ("coordinated omission"). Here a latency runs from the moment at which a request
should have left, and a request that finds no free connection waits for one, its clock running.
"""

from __future__ import annotations

import gc
import re
import select
import socket
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import quantiles

from benchmarks.processes import BenchmarkError, cpu_seconds
from benchmarks.servers import Served

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Latencies:
    """Milliseconds from the intended moment of sending to the last byte of the answer."""

    rate: float  # requests a second that were planned
    p50: float
    p99: float
    cpu: float  # microseconds that a request took of the processors, in all the server's processes


def measure(served: Served, rate: float, seconds: float, connections: int = 32) -> Latencies:
    """Sends the server's request `rate` times a second. BenchmarkError when an answer is not 200."""
    body = served.launch.body
    head = f"POST {served.launch.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=10))
            for _ in range(connections)
        ]
        gc.disable()
        stack.callback(gc.enable)
        before = cpu_seconds(served.processes)
        latencies = send(sockets, request, rate, round(rate * seconds))
        used = cpu_seconds(served.processes) - before
    hundredths = quantiles(latencies, n=100)
    return Latencies(rate, hundredths[49], hundredths[98], used * 1e6 / len(latencies))


def send(sockets: list[socket.socket], request: bytes, rate: float, count: int) -> list[float]:
    """The loop: send what is due on free connections, then read what has come. Milliseconds."""
    free = deque(sockets)
    due: dict[socket.socket, float] = {}  # connections that wait, and since when they should
    received: dict[socket.socket, bytes] = {}
    latencies: list[float] = []
    start, sent = time.perf_counter(), 0
    while len(latencies) < count:
        now = time.perf_counter()
        while sent < count and free and start + sent / rate <= now:
            connection = free.popleft()
            connection.sendall(request)
            due[connection], received[connection] = start + sent / rate, b""
            sent += 1
        pause = start + sent / rate - time.perf_counter() if sent < count and free else 1.0
        # select and not epoll: its timeout is in microseconds, epoll's in milliseconds
        for connection in select.select(due, (), (), max(pause, 0.0))[0]:
            received[connection] += read(connection)
            if complete(received[connection]):
                latencies.append((time.perf_counter() - due.pop(connection)) * 1e3)
                free.append(connection)
    return latencies


def read(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise BenchmarkError("the server closed a connection before it had answered")
    return data


def complete(answer: bytes) -> bool:
    """Whether this is a whole answer. BenchmarkError when it is not a 200, or does not tell its length."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = LENGTH.search(head)
    if not head.startswith(b"HTTP/1.1 200") or not length:
        raise BenchmarkError(f"answered {answer[:300]!r}")
    return len(body) >= int(length[1])
