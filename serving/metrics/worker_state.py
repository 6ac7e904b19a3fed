"""The state of each worker, in the table that all processes of the server share.

This is the only source of truth for readiness: /ping, the sockets that accept, the arbiter's rolling restart and
`serve` itself read it here.
"""

from __future__ import annotations

import os
from enum import IntEnum

from byo_container.serving.metrics.prometheus import Number, computing, models, table, waiting
from byo_container.serving.metrics.shared_table import FIRST_WORKER, SERVE


class WorkerState(IntEnum):
    """What a worker is doing."""

    ABSENT = 0
    LOADING = 1
    READY = 2
    FAILED = 3
    """Its model cannot be loaded."""
    LEAVING = 4
    """Another worker has taken over from it: it takes no new requests."""
    BROKEN = 5
    """It could not even begin to load."""


_pid, _state, _threads, _wants_replacement = Number(), Number(), Number(), Number()
_has_been_ready = Number()
"""Whether a worker of this row has ever been ready. Not cleared when it ends."""
_draining = Number()
"""In the row of `serve`: the server is about to end."""
# What is true of a process only while it lives.
_PRESENT = (_pid, _state, _threads, _wants_replacement, waiting, computing, models)


class WorkerRow:
    """The row of one worker, as gunicorn's arbiter and GET /metrics read and write it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._row = table.rows[number]

    @property
    def state(self) -> WorkerState:
        return WorkerState(int(_state.of(self._row)))

    @state.setter
    def state(self, state: WorkerState) -> None:
        _state.put(self._row, state)

    @property
    def wants_replacement(self) -> bool:
        """Set by a worker with a thread that hangs; the arbiter resets it when it has taken note."""
        return bool(_wants_replacement.of(self._row))

    @wants_replacement.setter
    def wants_replacement(self, wanted: bool) -> None:
        _wants_replacement.put(self._row, wanted)

    @property
    def pid(self) -> int:
        return int(_pid.of(self._row))

    def value(self, gauge: Number) -> float:
        return gauge.of(self._row)

    def clear(self) -> None:
        """Removes what was true of a worker that has ended. Its counters stay."""
        for number in _PRESENT:
            number.put(self._row, 0.0)


def enter(state: WorkerState) -> None:
    """Sets this worker's own state."""
    if state == WorkerState.READY:
        _has_been_ready.set(1)
    _pid.set(os.getpid())
    _state.set(state)


def enter_loading(threads: int) -> None:
    """This worker begins to load its model, which `threads` threads will compute."""
    _threads.set(threads)
    enter(WorkerState.LOADING)


def own_state() -> WorkerState:
    return WorkerState(int(_state.get()))


def want_replacement() -> None:
    """This worker asks the arbiter to replace it."""
    _wants_replacement.set(1)


def ready_workers() -> int:
    """How many workers can answer."""
    return sum(_state.of(row) == WorkerState.READY for row in table.workers)


def any_worker_was_ready() -> bool:
    """Whether any worker has been ready since `serve` started."""
    return any(_has_been_ready.of(row) for row in table.workers)


def others_free() -> bool:
    """Whether another worker has a thread that computes nothing."""
    me = os.getpid()
    return any(
        _state.of(row) == WorkerState.READY and _pid.of(row) != me and computing.of(row) < _threads.of(row)
        for row in table.workers
    )


def present_workers() -> list[WorkerRow]:
    """The workers that are there, whatever their state."""
    rows = [WorkerRow(number) for number in range(FIRST_WORKER, len(table.rows))]
    return [row for row in rows if row.state != WorkerState.ABSENT]


def start_draining() -> None:
    """`serve` is about to end: workers close the connections that would last."""
    _draining.put(table.rows[SERVE], 1)


def draining() -> bool:
    return bool(_draining.of(table.rows[SERVE]))
