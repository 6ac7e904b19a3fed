"""A member's decisions, one event after the other: joining, waiting, and ending as the coordinator decides."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from byo_container.training.cluster import protocol
from byo_container.training.cluster.effects import (
    Close,
    Connect,
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
    Leaving,
    LocalRankFailed,
    LocalReady,
    LocalServicesOnly,
    MalformedMessage,
    MessageReceived,
    NameResolved,
    Orphaned,
    PeerConnected,
    StopRequested,
    Tick,
)
from byo_container.training.cluster.handshake import make_nonce
from byo_container.training.cluster.member import Member
from byo_container.training.cluster.protocol import HostResult, JobResult, Message, Payload
from tests.training.support.cluster import host_state, identity_of, logged, sent

IDENTITY = identity_of(2)
CHALLENGE, NONCE = make_nonce(), make_nonce()
ALL: dict[str, Payload] = {"algo-1": {}, "algo-2": {}}
PROOF = IDENTITY.prove("first host", "algo-2", CHALLENGE, NONCE)


class Driver:
    """The second of two hosts."""

    def __init__(self) -> None:
        self.member = Member(host_state(2, 2))

    def __call__(self, event: Event, now: float = 0.0) -> Sequence[Effect]:
        return self.member.handle(event, now)

    def receive(self, message: Message, now: float = 0.0) -> Sequence[Effect]:
        return self(MessageReceived(1, message), now)

    def joined(self) -> Driver:
        """Over the connection 1."""
        assert Connect() in self(Tick())
        self(PeerConnected(1, "algo-1", NONCE))
        self.receive(protocol.Challenge(CHALLENGE))
        assert Identify(1) in self.receive(protocol.Accepted(PROOF))
        return self

    def started(self) -> Driver:
        self.joined()
        self(LocalReady({}))
        assert protocol.Ready({}) in sent(self(Tick()))
        assert StartLocal(ALL) in self.receive(protocol.Start(ALL))
        return self


@pytest.fixture
def member() -> Driver:
    return Driver()


def decided(effects: Sequence[Effect]) -> list[JobResult]:
    return [effect.result for effect in effects if isinstance(effect, Decide)]


# Joining.


def test_it_connects_five_times_a_second_until_it_succeeds(member: Driver) -> None:
    tries = [Connect() in member(Tick(), number / 8) for number in range(7)]
    assert tries == [True, False, True, False, True, False, True]
    member(PeerConnected(1, "algo-1", NONCE), 0.9)
    assert Connect() not in member(Tick(), 2.0)


def test_it_connects_when_the_name_of_the_coordinator_resolves(member: Driver) -> None:
    member.member.host.unresolved = {"algo-1", "algo-2"}
    assert Connect() not in member(Tick())
    member(NameResolved("algo-2"))
    assert Connect() not in member(Tick(), 1.0)
    member(NameResolved("algo-1"))
    assert Connect() in member(Tick(), 2.0)


def test_it_answers_a_challenge_with_a_proof_of_its_own_name(member: Driver) -> None:
    member(PeerConnected(1, "algo-1", NONCE))
    (hello,) = sent(member.receive(protocol.Challenge(CHALLENGE)))
    assert hello == protocol.Hello("algo-2", NONCE, IDENTITY.prove("other host", "algo-2", CHALLENGE, NONCE))


def test_a_false_proof_of_the_coordinator_is_not_accepted(member: Driver) -> None:
    member(PeerConnected(1, "algo-1", NONCE))
    member.receive(protocol.Challenge(CHALLENGE))
    own = IDENTITY.prove("other host", "algo-2", CHALLENGE, NONCE)
    effects = member.receive(protocol.Accepted(own))  # its own proof, given back to it
    assert Close(1) in effects
    assert not member.member.is_accepted
    assert Connect() in member(Tick(), 1.0), "somebody else's port: it goes on trying"


@pytest.mark.parametrize(
    "message",
    [
        protocol.Hello("algo-1", NONCE, NONCE),
        protocol.Accepted(PROOF),
        protocol.Ready({}),
        protocol.Start(ALL),
        protocol.Stop("algo-1"),
        protocol.RankFailed("x"),
        protocol.End("x"),
        HostResult(1, "x"),
        JobResult(0, ""),
    ],
    ids=protocol.kind_of,
)
def test_what_comes_before_the_challenge_is_refused(member: Driver, message: Message) -> None:
    member(PeerConnected(1, "algo-1", NONCE))
    effects = member.receive(message)
    assert Close(1) in effects
    assert not any(isinstance(effect, StartLocal | StopLocal | EndLocal | Decide) for effect in effects)


def test_a_second_challenge_is_refused(member: Driver) -> None:
    member(PeerConnected(1, "algo-1", NONCE))
    member.receive(protocol.Challenge(CHALLENGE))
    assert Close(1) in member.receive(protocol.Challenge(CHALLENGE))


def test_a_connection_that_is_lost_before_it_is_accepted_is_tried_again(member: Driver) -> None:
    member(Tick(), 0.0)
    member(PeerConnected(1, "algo-1", NONCE))
    assert decided(member(ConnectionClosed(1))) == []
    assert Connect() in member(Tick(), 0.3)


def test_a_connection_that_stays_silent_is_tried_again(member: Driver) -> None:
    member(PeerConnected(1, "algo-1", NONCE))
    effects = member(Tick(), 5.1)
    assert Close(1) in effects
    assert Connect() in effects


def test_warnings_of_somebody_elses_port_are_limited_to_one_a_second(member: Driver) -> None:
    warnings = []
    for number in range(20):
        member(PeerConnected(number, "algo-1", NONCE))
        warnings += logged(member(MalformedMessage(number, "no JSON (b'SSH-2.0')"), number / 10), logging.WARNING)
    assert len(warnings) == 2


def test_a_rejected_host_ends_with_what_it_knows_of_the_job(member: Driver) -> None:
    member(PeerConnected(1, "algo-1", NONCE))
    member.receive(protocol.Challenge(CHALLENGE))
    ((result),) = decided(member.receive(protocol.Rejected()))
    assert result.status == 1
    assert result.text.startswith("algo-2 was not accepted by algo-1, port 20000: the job's name, ARN, hosts,")
    assert "here it is job 'mine', hosts algo-1, algo-2" in result.text


def test_a_failure_before_joining_is_sent_when_it_joins(member: Driver) -> None:
    member(Leaving(HostResult(1, "pip install failed")))
    member(PeerConnected(1, "algo-1", NONCE))
    member.receive(protocol.Challenge(CHALLENGE))
    assert sent(member.receive(protocol.Accepted(PROOF))) == [HostResult(1, "algo-2: pip install failed")]


def test_a_failure_before_joining_is_the_result_after_a_minute(member: Driver) -> None:
    member(Leaving(HostResult(1, "pip install failed")), 10.0)
    assert decided(member(Tick(), 70.0)) == []
    effects = member(Tick(), 70.1)
    assert decided(effects) == [JobResult(1, "algo-2: pip install failed")]
    assert Leave() in effects


def test_a_stopped_host_does_not_wait_a_minute(member: Driver) -> None:
    member(Leaving(HostResult(143, "stopped by SIGTERM")), 10.0)
    assert decided(member(Tick(), 13.0)) == []
    assert decided(member(Tick(), 13.1)) == [JobResult(143, "algo-2: stopped by SIGTERM")]


# With the coordinator.


def test_it_is_ready_once_and_only_when_all_names_resolve(member: Driver) -> None:
    member.joined()
    member.member.host.unresolved = {"algo-1"}
    member(LocalReady({"key": "1"}))
    assert protocol.Ready({"key": "1"}) not in sent(member(Tick()))
    member(NameResolved("algo-1"))
    assert protocol.Ready({"key": "1"}) in sent(member(Tick()))
    assert protocol.Ready({"key": "1"}) not in sent(member(Tick()))


def test_it_does_not_get_ready_after_a_failure(member: Driver) -> None:
    member.joined()
    member(LocalReady({}))
    member(Leaving(HostResult(1, "torn")))
    assert protocol.Ready({}) not in sent(member(Tick()))


@pytest.mark.parametrize("names", [["algo-1"], ["algo-1", "algo-2", "algo-3"], ["algo-1", "other"]])
def test_a_start_with_other_hosts_is_refused(member: Driver, names: list[str]) -> None:
    member.joined()
    effects = member.receive(protocol.Start({name: {} for name in names}))
    assert not any(isinstance(effect, StartLocal) for effect in effects)
    assert decided(effects)[0].text.startswith("algo-1 (the first host) was lost: it sent 'start' with the payloads of")


@pytest.mark.parametrize(
    "message",
    [
        protocol.Challenge(CHALLENGE),
        protocol.Hello("algo-1", NONCE, NONCE),
        protocol.Accepted(PROOF),
        protocol.Rejected(),
        protocol.Ready({}),
        protocol.RankFailed("x"),
        HostResult(0),
    ],
    ids=protocol.kind_of,
)
def test_a_message_that_a_coordinator_does_not_send_loses_it(member: Driver, message: Message) -> None:
    member.started()
    effects = member.receive(message)
    assert Close(1) in effects
    assert decided(effects) == [
        JobResult(
            1, f"algo-1 (the first host) was lost: it sent {protocol.kind_of(message)!r} after this host had joined"
        )
    ]


def test_end_ends_everything_here_and_the_result_is_sent_again(member: Driver) -> None:
    member.started()
    member(Leaving(HostResult(0)))
    effects = member.receive(protocol.End("algo-1: torn"))
    assert EndLocal(2.0) in effects
    assert sent(effects) == [HostResult(0)]
    assert "ending, because algo-1: torn" in logged(effects)


def test_end_while_services_still_run_does_not_send_their_success_again(member: Driver) -> None:
    """Ranks that they serve may have failed."""
    member.started()
    assert sent(member(LocalServicesOnly())) == [HostResult(0)]
    assert sent(member.receive(protocol.End("algo-1: torn"))) == []
    assert sent(member(Leaving(HostResult(1, "rank 3: torn")))) == [HostResult(1, "algo-2, rank 3: torn")]


def test_end_while_the_host_still_works_sends_no_result(member: Driver) -> None:
    member.started()
    assert sent(member.receive(protocol.End("algo-1: torn"))) == []


def test_the_result_ends_everything_and_a_second_one_is_ignored(member: Driver) -> None:
    member.started()
    effects = member.receive(JobResult(0, ""))
    assert decided(effects) == [JobResult(0)]
    assert EndLocal(2.0) in effects
    assert decided(member.receive(JobResult(1, "late"))) == []
    assert Leave() in member(Leaving(HostResult(0)))


def test_a_coordinator_that_closes_after_the_result_is_not_lost(member: Driver) -> None:
    member.started()
    member.receive(JobResult(0, ""))
    assert decided(member(ConnectionClosed(1))) == []


@pytest.mark.parametrize(
    ("own", "reported"),
    [
        (None, "algo-1 (the first host) was lost"),
        (HostResult(0), "algo-1 (the first host) was lost"),
        (HostResult(1, "RuntimeError: Connection closed by peer"), "algo-1 (the first host) was lost"),
        (HostResult(1, "ValueError: torn"), "algo-2: ValueError: torn"),
    ],
)
def test_a_lost_coordinator_is_the_cause_unless_this_host_has_a_better_one(
    member: Driver, own: HostResult | None, reported: str
) -> None:
    member.started()
    if own:
        member(Leaving(own))
    (result,) = decided(member(ConnectionClosed(1)))
    assert result.status == 1
    assert result.text.startswith(reported)


def test_a_silent_coordinator_is_lost(member: Driver) -> None:
    member.started()
    member(DataReceived(1), 3.0)
    assert decided(member(Tick(), 8.0)) == []
    (result,) = decided(member(Tick(), 8.1))
    assert result.text.startswith("algo-1 (the first host) was lost: nothing was heard from it for 5 s")


def test_a_failed_rank_is_reported_once_and_ends_everything_here(member: Driver) -> None:
    member.started()
    effects = member(LocalRankFailed("rank 3: torn"))
    assert sent(effects) == [protocol.RankFailed("algo-2, rank 3: torn")]
    assert EndLocal(2.0) in effects
    assert member(LocalRankFailed("rank 3: torn")) == []


# SIGTERM.


def test_sigterm_goes_to_the_coordinator_once_and_stops_the_ranks(member: Driver) -> None:
    member.started()
    effects = member(StopRequested(), 1.0)
    assert sent(effects) == [protocol.Stop("algo-2")]
    assert StopLocal() in effects
    assert member(StopRequested(), 2.0) == []
    assert member.receive(protocol.Stop("algo-2"), 2.0) == []


def test_a_stop_of_another_host_stops_the_ranks(member: Driver) -> None:
    member.started()
    assert StopLocal() in member.receive(protocol.Stop("algo-1"))
    assert sent(member(StopRequested())) == []


def test_sigterm_before_the_start_stops_nothing(member: Driver) -> None:
    member.joined()
    assert member(StopRequested()) == []


def test_sigterm_after_the_result_stops_nothing(member: Driver) -> None:
    member.started()
    member.receive(JobResult(1, "algo-1: torn"))
    assert member(StopRequested()) == member(Orphaned()) == []


def test_an_orphan_saves_and_is_lost_to_the_others(member: Driver) -> None:
    member.started()
    effects = member(Orphaned())
    assert sent(effects) == [HostResult(1, "algo-2 was lost: its process 1 was killed")]
    assert StopLocal() in effects
    assert not any(isinstance(effect, EndLocal) for effect in effects)
    assert member(Orphaned()) == []
    assert sent(member(Leaving(HostResult(0)))) == [], "its first failure stays"


def test_a_coordinator_that_does_not_decide_after_sigterm_is_not_waited_for(member: Driver) -> None:
    member.started()
    member(StopRequested(), 0.0)
    member(Leaving(HostResult(0)), 1.0)
    member(DataReceived(1), 119.0)
    assert decided(member(Tick(), 120.0)) == []
    assert decided(member(Tick(), 120.1)) == [
        JobResult(143, "SIGTERM came to algo-2; algo-1 did not tell the result in time after SIGTERM")
    ]
