"""What the server counts and measures, over all its processes: GET /metrics, in Prometheus' text format.

prometheus_client's mode for several processes would do the same at seven times the cost of an observation, which
is felt at ten thousand requests a second, and leaves files behind for every worker that ever was.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import itertools
import os
import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

from byo_container.serving.metrics.shared_table import Table

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
STATUSES = (200, 400, 404, 405, 406, 408, 409, 411, 413, 414, 415, 422, 429, 431, 499, 500, 501, 503, 504, 505, 507)
# Rows: `serve` itself (it counts what nginx answers by itself), gunicorn's master, and from here on the workers.
SERVE, MASTER, FIRST_WORKER = 0, 1, 2
# What a worker is doing. One that leaves takes nothing new, one that is broken could not even begin to load.
ABSENT, LOADING, READY, FAILED, LEAVING, BROKEN = range(6)

_columns = itertools.count()
_own = memoryview(bytearray(8 * 512)).cast("d")  # where this process writes, until `bind` says where
_table: Table | None = None
_workers: list[memoryview[float]] = []
_lock = threading.Lock()


class Number:
    """One column. A counter, unless it is written to: then the present state of one process."""

    def __init__(self, name: str = "", text: str = "", labels: str = "") -> None:
        self.name, self.text, self.labels = name, text, labels
        self.column = next(_columns)

    def add(self, amount: float = 1.0) -> None:
        """Only in the event loop, or by the one thread that there is."""
        _own[self.column] += amount

    def add_locked(self, amount: float = 1.0) -> None:
        """The same for threads."""
        with _lock:
            _own[self.column] += amount

    def set(self, value: float) -> None:
        _own[self.column] = value

    def get(self) -> float:
        return _own[self.column]

    def of(self, row: memoryview[float]) -> float:
        """The value of another process."""
        return row[self.column]

    def total(self, rows: Sequence[memoryview[float]]) -> float:
        return sum(row[self.column] for row in rows)


class Histogram:
    """How often a value was at most each of `bounds`."""

    def __init__(self, name: str, text: str, bounds: tuple[float, ...], labels: str = "") -> None:
        self.name, self.text, self.bounds, self.labels = name, text, bounds, labels
        self._columns = [next(_columns) for _ in range(len(bounds) + 1)]
        self._first, self._sum = self._columns[0], next(_columns)

    def observe(self, value: float) -> None:
        """Only in the event loop."""
        _own[self._first + bisect_left(self.bounds, value)] += 1.0
        _own[self._sum] += value

    def lines(self, rows: Sequence[memoryview[float]]) -> Iterator[str]:
        count = 0.0
        for bound, column in zip((*map(_text, self.bounds), "+Inf"), self._columns, strict=True):
            count += sum(row[column] for row in rows)
            yield f"{self.name}_bucket{{{self._with(self.labels)}le={_quoted(bound)}}} {_text(count)}"
        end = f"{{{self.labels}}}" if self.labels else ""
        yield f"{self.name}_sum{end} {sum(row[self._sum] for row in rows):.6f}"
        yield f"{self.name}_count{end} {_text(count)}"

    @staticmethod
    def _with(labels: str) -> str:
        return f"{labels}," if labels else ""


def _text(value: float) -> str:
    return f"{value:.10g}"


def _quoted(text: object) -> str:
    return f'"{text}"'


requests = {
    status: Number("byo_requests_total", "Requests answered, by HTTP status.", f"status={_quoted(status)}")
    for status in (*STATUSES, "other")
}
request_seconds = Histogram("byo_request_seconds", "From the arrival at the server to the answer.", SECONDS)
stages = {
    stage: Histogram("byo_stage_seconds", "Time of a request by stage.", SECONDS, f"stage={_quoted(stage)}")
    for stage in ("queue", "decode", "predict", "encode")
}
batch_inputs = Histogram("byo_batch_inputs", "Inputs in one call of predict.", SIZES)
split_batches = Number("byo_batches_split_total", "Batches that failed and were tried again in halves.")
restarts = Number("byo_worker_restarts_total", "Workers that ended unasked and were replaced.")
rolled = Number("byo_workers_rolled_total", "Workers that were replaced one by one, without a pause.")
# The present state of each worker.
pid = Number()
state = Number()
replace_me = Number()
"""Whether the worker asks for another one in its place."""
waiting = Number("byo_waiting_requests", "Requests that wait in a worker for a thread that computes.")
computing = Number("byo_computing_batches", "Calls of predict that run now.")
threads = Number()
models = Number("byo_models_loaded", "Models that a worker has loaded.")
PRESENT = (pid, state, replace_me, waiting, computing, threads, models)
WIDTH = next(_columns)


def count(status: int) -> None:
    """One request more that was answered with `status`. Only in the event loop."""
    requests.get(status, requests["other"]).add()


# --- whose row is whose --------------------------------------------------------------------------


def create(folder: Path, workers: int) -> None:
    """The table of one server, with rows for workers that overlap while one takes over from another."""
    Table.create(folder / "metrics", FIRST_WORKER + 3 * workers + 5, WIDTH)


def bind(folder: Path, number: int) -> None:
    """From now on this process writes to row `number`."""
    global _table, _own, _workers
    _table = Table.open(folder / "metrics", WIDTH)
    _own = _table.row(number)
    _workers = [_table.row(number) for number in range(FIRST_WORKER, _table.rows)]


def unbind() -> None:
    """From now on nobody sees what this process counts."""
    global _own
    _own = memoryview(bytearray(8 * WIDTH)).cast("d")


def workers() -> list[memoryview[float]]:
    """The rows of the workers; none in a process that stands alone."""
    return _workers


def row(number: int) -> memoryview[float]:
    """The numbers of another process."""
    assert _table is not None, "this process stands alone"
    return _table.row(number)


def ready_workers() -> int:
    """How many workers can answer."""
    return sum(row[state.column] == READY for row in workers())


def others_free() -> bool:
    """Whether another worker has a thread that does nothing."""
    me = os.getpid()
    return any(
        row[state.column] == READY and row[pid.column] != me and row[computing.column] < row[threads.column]
        for row in workers()
    )


def enter(now: int) -> None:
    """This worker's own state."""
    pid.set(os.getpid())
    state.set(now)


