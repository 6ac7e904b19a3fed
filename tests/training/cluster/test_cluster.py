"""Whole clusters in memory: every order in which hosts may fail, stop, come late or fall silent, in simulated time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byo_container.training.cluster import protocol
from byo_container.training.cluster.events import LocalServicesOnly
from byo_container.training.cluster.protocol import HostResult, encode
from tests.training.support.cluster import KILLED, SETTINGS, SimulatedCluster

CLOSED = "RuntimeError: Connection closed by peer"
AT_MOST_S = 10.0


def started(count: int = 2) -> SimulatedCluster:
    cluster = SimulatedCluster(count)
    cluster.start()
    return cluster


def end(cluster: SimulatedCluster, within_s: float = AT_MOST_S) -> set[tuple[int, str]]:
    """Waits until all hosts that live have left; their results."""
    cluster.until(lambda: all(host.has_left or not host.is_up for host in cluster.hosts), within_s)
    return set(cluster.results())


# The rendezvous.


@pytest.mark.parametrize("count", [2, 3, 8])
def test_all_start_with_the_payloads_of_all(count: int) -> None:
    cluster = started(count)
    payloads = {f"algo-{number}": {"key": f"of algo-{number}"} for number in range(1, count + 1)}
    assert [host.payloads for host in cluster.hosts] == [payloads] * count


@pytest.mark.parametrize("number", [1, 2, 3])
def test_nobody_starts_before_all_are_ready(number: int) -> None:
    cluster = SimulatedCluster(3)
    for other in {1, 2, 3} - {number}:
        cluster.ready(other)
    cluster.run(60)
    assert [host.payloads for host in cluster.hosts] == [None] * 3
    cluster.ready(number)
    cluster.run(1)
    assert None not in [host.payloads for host in cluster.hosts]


@pytest.mark.parametrize("number", [1, 2])
def test_a_host_that_comes_late_is_waited_for(number: int) -> None:
    cluster = SimulatedCluster()
    cluster[number].came_at = 100
    cluster.ready(1)
    cluster.ready(2)
    cluster.run(99)
    assert any("waiting for algo-" in line for line in cluster[3 - number].log)
    cluster.run(3)
    assert None not in [host.payloads for host in cluster.hosts]


def test_a_host_that_never_comes_fails_the_others() -> None:
    cluster = SimulatedCluster(3)
    cluster[3].is_up = False
    for number in (1, 2):
        cluster.ready(number)
    cluster.run(899)
    assert [host.result for host in cluster.hosts[:2]] == [None, None]
    assert end(cluster) == {(1, "algo-3 did not join in 900 s")}


def test_a_coordinator_that_never_comes_fails_the_others() -> None:
    cluster = SimulatedCluster(3)
    cluster[1].is_up = False
    cluster.run(899)
    assert cluster.results() == [(-1, "")] * 2
    cluster.run(2)
    for number in (2, 3):
        cluster.leave(number, 143)
    assert end(cluster) == {
        (1, "algo-2 could not join algo-1 in 900 s, port 20000"),
        (1, "algo-3 could not join algo-1 in 900 s, port 20000"),
    }


@pytest.mark.parametrize("number", [1, 2])
def test_a_name_that_never_resolves_fails_all(number: int) -> None:
    cluster = SimulatedCluster()
    cluster[number].machine.host.unresolved = {"algo-7"}
    cluster.ready(1)
    cluster.ready(2)
    cluster.run(890)
    assert cluster.results() == [(-1, "")] * 2
    assert end(cluster, 20) == {(1, f"algo-{number}: the name algo-7 does not resolve after 900 s")}


def test_all_start_when_the_last_name_resolves() -> None:
    cluster = SimulatedCluster()
    cluster[2].machine.host.unresolved = {"algo-1"}
    cluster.ready(1)
    cluster.ready(2)
    cluster.run(10)
    assert any("waiting for algo-1 (its name does not resolve)" in line for line in cluster[2].log)
    cluster.resolve(2, "algo-1")
    cluster.run(1)
    assert None not in [host.payloads for host in cluster.hosts]


def test_a_host_of_another_job_cannot_join() -> None:
    cluster = SimulatedCluster()
    state = cluster[2].machine.host
    state.identity = dataclasses.replace(state.identity, name="yours")
    cluster.ready(1)
    cluster.ready(2)
    cluster.run(10)
    assert cluster[2].result
    assert cluster[2].result.text.startswith("algo-2 was not accepted by algo-1, port 20000: the job's name, ARN")
    assert cluster[1].result is None, "it may have been another machine that used the name"
    cluster.run(900)
    assert cluster[1].result
    assert cluster[1].result.text.startswith("algo-2 did not join in 900 s; algo-2 came and was refused, because")


# Success.


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_all_end_together(order: tuple[int, int]) -> None:
    cluster = started()
    cluster.leave(order[0])
    cluster.run(300)
    assert [host.has_left for host in cluster.hosts] == [False, False]
    cluster.leave(order[1])
    assert end(cluster) == {(0, "")}
    assert abs(cluster[1].left_at - cluster[2].left_at) < 1


def test_both_succeed_in_the_same_instant() -> None:
    cluster = started()
    cluster.leave(1)
    cluster.leave(2)
    assert end(cluster) == {(0, "")}


def test_a_host_of_services_is_ended_when_the_others_have_ended() -> None:
    cluster = started()
    cluster[2].ends_with = HostResult(0)
    cluster.handle(cluster[2], LocalServicesOnly())
    cluster.run(60)
    assert cluster[2].ended_at > cluster.now
    cluster.leave(1)
    assert end(cluster) == {(0, "")}


def test_a_host_of_services_whose_ranks_fail_says_so() -> None:
    cluster = started()
    cluster.handle(cluster[2], LocalServicesOnly())
    cluster.run(1)
    cluster[2].ends_with = HostResult(1, "rank 3: ValueError: torn")
    cluster.leave(1, 1, "mpirun train.py ended with status 1")
    assert end(cluster) == {(1, "algo-2, rank 3: ValueError: torn")}


def test_a_host_that_says_again_that_it_is_ready_changes_nothing() -> None:
    cluster = started()
    cluster.leave(2)
    cluster.run(1)
    cluster.send_line(2, encode(protocol.Ready({"key": "again"})))
    cluster.leave(1)
    assert end(cluster) == {(0, "")}


# Failures, in every order.


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_failure_of_one_host_is_the_result_of_all(number: int) -> None:
    cluster = started(3)
    cluster.leave(number, 7, "train.py ended with status 7")
    assert end(cluster) == {(7, f"algo-{number}: train.py ended with status 7")}
    assert all(host.ended_at < 2 for host in cluster.hosts)


@pytest.mark.parametrize("number", [1, 2])
def test_a_rank_that_fails_ends_all_before_its_launcher_ends(number: int) -> None:
    cluster = started()
    cluster.rank_fails(number, "ValueError: torn")
    assert end(cluster) == {(1, f"algo-{number}, rank 0: ValueError: torn")}


@pytest.mark.parametrize("gap_s", [-0.5, -0.005, 0.0, 0.005, 0.5])
def test_of_two_real_failures_the_first_one_is_reported_by_all_hosts(gap_s: float) -> None:
    """Both orders, and the same instant: whichever is chosen, all hosts report the same."""
    cluster = started()
    now = cluster.now + 1
    cluster.at(now, lambda: cluster.rank_fails(1, "ValueError: one"))
    cluster.at(now + gap_s, lambda: cluster.rank_fails(2, "ValueError: two"))
    (result,) = end(cluster)
    first = 2 if gap_s < -0.1 else 1
    if abs(gap_s) > 0.1:
        assert result == (1, f"algo-{first}, rank 0: ValueError: {'one' if first == 1 else 'two'}")
    assert result[1] in {"algo-1, rank 0: ValueError: one", "algo-2, rank 0: ValueError: two"}


@pytest.mark.parametrize("cause", [1, 2])
@pytest.mark.parametrize("gap_s", [-0.5, -0.05, 0.0, 0.05, 0.5])
def test_a_failure_is_reported_instead_of_its_consequence_whichever_is_first(cause: int, gap_s: float) -> None:
    cluster = started()
    now = cluster.now + 1
    cluster[cause].ends_with = HostResult(1, "rank 0: ValueError: torn")  # also where it is ended before it fails
    cluster.at(now, lambda: cluster.rank_fails(3 - cause, CLOSED))
    cluster.at(now + gap_s, lambda: cluster.leave(cause, 1, "rank 0: ValueError: torn"))
    assert end(cluster) == {(1, f"algo-{cause}, rank 0: ValueError: torn")}


@pytest.mark.parametrize("number", [1, 2])
def test_of_consequences_alone_the_first_is_reported(number: int) -> None:
    cluster = started()
    cluster.rank_fails(number, CLOSED)
    cluster.run(0.05)
    cluster.rank_fails(3 - number, CLOSED)
    assert end(cluster) == {(1, f"algo-{number}, rank 0: {CLOSED}")}


@pytest.mark.parametrize("killed", [1, 2])
@pytest.mark.parametrize("gap_s", [-0.05, 0.0, 0.05])
def test_a_killed_host_is_reported_instead_of_its_consequence(killed: int, gap_s: float) -> None:
    cluster = started()
    other, now = 3 - killed, cluster.now + 1
    cluster.at(now, lambda: cluster.rank_fails(other, CLOSED))
    cluster.at(now + gap_s, lambda: cluster.kill(killed))
    ((status, text),) = end(cluster)
    assert status == 1
    assert text.startswith("algo-1 (the first host) was lost" if killed == 1 else "algo-2 was lost")
    assert "its connection closed before the job had ended" in text


@pytest.mark.parametrize("killed", [1, 2])
def test_a_host_that_raised_and_another_that_is_killed_afterwards(killed: int) -> None:
    cluster = started()
    raised = 3 - killed
    cluster.leave(raised, 1, "rank 0: ValueError: torn")
    cluster.run(0.05)
    cluster.kill(killed)
    assert end(cluster) == {(1, f"algo-{raised}, rank 0: ValueError: torn")}


def test_a_host_that_raised_and_is_killed_afterwards_keeps_its_reason() -> None:
    cluster = started()
    cluster.rank_fails(2, "ValueError: torn")
    cluster.run(0.05)
    cluster.kill(2)
    assert end(cluster) == {(1, "algo-2, rank 0: ValueError: torn")}


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("late", [0.0, 3.0])
def test_a_failure_before_the_rendezvous_ends_all(number: int, late: float) -> None:
    cluster = SimulatedCluster()
    cluster[3 - number].came_at = late
    cluster.ready(3 - number)
    cluster.leave(number, 1, "pip install failed")
    assert end(cluster) == {(1, f"algo-{number}: pip install failed")}
    assert [host.payloads for host in cluster.hosts] == [None, None]


def test_a_failure_lingers_a_minute_for_a_host_that_never_comes() -> None:
    cluster = SimulatedCluster()
    cluster[2].is_up = False
    cluster.leave(1, 1, "pip install failed")
    assert end(cluster, 70) == {(1, "algo-1: pip install failed")}
    assert 60 < cluster[1].left_at < 62


def test_a_host_that_comes_after_a_failure_learns_of_it() -> None:
    cluster = SimulatedCluster(3)
    cluster[3].came_at = 30
    cluster.leave(1, 1, "pip install failed")
    cluster.run(20)
    assert cluster[2].has_left
    assert end(cluster, 20) == {(1, "algo-1: pip install failed")}


def test_a_host_that_comes_after_the_end_gives_up() -> None:
    cluster = SimulatedCluster()
    cluster[2].came_at = 100
    cluster.leave(1, 1, "pip install failed")
    cluster.run(99)
    assert cluster[1].has_left
    cluster.run(900)
    assert cluster[2].result == protocol.JobResult(1, "algo-2 could not join algo-1 in 900 s, port 20000")


@pytest.mark.parametrize("number", [1, 2])
def test_a_host_that_fails_after_the_other_has_succeeded(number: int) -> None:
    cluster = started()
    cluster.leave(3 - number)
    cluster.run(10)
    cluster.leave(number, 3, "train.py ended with status 3")
    assert end(cluster) == {(3, f"algo-{number}: train.py ended with status 3")}


# Hosts that are lost.


@pytest.mark.parametrize("number", [1, 2])
def test_a_killed_host_is_named_by_the_other(number: int) -> None:
    cluster = started()
    cluster.kill(number)
    ((status, text),) = end(cluster)
    assert status == 1
    assert text.startswith(f"algo-{number} ")


@pytest.mark.parametrize("number", [1, 2])
def test_a_host_that_is_killed_while_it_leaves_is_lost(number: int) -> None:
    cluster = started(3)
    cluster.leave(number)
    cluster.run(1)
    cluster.kill(number)
    assert {text.split(" ")[0] for _, text in end(cluster)} == {f"algo-{number}"}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_silent_host_is_lost_after_five_seconds(number: int) -> None:
    cluster = started(3)
    cut_at = cluster.now
    cluster.cut(number)
    cluster.run(4)
    assert cluster.results() == [(-1, "")] * 3
    end(cluster)
    for host in cluster.hosts:
        assert host.result
        assert host.result.status == 1
        assert "was lost: nothing was heard from it for 5 s" in host.result.text
        assert host is cluster[number] or host.result.text.startswith(f"algo-{number} ")
        assert 4 <= host.ended_at - cut_at < 6, "five seconds after the last heartbeat"


def test_heartbeats_keep_a_host_that_has_nothing_to_send() -> None:
    cluster = started()
    cluster.run(120)
    assert cluster.results() == [(-1, "")] * 2


@pytest.mark.parametrize("number", [1, 2])
def test_an_orphaned_host_is_lost_and_named_by_all(number: int) -> None:
    cluster = started()
    cluster.orphan(number)
    assert end(cluster) == {(1, f"algo-{number} was lost: its process 1 was killed")}
    assert cluster[number].stopped_at <= cluster[number].ended_at, "it may save"


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\n", b'{"kind": "host_result"}\n', b"[]\n", b"\xff\n"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_host_that_sends_a_malformed_message_is_lost(number: int, line: bytes) -> None:
    cluster = started()
    cluster.send_line(number, line)
    end(cluster)
    other = cluster[3 - number].result
    assert other
    assert other.text.startswith(f"algo-{number} ")
    assert "was lost: it sent " in other.text


# SIGTERM.


@pytest.mark.parametrize("number", [1, 2, 3])
def test_sigterm_on_one_host_lets_all_save(number: int) -> None:
    cluster = started(3)
    cluster.stop(number)
    assert end(cluster) == {(0, "")}
    assert all(host.stopped_at < 5 and host.ended_at >= host.stopped_at + 1 for host in cluster.hosts)


def test_sigterm_on_both_hosts_in_the_same_instant() -> None:
    cluster = started()
    cluster.stop(1)
    cluster.stop(2)
    assert end(cluster) == {(0, "")}


def test_a_second_sigterm_changes_nothing() -> None:
    cluster = started()
    for number in (2, 2, 1, 2):
        cluster.stop(number)
        cluster.run(0.1)
    assert end(cluster) == {(0, "")}


@pytest.mark.parametrize("number", [1, 2])
def test_sigterm_that_ends_a_script_is_reported_with_the_host_that_got_it(number: int) -> None:
    cluster = started()
    for host in cluster.hosts:
        host.saves_with = KILLED
    cluster.stop(number)
    ((status, text),) = end(cluster)
    assert status == 143
    assert text.startswith(f"SIGTERM came to algo-{number}; algo-")
    assert text.endswith(": train.py was killed by SIGTERM")


@pytest.mark.parametrize("number", [1, 2])
def test_a_failure_and_then_sigterm(number: int) -> None:
    cluster = started()
    cluster.rank_fails(number, "ValueError: torn")
    cluster.run(0.05)
    cluster.stop(3 - number)
    results = end(cluster)
    assert {status for status, _ in results} == {1}
    assert all(text.endswith(f"algo-{number}, rank 0: ValueError: torn") for _, text in results)


@pytest.mark.parametrize("number", [1, 2])
def test_sigterm_and_then_a_failure_lets_the_other_host_save(number: int) -> None:
    cluster = started()
    cluster.stop(3 - number)
    cluster.run(0.2)
    cluster.leave(number, 1, "OSError: No space left on device")
    cluster.run(0.2)
    assert cluster[3 - number].ended_at > cluster.now, "it still saves"
    assert end(cluster) == {(1, f"SIGTERM came to algo-{3 - number}; algo-{number}: OSError: No space left on device")}


@pytest.mark.parametrize("number", [1, 2])
def test_a_host_that_does_not_end_after_sigterm_is_named(number: int) -> None:
    cluster = SimulatedCluster(2, dataclasses.replace(SETTINGS, stop_grace_s=10))
    cluster.start()
    cluster[number].is_leaving = True  # nothing there ever ends
    cluster.stop(1)
    cluster.run(9)
    assert cluster.results() == [(-1, "")] * 2
    cluster.run(5)
    assert {host.result.text for host in cluster.hosts if host.result} == {
        f"SIGTERM came to algo-1; algo-{number} did not end in time after SIGTERM"
    }


@pytest.mark.parametrize("number", [1, 2])
def test_sigterm_before_the_rendezvous_ends_the_waiting(number: int) -> None:
    """`train` ends by itself where SIGTERM comes before the training has begun."""
    cluster = SimulatedCluster()
    cluster[3 - number].is_up = False
    cluster.run(10)
    cluster.stop(number)
    assert cluster[number].stopped_at > cluster.now, "there is nothing to stop"
    cluster.leave(number, 143, "stopped by SIGTERM before it had finished")
    assert end(cluster) == {(143, f"algo-{number}: stopped by SIGTERM before it had finished")}


@pytest.mark.parametrize("number", [1, 2])
def test_sigterm_cuts_the_lingering_short(number: int) -> None:
    cluster = SimulatedCluster()
    cluster[3 - number].is_up = False
    cluster.leave(number, 1, "pip install failed")
    cluster.run(10)
    assert not cluster[number].has_left
    cluster.stop(number)
    assert end(cluster, 1) == {(1, f"algo-{number}: pip install failed")}


@pytest.mark.parametrize("lose", [SimulatedCluster.kill, SimulatedCluster.cut])
@pytest.mark.parametrize("number", [1, 2])
def test_a_host_that_is_lost_while_all_save(number: int, lose: Callable[[SimulatedCluster, int], None]) -> None:
    cluster = started(3)
    for host in cluster.hosts:
        host.saves_with = HostResult(0)
    cluster.stop(3)
    cluster.run(0.2)
    lose(cluster, number)
    end(cluster, 130)
    for host in cluster.hosts:
        if host is not cluster[number]:
            assert host.result
            assert host.result.text.startswith(f"SIGTERM came to algo-3; algo-{number} ")


# Anything.

ACTIONS: dict[str, Callable[[SimulatedCluster, int], None]] = {
    "a rank raises": lambda cluster, number: cluster.rank_fails(number, "ValueError: torn"),
    "a rank loses its partner": lambda cluster, number: cluster.rank_fails(number, CLOSED),
    "success": lambda cluster, number: cluster.leave(number),
    "failure": lambda cluster, number: cluster.leave(number, 3, "train.py ended with status 3"),
    "services only": lambda cluster, number: cluster.handle(cluster[number], LocalServicesOnly()),
    "SIGTERM": SimulatedCluster.stop,
    "process 1 is killed": SimulatedCluster.orphan,
    "the host dies": SimulatedCluster.kill,
    "the cable is pulled": SimulatedCluster.cut,
}
LOSSES = {"process 1 is killed", "the host dies", "the cable is pulled"}
FAILURES = LOSSES | {"a rank raises", "a rank loses its partner", "failure"}


@settings(max_examples=100, deadline=None)
@given(
    st.integers(2, 4),
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 4), st.sampled_from(sorted(ACTIONS))), max_size=6),
)
def test_whatever_happens_all_hosts_end_soon_and_agree(count: int, plan: list[tuple[float, int, str]]) -> None:
    cluster = SimulatedCluster(count)
    cluster.start()
    plan = [(time_s, min(number, count), action) for time_s, number, action in plan]
    for time_s, number, action in plan:
        cluster.at(cluster.now + time_s, partial(ACTIONS[action], cluster, number))
    for number in range(1, count + 1):
        cluster.at(cluster.now + 4, partial(cluster.leave, number))
    cluster.run(4 + AT_MOST_S)
    living = [host for host in cluster.hosts if host.is_up]
    assert all(host.has_left for host in living)
    happened = {action for _, _, action in plan}
    results = {(host.result.status, host.result.text.rpartition("; ")[2]) for host in living if host.result}
    if not happened & LOSSES:
        assert len(results) <= 1
    if not happened & FAILURES:
        assert results == {(0, "")}
