"""What the server counts and measures, over all its processes.

prometheus_client's mode for several processes would do the same at seven times the cost of an observation, which
is felt at ten thousand requests a second, and leaves files behind for every worker that ever was.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence

from byo_container.serving.metrics.shared_table import Row, SharedTable

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
STATUSES = (200, 400, 404, 405, 406, 408, 409, 411, 413, 414, 415, 422, 429, 431, 499, 500, 501, 503, 504, 505, 507)

table = SharedTable()
_lock = threading.Lock()


class Number:
    """One column. A counter if it is added to; a gauge, the present state of one process, if it is set."""

    def __init__(self, name: str = "", text: str = "", labels: str = "") -> None:
        self.name, self.text, self.labels = name, text, labels
        self._column = table.new_column()

    def add(self, amount: float = 1.0) -> None:
        """Only in the event loop, or in a process with one thread."""
        table.own[self._column] += amount

    def add_locked(self, amount: float = 1.0) -> None:
        """The same from any thread."""
        with _lock:
            table.own[self._column] += amount

    def set(self, value: float) -> None:
        table.own[self._column] = value

    def get(self) -> float:
        """The value of this process."""
        value: float = table.own[self._column]
        return value

    def put(self, row: Row, value: float) -> None:
        """Sets the value of another process."""
        row[self._column] = value

    def of(self, row: Row) -> float:
        """The value of another process."""
        value: float = row[self._column]
        return value

    def total(self, rows: Sequence[Row]) -> float:
        return sum(row[self._column] for row in rows)


class Histogram:
    """How often a value was at most each of `bounds`."""

    def __init__(self, name: str, text: str, bounds: tuple[float, ...], labels: str = "") -> None:
        self.name, self.text, self.bounds, self.labels = name, text, bounds, labels
        self._columns = [table.new_column() for _ in range(len(bounds) + 1)]
        self._first, self._sum = self._columns[0], table.new_column()

    def observe(self, value: float) -> None:
        """Only in the event loop."""
        own = table.own
        own[self._first + bisect_left(self.bounds, value)] += 1.0
        own[self._sum] += value

    def counts(self, rows: Sequence[Row]) -> list[float]:
        """How many values fell into each bucket, not cumulated; the last bucket has no bound."""
        return [sum(row[column] for row in rows) for column in self._columns]

    def sum(self, rows: Sequence[Row]) -> float:
        return sum(row[self._sum] for row in rows)


requests = {
    status: Number("byo_requests_total", "Requests answered, by HTTP status.", f'status="{status}"')
    for status in (*STATUSES, "other")
}
request_seconds = Histogram("byo_request_seconds", "From the arrival at the server to the answer.", SECONDS)
stages = {
    stage: Histogram("byo_stage_seconds", "Time of a request by stage.", SECONDS, f'stage="{stage}"')
    for stage in ("queue", "decode", "predict", "encode")
}
batch_inputs = Histogram("byo_batch_inputs", "Inputs in one call of predict.", SIZES)
split_batches = Number("byo_batches_split_total", "Batches that failed and were bisected.")
restarts = Number("byo_worker_restarts_total", "Workers that ended unasked and were replaced.")
rolled = Number("byo_workers_rolled_total", "Workers that were replaced one by one, without a pause.")
# The present state of each worker.
waiting = Number("byo_waiting_requests", "Requests that wait in a worker for a thread that computes.")
computing = Number("byo_computing_batches", "Calls of predict that run now.")
models = Number("byo_models_loaded", "Models that a worker has loaded.")


def count(status: int) -> None:
    """Counts one request that was answered with `status`. Only in the event loop."""
    requests.get(status, requests["other"]).add()
