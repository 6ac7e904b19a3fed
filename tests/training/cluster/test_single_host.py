"""A host that is alone: nobody to wait for, but ranks to watch and to stop."""

from __future__ import annotations

import pytest

from byo_container.training.cluster.effects import Decide, EndLocal, Leave, StartLocal, StopLocal
from byo_container.training.cluster.events import Leaving, LocalRankFailed, LocalReady, Orphaned, StopRequested, Tick
from byo_container.training.cluster.protocol import HostResult, JobResult
from byo_container.training.cluster.single_host import SingleHost
from tests.training.support.cluster import host_state


@pytest.fixture
def host() -> SingleHost:
    machine = SingleHost(host_state(1, 1))
    assert machine.handle(LocalReady({}), 0.0) == [StartLocal({"algo-1": {}})]
    return machine


def test_its_result_is_the_result_of_the_job(host: SingleHost) -> None:
    effects = host.handle(Leaving(HostResult(3, "train.py ended with status 3")), 1.0)
    assert Decide(JobResult(3, "train.py ended with status 3")) in effects
    assert effects[-1] == Leave()


def test_a_failed_rank_ends_the_others(host: SingleHost) -> None:
    assert EndLocal(2.0) in host.handle(LocalRankFailed("rank 1: torn"), 1.0)
    assert host.handle(LocalRankFailed("rank 1: torn"), 1.0) == []


@pytest.mark.parametrize("event", [StopRequested(), Orphaned()])
def test_sigterm_stops_the_ranks_once_and_lets_them_save(host: SingleHost, event: StopRequested | Orphaned) -> None:
    effects = host.handle(event, 1.0)
    assert StopLocal() in effects
    assert not any(isinstance(effect, EndLocal) for effect in effects)
    assert host.handle(event, 2.0) == []
    assert host.handle(LocalRankFailed("rank 1: torn"), 2.0) == []


def test_sigterm_before_the_start_stops_nothing() -> None:
    assert SingleHost(host_state(1, 1)).handle(StopRequested(), 0.0) == []


def test_time_changes_nothing(host: SingleHost) -> None:
    assert host.handle(Tick(), 10_000.0) == []
