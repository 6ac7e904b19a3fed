"""The coordinator's decisions, one event after the other: which peers may join, and what each message means."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import pytest

from byo_container.training.cluster import protocol
from byo_container.training.cluster.coordinator import RESULTS_S, UNIDENTIFIED_S, Coordinator
from byo_container.training.cluster.effects import (
    Close,
    Decide,
    Effect,
    EndLocal,
    Identify,
    Leave,
    StartLocal,
    StopLocal,
)
from byo_container.training.cluster.events import (
    ConnectionClosed,
    DataReceived,
    Event,
    FilesExhausted,
    Leaving,
    LocalRankFailed,
    LocalReady,
    MalformedMessage,
    MessageReceived,
    PeerConnected,
    StopRequested,
    Tick,
)
from byo_container.training.cluster.handshake import JobIdentity, make_nonce
from byo_container.training.cluster.protocol import HostResult, JobResult, Message
from tests.training.support.cluster import SETTINGS, host_state, identity_of, logged, sent

IDENTITY = identity_of(3)
NONCE = make_nonce()
LINE = "a line of more than 1024 bytes"


class Driver:
    """The coordinator of three hosts."""

    def __init__(self, max_unidentified: int = 8) -> None:
        self.coordinator = Coordinator(host_state(3, 1), max_unidentified)

    def __call__(self, event: Event, now: float = 0.0) -> Sequence[Effect]:
        return self.coordinator.handle(event, now)

    def connect(self, peer: int, now: float = 0.0) -> Sequence[Effect]:
        return self(PeerConnected(peer, f"10.0.0.{peer}", NONCE), now)

    def hello(self, peer: int, host: str, identity: JobIdentity = IDENTITY, now: float = 0.0) -> Sequence[Effect]:
        proof = identity.prove("other host", host, NONCE, NONCE)
        return self(MessageReceived(peer, protocol.Hello(host, NONCE, proof)), now)

    def join(self, peer: int, host: str, now: float = 0.0) -> Sequence[Effect]:
        self.connect(peer, now)
        return self.hello(peer, host, now=now)

    def receive(self, peer: int, message: Message, now: float = 0.0) -> Sequence[Effect]:
        return self(MessageReceived(peer, message), now)

    def started(self) -> Driver:
        """All hosts have joined, by the connections 2 and 3, and started."""
        for peer in (2, 3):
            self.join(peer, f"algo-{peer}")
            self.receive(peer, protocol.Ready({}))
        self(LocalReady({}))
        assert any(isinstance(effect, StartLocal) for effect in self(Tick()))
        return self


@pytest.fixture
def first() -> Driver:
    return Driver()


def closed(effects: Sequence[Effect]) -> list[int]:
    return [effect.peer for effect in effects if isinstance(effect, Close)]


def decided(effects: Sequence[Effect]) -> list[JobResult]:
    return [effect.result for effect in effects if isinstance(effect, Decide)]


# Peers that have not proved which host they are.


def test_a_new_connection_gets_a_challenge_and_nothing_else(first: Driver) -> None:
    assert sent(first.connect(7)) == [protocol.Challenge(NONCE)]
    assert sent(first(Tick(), 1.0)) == []


def test_a_proof_is_answered_by_a_proof(first: Driver) -> None:
    effects = first.join(7, "algo-2")
    (accepted,) = sent(effects, 7)
    assert accepted == protocol.Accepted(IDENTITY.prove("first host", "algo-2", NONCE, NONCE))
    assert Identify(7) in effects


@pytest.mark.parametrize("host", ["algo-1", "algo-9", ""])
def test_a_name_of_no_other_host_is_rejected(first: Driver, host: str) -> None:
    assert sent(first.join(7, host)[-1:]) == [protocol.Rejected()]
    assert first.coordinator.joined == set()


def test_a_second_host_of_the_same_name_is_rejected(first: Driver) -> None:
    first.join(7, "algo-2")
    assert sent(first.join(8, "algo-2")) == [protocol.Rejected()]
    assert sent(first.join(9, "algo-3")) != [protocol.Rejected()]


def test_a_host_that_was_lost_cannot_join_again(first: Driver) -> None:
    first.join(7, "algo-2")
    first(ConnectionClosed(7))
    assert sent(first.join(8, "algo-2")) == [protocol.Rejected()]


def test_a_host_of_another_job_is_rejected_and_logged(first: Driver) -> None:
    first.connect(7)
    effects = first.hello(7, "algo-2", dataclasses.replace(IDENTITY, name="yours"))
    assert sent(effects) == [protocol.Rejected()]
    (warning,) = logged(effects, logging.WARNING)
    assert warning.startswith("refused to let 10.0.0.7 join: it calls itself 'algo-2', but the job's name, ARN")
    assert first.coordinator.rejected == {"algo-2"}


def test_a_second_attempt_over_one_connection_is_malformed(first: Driver) -> None:
    first.connect(7)
    first.hello(7, "algo-2", dataclasses.replace(IDENTITY, name="yours"))
    assert closed(first.hello(7, "algo-2")) == [7]
    assert first.coordinator.joined == set()


@pytest.mark.parametrize(
    "message",
    [
        protocol.Challenge(NONCE),
        protocol.Accepted(NONCE),
        protocol.Rejected(),
        protocol.Ready({}),
        protocol.Start({}),
        protocol.Stop("algo-2"),
        protocol.RankFailed("x"),
        protocol.End("x"),
        HostResult(1, "x"),
        JobResult(0, ""),
    ],
    ids=protocol.kind_of,
)
def test_an_unidentified_peer_may_only_join(first: Driver, message: Message) -> None:
    first.connect(7)
    effects = first.receive(7, message)
    assert closed(effects) == [7]
    assert sent(effects) == []
    assert not first.coordinator.failures


def test_an_unidentified_peer_has_five_seconds_whatever_it_sends(first: Driver) -> None:
    first.connect(7, now=0.0)
    first(DataReceived(7), UNIDENTIFIED_S - 0.1)
    assert closed(first.receive(7, protocol.Heartbeat(), UNIDENTIFIED_S - 0.1)) == []
    assert closed(first(Tick(), UNIDENTIFIED_S)) == []
    assert closed(first(Tick(), UNIDENTIFIED_S + 0.1)) == [7]
    assert not first.coordinator.failures


def test_an_unidentified_peer_has_five_seconds_whatever_the_heartbeat_timeout_is() -> None:
    first = Driver()
    first.coordinator.host.settings = dataclasses.replace(SETTINGS, heartbeat_timeout_s=2)
    first.connect(7)
    assert closed(first(Tick(), UNIDENTIFIED_S)) == []


def test_a_host_that_has_joined_is_not_closed_after_five_seconds(first: Driver) -> None:
    first.join(7, "algo-2")
    first(DataReceived(7), UNIDENTIFIED_S)
    assert closed(first(Tick(), UNIDENTIFIED_S + 1)) == []


def test_the_oldest_unidentified_peer_makes_room() -> None:
    first = Driver(max_unidentified=2)
    first.join(1, "algo-2")
    assert [closed(first.connect(peer)) for peer in (11, 12, 13, 14)] == [[], [], [11], [12]]
    assert first.coordinator._unidentified() == [13, 14]


def test_the_oldest_unidentified_peer_leaves_its_file_when_there_are_no_others(first: Driver) -> None:
    first.join(1, "algo-2")
    first.connect(11)
    first.connect(12)
    assert closed(first(FilesExhausted())) == [11]
    assert closed(first(FilesExhausted())) == [12]
    assert closed(first(FilesExhausted())) == []


def test_warnings_are_limited_to_one_a_second(first: Driver) -> None:
    warnings = []
    for number in range(100):
        first.connect(number)
        warnings += logged(first(MalformedMessage(number, LINE), number / 40), logging.WARNING)
    assert len(warnings) == 3
    assert warnings[0] == f"turned away 10.0.0.0, which sent {LINE}"
    assert warnings[1] == f"turned away 10.0.0.40, which sent {LINE}; before it 39 more such warnings"


def test_a_connection_lost_before_it_was_identified_is_nothing(first: Driver) -> None:
    first.connect(7)
    first(ConnectionClosed(7))
    assert first(MessageReceived(7, protocol.Heartbeat())) == []
    assert not first.coordinator.failures


def test_events_of_a_closed_connection_are_ignored(first: Driver) -> None:
    first.connect(7)
    first(MalformedMessage(7, LINE))
    for event in (DataReceived(7), ConnectionClosed(7), MalformedMessage(7, LINE), MessageReceived(7, HostResult(0))):
        assert first(event) == []


# Hosts of the job.


@pytest.mark.parametrize(
    "message",
    [
        protocol.Challenge(NONCE),
        protocol.Hello("algo-2", NONCE, NONCE),
        protocol.Accepted(NONCE),
        protocol.Rejected(),
        protocol.Start({}),
        protocol.End("x"),
        JobResult(0, ""),
    ],
    ids=protocol.kind_of,
)
def test_a_host_that_sends_what_only_the_coordinator_may_send_is_lost(first: Driver, message: Message) -> None:
    first.started()
    assert 2 in closed(first.receive(2, message))
    kind = protocol.kind_of(message)
    assert first.coordinator.failures["algo-2"].text == (
        f"algo-2 was lost: it sent {kind!r}, which only the first host may say"
    )


def test_a_result_before_the_host_is_ready_counts(first: Driver) -> None:
    first.join(2, "algo-2")
    effects = first.receive(2, HostResult(1, "algo-2: torn"))
    assert EndLocal(2.0) in effects
    assert sent(first.join(3, "algo-3"))[-1] == protocol.End("another host has failed")


def test_nothing_starts_when_a_host_fails_at_the_moment_in_which_all_are_ready(first: Driver) -> None:
    for peer in (2, 3):
        first.join(peer, f"algo-{peer}")
        first.receive(peer, protocol.Ready({}))
    first(LocalReady({}))
    first.receive(2, HostResult(1, "algo-2: torn"))
    assert not any(isinstance(effect, StartLocal) for effect in first(Tick()))


def test_a_success_before_the_host_is_ready_ends_nothing(first: Driver) -> None:
    first.join(2, "algo-2")
    assert sent(first.receive(2, HostResult(0))) == []
    assert decided(first(Tick(), 1.0)) == []


def test_a_host_that_joins_after_the_result_gets_it(first: Driver) -> None:
    first(Leaving(HostResult(1, "pip install failed")))
    first(Tick())
    assert sent(first.join(2, "algo-2"))[-1] == JobResult(1, "algo-1: pip install failed")


def test_lingering_ends_when_no_host_could_join_any_more(first: Driver) -> None:
    first(Leaving(HostResult(1, "pip install failed")), 890.0)
    assert Leave() not in first(Tick(), 899.0)
    assert Leave() in first(Tick(), 900.1)


def test_a_failure_is_decided_when_all_have_sent_their_results(first: Driver) -> None:
    first.started()
    assert sent(first.receive(2, protocol.RankFailed("algo-2, rank 1: torn")), 3) == [
        protocol.End("algo-2, rank 1: torn")
    ]
    first.receive(2, HostResult(7, "algo-2, rank 1: ValueError: torn"))
    first.receive(3, HostResult(143, "algo-3: train.py was killed by SIGTERM"))
    assert decided(first(Tick())) == []
    first(Leaving(HostResult(143, "train.py was killed by SIGTERM")))
    assert decided(first(Tick())) == [JobResult(7, "algo-2, rank 1: ValueError: torn")]


def test_a_failure_is_decided_after_four_seconds_without_the_other_results(first: Driver) -> None:
    first.started()
    first.receive(2, protocol.RankFailed("algo-2, rank 1: torn"), 10.0)
    for peer in (2, 3):
        first(DataReceived(peer), 10.0)
    assert decided(first(Tick(), 10.0 + RESULTS_S)) == []
    assert decided(first(Tick(), 10.1 + RESULTS_S)) == [JobResult(1, "algo-2, rank 1: torn")]


def test_a_success_that_came_before_a_failure_is_asked_for_again(first: Driver) -> None:
    first.started()
    first.receive(2, HostResult(0))
    first.receive(3, HostResult(1, "algo-3: torn"))
    first(Leaving(HostResult(0)))
    assert decided(first(Tick())) == [], "algo-2 may have served ranks that failed"
    first.receive(2, HostResult(1, "algo-2, rank 4: ValueError: torn"))
    assert decided(first(Tick())) == [JobResult(1, "algo-3: torn")]


def test_the_own_success_stays_when_another_host_fails(first: Driver) -> None:
    first.started()
    first(Leaving(HostResult(0)))
    first.receive(2, HostResult(1, "algo-2: torn"))
    first.receive(3, HostResult(143, "algo-3: train.py was killed by SIGTERM"))
    assert decided(first(Tick())) == [JobResult(1, "algo-2: torn")], "at once"


def test_the_job_has_succeeded_only_when_all_hosts_have(first: Driver) -> None:
    first.started()
    first(Leaving(HostResult(0)))
    first.receive(2, HostResult(0))
    assert decided(first(Tick())) == []
    first.receive(3, HostResult(0))
    effects = first(Tick())
    assert decided(effects) == [JobResult(0)]
    assert sent(effects, 2)[-1] == sent(effects, 3)[-1] == JobResult(0)
    assert Leave() not in effects, "the others have not read it"
    first(ConnectionClosed(2))
    assert Leave() in first(ConnectionClosed(3)) or Leave() in first(Tick())


def test_a_host_that_closes_its_connection_after_the_result_is_not_lost(first: Driver) -> None:
    first.started()
    first(Leaving(HostResult(0)))
    for peer in (2, 3):
        first.receive(peer, HostResult(0))
    first(Tick())
    first(ConnectionClosed(2))
    assert not first.coordinator.failures


def test_a_host_that_is_lost_after_its_success_fails_the_job(first: Driver) -> None:
    first.started()
    first.receive(2, HostResult(0))
    first(ConnectionClosed(2))
    assert first.coordinator.failures["algo-2"].host_lost
    first.receive(3, HostResult(0))
    first(Leaving(HostResult(0)))
    assert [result.status for result in decided(first(Tick()))] == [1], "and is not waited for"


def test_a_second_failure_of_a_host_does_not_replace_the_first(first: Driver) -> None:
    first.started()
    first.receive(2, HostResult(1, "algo-2: torn"))
    first.receive(2, HostResult(9, "algo-2: something else"))
    first(ConnectionClosed(2))
    assert first.coordinator.failures["algo-2"].text == "algo-2: torn"


def test_a_stop_goes_to_all_hosts_by_the_name_of_its_sender(first: Driver) -> None:
    first.started()
    effects = first.receive(2, protocol.Stop("algo-3"))
    assert sent(effects, 3) == [protocol.Stop("algo-2")], "a host speaks for itself"
    assert StopLocal() in effects
    assert StopLocal() not in first(StopRequested())


def test_a_failed_rank_of_this_host_is_reported_once(first: Driver) -> None:
    first.started()
    effects = first(LocalRankFailed("rank 0: ValueError: \x1b[2Jtorn"))
    assert sent(effects, 2) == [protocol.End("algo-1, rank 0: ValueError: \\x1b[2Jtorn")]
    assert first(LocalRankFailed("rank 0: ValueError: torn")) == []


def test_a_failed_rank_ends_nothing_while_all_save(first: Driver) -> None:
    first.started()
    first(StopRequested())
    assert first(LocalRankFailed("rank 0: torn")) == []
    assert not first.coordinator.failures, "the host's result will tell"


def test_a_host_that_is_alone_with_silence_is_lost(first: Driver) -> None:
    first.started()
    first(DataReceived(2), 5.0)
    assert closed(first(Tick(), 5.1)) == [3]
    assert first.coordinator.failures["algo-3"].text.startswith("algo-3 was lost: nothing was heard from it for 5 s")


def test_heartbeats_go_to_hosts_every_second_and_not_to_unidentified_peers(first: Driver) -> None:
    first.join(2, "algo-2")
    first.connect(7)
    beats = [sent(first(Tick(), number / 4)) for number in range(9)]
    assert [len(each) for each in beats] == [1, 0, 0, 0, 1, 0, 0, 0, 1]