def clear_present(row: memoryview[float]) -> None:
    """What was true of a process that has ended."""
    for number in PRESENT:
        row[number.column] = 0.0


# --- the text -------------------------------------------------------------------------------------


def render() -> str:
    """All of it, summed over the processes, gauges by worker."""
    rows = [_table.row(number) for number in range(_table.rows)] if _table else [_own]
    lines = [
        *_family("counter", [number for number in requests.values() if number.total(rows)], rows),
        *_family("histogram", [request_seconds], rows),
        *_family("histogram", list(stages.values()), rows),
        *_family("histogram", [batch_inputs], rows),
        *(line for number in (split_batches, restarts, rolled) for line in _family("counter", [number], rows)),
        *_gauges([row for row in rows if row[state.column]]),
    ]
    return "\n".join(lines) + "\n"


def _family(kind: str, members: Sequence[Number | Histogram], rows: Sequence[memoryview[float]]) -> Iterator[str]:
    if not members:
        return
    yield f"# HELP {members[0].name} {members[0].text}"
    yield f"# TYPE {members[0].name} {kind}"
    for member in members:
        if isinstance(member, Histogram):
            yield from member.lines(rows)
        else:
            yield f"{member.name}{'{' + member.labels + '}' if member.labels else ''} {_text(member.total(rows))}"


def _gauges(rows: Sequence[memoryview[float]]) -> Iterator[str]:
    ready = sum(state.of(row) == READY for row in rows)
    yield from ("# HELP byo_workers_ready Workers that can answer.", "# TYPE byo_workers_ready gauge")
    yield f"byo_workers_ready {ready}"
    for number in (waiting, computing, models):
        yield f"# HELP {number.name} {number.text}"
        yield f"# TYPE {number.name} gauge"
        for row in rows:
            yield f'{number.name}{{pid="{pid.of(row):.0f}"}} {_text(number.of(row))}'
