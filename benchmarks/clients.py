"""Clients that note the moment and the status of every answer, for what wrk cannot tell: when, and which."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.servers import Served

LOST = 0  # the status of a request whose connection broke


@dataclass
class Answers:
    """When each answer came (time.monotonic), its status, and the seconds it took."""

    seen: list[tuple[float, int, float]] = field(default_factory=list)

    def between(self, begin: float, end: float) -> list[tuple[float, int, float]]:
        return [one for one in self.seen if begin <= one[0] < end]

    def rate(self, begin: float, end: float) -> float:
        """Good answers a second."""
        return sum(status == 200 for _, status, _ in self.between(begin, end)) / (end - begin)

    def failed(self, begin: float, end: float) -> int:
        return sum(status != 200 for _, status, _ in self.between(begin, end))


@contextmanager
def asking(served: Served, count: int, body: object = None) -> Iterator[Answers]:
    """`count` clients, each asking again as soon as it has an answer; one that is refused tries again after 10 ms."""
    answers, stop = Answers(), threading.Event()
    sent = served.launch.body if body is None else json.dumps(body).encode()
    threads = [threading.Thread(target=_ask, args=(served, sent, answers, stop)) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def once(served: Served, answers: Answers) -> None:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    _exchange(connection, served, served.launch.body, answers)
    connection.close()


def _ask(served: Served, body: bytes, answers: Answers, stop: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    while not stop.is_set():
        if _exchange(connection, served, body, answers) != 200:
            time.sleep(0.01)
    connection.close()


def _exchange(connection: http.client.HTTPConnection, served: Served, body: bytes, answers: Answers) -> int:
    began = time.monotonic()
    try:
        connection.request("POST", served.launch.path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        status = answer.status
    except (OSError, http.client.HTTPException):
        connection.close()
        status = LOST
    now = time.monotonic()
    answers.seen.append((now, status, now - began))
    return status
