"""The states of all workers, as each process of a server sees them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from byo_container.serving.metrics import exposition, prometheus, worker_state
from byo_container.serving.metrics.prometheus import table
from byo_container.serving.metrics.shared_table import FIRST_WORKER, SERVE, SharedTable
from byo_container.serving.metrics.worker_state import WorkerRow, WorkerState


@pytest.fixture(autouse=True)
def shared(tmp_path: Path) -> Iterator[Path]:
    """A table with this process as its first worker."""
    before = table.own, table.rows, table.workers
    table.create(tmp_path / "metrics", 2)
    table.bind(tmp_path / "metrics", FIRST_WORKER)
    yield tmp_path / "metrics"
    table.own, table.rows, table.workers = before


def test_worker_is_absent_until_it_enters_a_state() -> None:
    row = WorkerRow(FIRST_WORKER)
    assert row.state == WorkerState.ABSENT
    worker_state.enter_loading(threads=1)
    assert (row.state, row.pid) == (WorkerState.LOADING, os.getpid())
    assert not worker_state.ready_workers()
    worker_state.enter(WorkerState.READY)
    assert worker_state.ready_workers() == 1


def test_having_been_ready_outlives_the_worker() -> None:
    worker_state.enter(WorkerState.FAILED)
    assert not worker_state.any_worker_was_ready()
    worker_state.enter(WorkerState.READY)
    WorkerRow(FIRST_WORKER).clear()
    assert worker_state.any_worker_was_ready()
    assert not worker_state.ready_workers()


def test_counters_outlive_the_worker_and_gauges_do_not() -> None:
    prometheus.count(200)
    prometheus.waiting.set(3)
    WorkerRow(FIRST_WORKER).clear()
    assert prometheus.requests[200].get() == 1
    assert prometheus.waiting.get() == 0


def test_only_another_worker_with_a_free_thread_counts_as_free() -> None:
    worker_state.enter_loading(threads=1)
    worker_state.enter(WorkerState.READY)
    assert not worker_state.others_free()  # this one does not count
    own, table.own = table.own, table.rows[FIRST_WORKER + 1]
    worker_state.enter_loading(threads=1)
    worker_state.enter(WorkerState.READY)
    WorkerRow(FIRST_WORKER + 1)._row[worker_state._pid._column] = 1.0
    table.own = own
    assert worker_state.others_free()
    prometheus.computing.put(table.rows[FIRST_WORKER + 1], 1)
    assert not worker_state.others_free()


def test_another_process_sees_what_this_one_writes(shared: Path) -> None:
    worker_state.want_replacement()
    worker_state.start_draining()
    other = SharedTable()
    for _ in table.own:
        other.new_column()
    other.bind(shared, SERVE)
    assert other.rows == table.rows
    row = WorkerRow(FIRST_WORKER)
    assert row.wants_replacement
    row.wants_replacement = False
    assert not row.wants_replacement
    assert worker_state.draining()


def test_copy_of_a_worker_counts_for_nobody() -> None:
    table.unbind()
    prometheus.count(200)
    worker_state.enter(WorkerState.READY)
    assert not prometheus.requests[200].total(table.rows)
    assert not worker_state.ready_workers()


def test_gauges_are_by_worker_and_counters_summed() -> None:
    worker_state.enter(WorkerState.READY)
    prometheus.count(200)
    prometheus.count(299)
    prometheus.requests[200].put(table.rows[SERVE], 2)
    prometheus.waiting.set(3)
    prometheus.request_seconds.observe(0.002)
    prometheus.request_seconds.observe(100.0)
    lines = exposition.render().splitlines()
    assert 'byo_requests_total{status="200"} 3' in lines
    assert 'byo_requests_total{status="other"} 1' in lines
    assert "byo_workers_ready 1" in lines
    assert f'byo_waiting_requests{{pid="{os.getpid()}"}} 3' in lines
    assert 'byo_request_seconds_bucket{le="0.0025"} 1' in lines
    assert 'byo_request_seconds_bucket{le="+Inf"} 2' in lines
    assert "byo_request_seconds_count 2" in lines
