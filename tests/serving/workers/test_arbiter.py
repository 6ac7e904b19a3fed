"""The rolling restart, step by step, with workers that are only rows of the shared table."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.errors import HaltServer

from byo_container.serving.metrics import worker_state
from byo_container.serving.metrics.prometheus import table
from byo_container.serving.metrics.shared_table import ARBITER, FIRST_WORKER
from byo_container.serving.metrics.worker_state import WorkerRow, WorkerState
from byo_container.serving.workers.arbiter import Arbiter, Backoff
from tests.serving.workers.gunicorn_parts import config

LOADING, READY, FAILED = WorkerState.LOADING, WorkerState.READY, WorkerState.FAILED


class Pretended(Arbiter):
    """Starts no processes: a worker is its row, and its number is also its pid."""

    def __init__(self, workers: int = 2, load_timeout_s: float = 600.0) -> None:
        self.killed: list[tuple[int, int]] = []
        self.fails_to_fork = False
        self._next = FIRST_WORKER
        super().__init__(SimpleNamespace(cfg=config(workers=workers, loglevel="critical")), load_timeout_s)
        self.WORKERS: dict[int, Any] = {}  # gunicorn's is shared by all arbiters of a process

    def spawn_worker(self) -> int:
        if self.fails_to_fork:
            raise OSError("no more processes")
        pid, self._next = self._next, self._next + 1
        self.WORKERS[pid] = SimpleNamespace(row=WorkerRow(pid), age=pid, rolling=self.outgoing_pid != 0)
        self.enter(pid, LOADING)
        return pid

    def kill_worker(self, pid: int, sig: int) -> None:
        self.killed.append((pid, sig))

    def enter(self, pid: int, state: WorkerState) -> None:
        table.own = table.rows[pid]
        worker_state.enter(state)

    def ends(self, pid: int) -> None:
        """The worker has ended, and gunicorn reaps it."""
        worker = self.WORKERS.pop(pid)
        try:
            self.worker_ended(worker)
        finally:
            worker.row.clear()

    def turn(self) -> list[int]:
        """One turn of the main loop. The workers that are there after it."""
        self.manage_workers()
        return sorted(self.WORKERS)


@pytest.fixture(autouse=True)
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = table.own, table.rows, table.workers
    table.create(tmp_path / "metrics", 8)
    table.bind(tmp_path / "metrics", ARBITER)
    monkeypatch.setattr("time.sleep", lambda _: None)
    yield
    table.own, table.rows, table.workers = before


@pytest.fixture
def arbiter() -> Pretended:
    """Two workers, both ready."""
    arbiter = Pretended()
    assert arbiter.turn() == [2, 3]
    for pid in (2, 3):
        arbiter.enter(pid, READY)
    return arbiter


def test_each_worker_goes_when_its_successor_is_ready(arbiter: Pretended) -> None:
    arbiter.reload()
    assert arbiter.turn() == [2, 3, 4]
    assert (arbiter.turn(), arbiter.killed) == ([2, 3, 4], [])  # its model is still being loaded
    arbiter.enter(4, READY)
    arbiter.turn()
    assert arbiter.WORKERS[2].row.state == WorkerState.LEAVING
    arbiter.turn()
    assert arbiter.killed == [(2, signal.SIGTERM)]  # once
    arbiter.ends(2)
    assert arbiter.turn() == [3, 4]
    assert arbiter.turn() == [3, 4, 5]
    arbiter.enter(5, READY)
    arbiter.turn()
    arbiter.ends(3)
    assert arbiter.turn() == [4, 5]
    assert arbiter.turn() == [4, 5]
    assert arbiter.killed == [(2, signal.SIGTERM), (3, signal.SIGTERM)]


def test_old_workers_stay_if_the_new_model_cannot_be_loaded(arbiter: Pretended) -> None:
    arbiter.reload()
    arbiter.turn()
    arbiter.enter(4, FAILED)
    arbiter.ends(4)
    for _ in range(3):
        assert arbiter.turn() == [2, 3]
    assert arbiter.killed == []


def test_old_workers_stay_if_no_process_can_be_started(arbiter: Pretended) -> None:
    arbiter.reload()
    arbiter.fails_to_fork = True
    for _ in range(3):
        assert arbiter.turn() == [2, 3]
    assert arbiter.num_workers == 2


def test_successor_that_loads_for_too_long_is_killed(arbiter: Pretended) -> None:
    arbiter._load_timeout_s = 0.0
    arbiter.reload()
    arbiter.turn()
    arbiter.turn()
    assert arbiter.killed == [(4, signal.SIGKILL)]
    arbiter.ends(4)
    assert arbiter.turn() == [2, 3]


def test_second_reload_also_replaces_the_worker_that_is_loading(arbiter: Pretended) -> None:
    arbiter.reload()
    arbiter.turn()
    arbiter.reload()
    replaced = []
    for _ in range(20):
        for pid in arbiter.turn():
            if arbiter.WORKERS[pid].row.state == LOADING:
                arbiter.enter(pid, READY)
            elif arbiter.WORKERS[pid].row.state == WorkerState.LEAVING:
                arbiter.ends(pid)
                replaced.append(pid)
    assert replaced == [2, 3, 4]
    assert len(arbiter.WORKERS) == 2


def test_old_worker_that_dies_meanwhile_is_not_killed_again(arbiter: Pretended) -> None:
    arbiter.reload()
    arbiter.turn()
    arbiter.ends(2)
    arbiter.enter(4, READY)
    assert len(arbiter.turn()) == 2
    assert arbiter.killed == []


def test_worker_with_a_hanging_thread_is_replaced_once(arbiter: Pretended) -> None:
    arbiter.WORKERS[3].row.wants_replacement = True
    assert arbiter.turn() == [2, 3, 4]
    assert not arbiter.WORKERS[3].row.wants_replacement
    arbiter.enter(4, READY)
    arbiter.turn()
    assert arbiter.killed == [(3, signal.SIGTERM)]


def test_worker_that_was_never_ready_is_started_again_after_a_pause(arbiter: Pretended) -> None:
    arbiter.enter(2, LOADING)
    arbiter.ends(2)
    assert arbiter.turn() == [3]
    arbiter._backoff.reset()
    assert arbiter.turn() == [3, 4]


def test_worker_that_was_ready_is_replaced_at_once(arbiter: Pretended) -> None:
    arbiter.ends(2)
    assert arbiter.turn() == [3, 4]


def test_worker_that_cannot_be_set_up_ends_the_server_only_if_none_was_ever_ready(arbiter: Pretended) -> None:
    arbiter.enter(2, WorkerState.BROKEN)
    arbiter.ends(2)  # others have been ready
    for row in table.workers:
        worker_state._has_been_ready.put(row, 0)
    arbiter.enter(3, WorkerState.BROKEN)
    with pytest.raises(HaltServer) as raised:
        arbiter.ends(3)
    assert raised.value.exit_status == 3


def test_pauses_double_and_start_over_after_a_worker_that_was_ready() -> None:
    backoff, now, pauses = Backoff(), 100.0, []
    assert backoff.left_s(now) == 0
    for _ in range(9):
        backoff.failed(now)
        backoff.failed(now)  # another one that died at the same time
        pauses.append(backoff.left_s(now))
        now += pauses[-1]
        assert backoff.left_s(now) < 1e-9
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])
    backoff.failed(now)
    backoff.reset()
    assert backoff.left_s(now) == 0
    backoff.failed(now)
    assert backoff.left_s(now) == pytest.approx(0.1)


def test_statuses_of_workers_never_halt_gunicorn() -> None:
    """gunicorn takes 3 and 4 for its own end; a model may exit with any status."""
    codes: list[Any] = [Arbiter.WORKER_BOOT_ERROR, Arbiter.APP_LOAD_ERROR]
    assert not any(code in range(256) for code in codes)
