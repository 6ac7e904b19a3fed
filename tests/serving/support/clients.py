"""Clients that send one request after another while a test goes on."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import Any

import requests

from tests.serving.support.server import Server

STATUS = attrgetter("status_code")


@contextlib.contextmanager
def steady_load(
    server: Server, value: Any, clients: int = 4, seen_as: Callable[[requests.Response], Any] = STATUS
) -> Iterator[Counter[Any]]:
    """How often a few clients, who ask one request after another, got which answer: statuses, unless `seen_as` says
    what to tell them by; 0 for none."""
    seen: Counter[Any] = Counter()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                seen[seen_as(server.post(json=value))] += 1
            except requests.ConnectionError:
                seen[0] += 1

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(ask) for _ in range(clients)]
        try:
            yield seen
        finally:
            stop.set()
        for future in running:
            future.result()
