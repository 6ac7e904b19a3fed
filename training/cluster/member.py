"""The state machine of any host but the first one: it joins the coordinator, and ends as the coordinator decides."""

from __future__ import annotations

import logging
import math

from byo_container.container.failure import STOPPED_STATUS
from byo_container.training.cluster import effects, events, protocol
from byo_container.training.cluster.effects import Effect
from byo_container.training.cluster.events import Event
from byo_container.training.cluster.host_state import CLOSED, DIFFERENT_JOB, HostState, Peer
from byo_container.training.cluster.protocol import HostResult, JobResult, Message, MessageError, kind_of
from byo_container.training.cluster.root_cause import Failure, root_cause

CONNECT_INTERVAL_S = 0.2


class Member:
    """One of the other hosts. It has one connection at a time, to the coordinator."""

    def __init__(self, host: HostState) -> None:
        self.host = host
        self.is_accepted = False
        self.own_result: HostResult | None = None
        self._ready_sent = False
        self._tried_at = -math.inf

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Changes the state by an event at the time `now`; returns what is to be done."""
        host = self.host
        match event:
            case events.PeerConnected(peer, address, nonce):
                host.peers[peer] = Peer(address, now, now, nonce=nonce)
            case events.MessageReceived(peer, message) if peer in host.peers:
                self._receive(peer, message, now)
            case events.MalformedMessage(peer, error) if peer in host.peers:
                self._refuse_message(peer, error, now)
            case events.ConnectionClosed(peer) if peer in host.peers:
                self._lose(peer, CLOSED)
            case events.LocalServicesOnly():
                self._send_result(HostResult(0))
            case events.LocalRankFailed(text) if not host.is_ending and not host.is_stopped:
                host.end(host.named(text))
                host.broadcast(protocol.RankFailed(host.named(text)))
            case events.Orphaned():
                self._orphaned(now)
            case events.Leaving(result):
                self._begin_leaving(result, now)
            case events.Tick():
                self._tick(now)
            case _:
                host.handle(event, now)
        return host.take_effects()

    # The connection.

    def _refuse_message(self, peer: int, error: str, now: float) -> None:
        if not self.is_accepted:
            self.host.warn_of_peer(f"turned away {self.host.peers[peer].address}, which sent {error}", now)
        self._lose(peer, f"it sent {error}")

    def _lose(self, peer: int, how: str) -> None:
        self.host.close(peer)
        if not self.is_accepted:
            return  # somebody else's port, perhaps: the next tick connects again
        text = f"{self.host.hosts.first} (the first host) was lost: {how}"
        self.host.end(text)
        own = self._own_failure()
        failures = [Failure(own.status, own.text)] if own else []
        cause = root_cause([*failures, Failure(1, text, host_lost=True)])
        assert cause
        self.host.decide(cause.status, cause.text)

    def _receive(self, peer: int, message: Message, now: float) -> None:
        try:
            if self.is_accepted:
                self._receive_from_coordinator(message, now)
            else:
                self._join(peer, message)
        except MessageError as error:
            self._refuse_message(peer, str(error), now)

    def _receive_from_coordinator(self, message: Message, now: float) -> None:
        host = self.host
        match message:
            case protocol.Start(payloads):
                if set(payloads) != set(host.hosts.all):
                    raise MessageError("'start' with the payloads of other hosts than those of the job")
                host.start(payloads)
            case protocol.Stop(name):
                host.stop(name, now)
            case protocol.End(text):
                host.end(text)
                if self.own_result and host.is_leaving:
                    host.broadcast(self.own_result)
            case JobResult(status, text):
                host.decide(status, text)
            case protocol.Heartbeat():
                pass
            case _:
                raise MessageError(f"{kind_of(message)!r} after this host had joined")

    def _join(self, peer: int, message: Message) -> None:
        host, state = self.host, self.host.peers[peer]
        match message:
            case protocol.Challenge(challenge) if not state.challenge:
                state.challenge = challenge
                proof = host.identity.prove("other host", host.current, challenge, state.nonce)
                host.send(peer, protocol.Hello(host.current, state.nonce, proof))
            case protocol.Accepted(proof) if state.challenge:
                if not host.identity.accepts(proof, "first host", host.current, state.challenge, state.nonce):
                    raise MessageError(f"a welcome, but does not know {host.identity}")
                self._accepted(peer)
            case protocol.Rejected():
                where = f"{host.hosts.first}, port {host.settings.ports.coordinator}"
                reason = f"{DIFFERENT_JOB}, or another {host.current} has joined before"
                host.decide(1, f"{host.current} was not accepted by {where}: {reason}; here it is {host.identity}")
            case protocol.Heartbeat():
                pass
            case _:
                raise MessageError(f"{kind_of(message)!r} before this host had joined")

    def _accepted(self, peer: int) -> None:
        host = self.host
        self.is_accepted = True
        host.peers[peer].host = host.hosts.first
        host.emit(effects.Identify(peer))
        host.log(logging.INFO, f"joined {host.hosts.first}")
        if self.own_result:
            host.broadcast(self.own_result)

    # What happens on this host.

    def _send_result(self, result: HostResult) -> None:
        """Notes how this host ended, and sends it to the coordinator, now or when this host joins."""
        self.own_result = result
        self.host.broadcast(result)

    def _own_failure(self) -> HostResult | None:
        return self.own_result if self.own_result and self.own_result.status else None

    def _orphaned(self, now: float) -> None:
        self.host.is_hurried = self.host.is_leaving
        if self.host.may_stop():
            self._send_result(HostResult(1, f"{self.host.current} was lost: its process 1 was killed"))
            self.host.stop_orphan(now)

    def _begin_leaving(self, result: HostResult, now: float) -> None:
        self.host.begin_leaving(result, now)
        if self.host.result is None and not self._own_failure():
            self._send_result(self.host.with_name(result))
        self._try_to_leave()

    # What is due at a time.

    def _tick(self, now: float) -> None:
        self.host.send_heartbeats(now)
        for peer in self.host.silent_peers(now):
            self._lose(peer, self.host.silence)
        if self.host.result is None:
            self._try_to_join(now)
            self._try_to_get_ready(now)
            self._limit_stopping(now)
        self._try_to_leave()

    def missing(self) -> str:
        """The coordinator, as text, until it has accepted this host."""
        return "" if self.is_accepted else self.host.describe(self.host.hosts.first)

    def _try_to_join(self, now: float) -> None:
        host = self.host
        if self.is_accepted:
            return
        if not host.peers and host.hosts.first not in host.unresolved and now - self._tried_at >= CONNECT_INTERVAL_S:
            self._tried_at = now
            host.emit(effects.Connect())
        missing = self.missing()
        host.log_waiting(missing, now)
        failure = self._own_failure()
        if failure and host.linger_is_over(now):
            host.decide(failure.status, failure.text)
        elif now - host.began_at > host.settings.join_timeout_s:
            text = f"{host.current} could not join {missing} in {host.settings.join_timeout_s:.0f} s"
            host.decide(1, f"{text}, port {host.settings.ports.coordinator}")

    def _try_to_get_ready(self, now: float) -> None:
        """Tells the coordinator that this host is ready, when it is and knows all hosts' names."""
        if not self.is_accepted or self._ready_sent or self.own_result:
            return
        if failure := self.host.unresolved_result(now):
            self._send_result(failure)
        elif self.host.payload is not None and not self.host.unresolved:
            self._ready_sent = True
            self.host.broadcast(protocol.Ready(self.host.payload))

    def _limit_stopping(self, now: float) -> None:
        host = self.host
        if now - host.stopped_at > host.settings.stop_grace_s + 2:
            text = f"{host.hosts.first} did not tell the result in time after SIGTERM"
            own = self._own_failure() or HostResult(STOPPED_STATUS, text)
            host.decide(own.status, own.text)

    def _try_to_leave(self) -> None:
        host = self.host
        if not host.is_leaving:
            return
        if host.result is None and not self.is_accepted and host.is_hurried and self.own_result:
            host.decide(self.own_result.status, self.own_result.text)  # the platform does not wait
        if host.result is not None:
            host.leave()
