"""The state machine of the first host: all other hosts report to it, and it decides the result of the job.

A connection begins unidentified. It may send lines of 1 KB, and 4 KB in all (training/cluster/connection.py), has five
seconds whatever it sends, and the oldest makes room for new ones: nobody on the hosts' network can fill this host's
memory, take its time or use up its files.
"""

from __future__ import annotations

import logging
import math

from byo_container.training.cluster import effects, events, protocol
from byo_container.training.cluster.effects import Effect
from byo_container.training.cluster.events import Event
from byo_container.training.cluster.host_state import CLOSED, DIFFERENT_JOB, HostState, Peer
from byo_container.training.cluster.protocol import HostResult, Message, MessageError, Payload, kind_of
from byo_container.training.cluster.root_cause import Failure, root_cause

UNIDENTIFIED_S = 5.0
# From a failure until all hosts must have sent their results, the 2.5 s that their processes may take to end included.
# With the 5 s after which a silent host is lost it stays below 10 s.
RESULTS_S = 4.0


class Coordinator:
    """`max_unidentified` is how many connections may be unidentified at once."""

    def __init__(self, host: HostState, max_unidentified: int) -> None:
        self.host = host
        self.max_unidentified = max_unidentified
        self.joined: set[str] = set()
        """The hosts that have joined. One that was lost since cannot join again."""
        self.rejected: set[str] = set()
        """The hosts in whose names a peer came that did not know this job."""
        self.payloads: dict[str, Payload] = {}
        """Those of the other hosts that are ready."""
        self.results: dict[str, HostResult] = {}
        self.failures: dict[str, Failure] = {}
        """Why each host failed, in the order in which this host learned that it did."""
        self.failed_at = math.inf
        """When the first failure made all hosts end."""

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Changes the state by an event at the time `now`; returns what is to be done."""
        host = self.host
        match event:
            case events.PeerConnected(peer, address, nonce):
                host.peers[peer] = Peer(address, now, now, challenge=nonce)
                host.send(peer, protocol.Challenge(nonce))
                self._limit_unidentified(now)
            case events.MessageReceived(peer, message) if peer in host.peers:
                self._receive(peer, message, now)
            case events.MalformedMessage(peer, error) if peer in host.peers:
                self._refuse_message(peer, error, now)
            case events.ConnectionClosed(peer) if peer in host.peers:
                self._lose(peer, CLOSED, now)
            case events.LocalServicesOnly():
                self._record(host.current, HostResult(0), now)
            case events.LocalRankFailed(text) if not host.is_ending and not host.is_stopped:
                self._fail(host.current, Failure(1, host.named(text)), now)
            case events.Orphaned():
                self._orphaned(now)
            case events.FilesExhausted():
                self._files_exhausted(now)
            case events.Leaving(result):
                self._begin_leaving(result, now)
            case events.Tick():
                self._tick(now)
            case _:
                host.handle(event, now)
        return host.take_effects()

    # Connections.

    def _unidentified(self) -> list[int]:
        """The oldest first."""
        return [number for number, peer in self.host.peers.items() if not peer.host]

    def _limit_unidentified(self, now: float) -> None:
        peers = self._unidentified()
        surplus = len(peers) - self.max_unidentified
        for number, peer in enumerate(peers):
            if number < surplus or now - self.host.peers[peer].opened_at > UNIDENTIFIED_S:
                self.host.close(peer)

    def _files_exhausted(self, now: float) -> None:
        text = "no files are left for connections that come; set the limit on open files (ulimit -n) higher"
        self.host.warn_of_peer(text, now)
        for peer in self._unidentified()[:1]:
            self.host.close(peer)

    def _refuse_message(self, peer: int, error: str, now: float) -> None:
        if not self.host.peers[peer].host:
            self.host.warn_of_peer(f"turned away {self.host.peers[peer].address}, which sent {error}", now)
        self._lose(peer, f"it sent {error}", now)

    def _lose(self, peer: int, how: str, now: float) -> None:
        lost = self.host.close(peer).host
        if lost and self.host.result is None:
            self._record(lost, HostResult(1, f"{lost} was lost: {how}"), now, host_lost=True)

    # Messages.

    def _receive(self, peer: int, message: Message, now: float) -> None:
        try:
            if self.host.peers[peer].host:
                self._receive_from_host(self.host.peers[peer].host, message, now)
            else:
                self._receive_from_unidentified(peer, message, now)
        except MessageError as error:
            self._refuse_message(peer, str(error), now)

    def _receive_from_host(self, name: str, message: Message, now: float) -> None:
        match message:
            case protocol.Ready(payload):
                self.payloads[name] = payload
            case protocol.Stop():
                self.host.stop_all(name, now)
            case protocol.RankFailed(text):
                self._fail(name, Failure(1, text), now)
            case HostResult():
                self._record(name, message, now)
            case protocol.Heartbeat():
                pass
            case _:
                raise MessageError(f"{kind_of(message)!r}, which only the first host may say")

    def _receive_from_unidentified(self, peer: int, message: Message, now: float) -> None:
        if isinstance(message, protocol.Heartbeat):
            return
        state = self.host.peers[peer]
        if not isinstance(message, protocol.Hello) or not state.challenge:
            raise MessageError(f"{kind_of(message)!r} without having joined")
        challenge, state.challenge = state.challenge, ""  # one attempt each
        reason = self._reason_to_reject(message, challenge)
        if reason:
            self.host.warn_of_peer(f"refused to let {state.address} join: {reason}", now)
            # Without the reason: a peer that does not know the job learns nothing.
            self.host.send(peer, protocol.Rejected())
        else:
            self._accept(peer, message, challenge)

    def _reason_to_reject(self, hello: protocol.Hello, challenge: str) -> str:
        """Why a host may not join; empty where it may."""
        name, identity = hello.host, self.host.identity
        if not identity.accepts(hello.proof, "other host", name, challenge, hello.nonce):
            if name in self.host.hosts.all:
                self.rejected.add(name)
            return f"it calls itself {name[:80]!r}, but {DIFFERENT_JOB}; here it is {identity}"
        if name not in self.host.hosts.all[1:]:
            return f"{name[:80]!r} is none of the other hosts of {identity}"
        return f"{name} has joined already" if name in self.joined else ""

    def _accept(self, peer: int, hello: protocol.Hello, challenge: str) -> None:
        host = self.host
        host.peers[peer].host = hello.host
        self.joined.add(hello.host)
        host.emit(effects.Identify(peer))
        host.log(logging.INFO, f"{hello.host} has joined")
        host.send(peer, protocol.Accepted(host.identity.prove("first host", hello.host, challenge, hello.nonce)))
        if host.result:
            host.send(peer, host.result)
        elif host.is_ending:
            host.send(peer, protocol.End("another host has failed"))

    # Results.

    def _record(self, name: str, result: HostResult, now: float, host_lost: bool = False) -> None:
        """Notes the result of a host. The first failure of a host stays, also when the host is lost afterwards."""
        known = self.results.get(name)
        if known is None or (known.status == 0 and result.status):
            self.results[name] = result
            if result.status and not (host_lost and name in self.failures):
                self.failures[name] = Failure(result.status, result.text, host_lost)
        if result.status:
            self._fail(name, Failure(result.status, result.text, host_lost), now)

    def _fail(self, name: str, failure: Failure, now: float) -> None:
        """A host failed: unless all are about to end after SIGTERM, everything on all hosts ends."""
        self.failures.setdefault(name, failure)
        if self.host.is_stopped or self.failed_at < math.inf:
            return
        self.failed_at = now
        # A host of services alone has sent success already, and sends now how its ranks ended.
        final = {self.host.current} if self.host.is_leaving else set()
        self.results = {name: known for name, known in self.results.items() if known.status or name in final}
        self.host.end(failure.text)
        self.host.broadcast(protocol.End(failure.text))

    def _decide(self) -> None:
        cause = root_cause(self.failures.values())
        result = self.host.decide(cause.status, cause.text) if cause else self.host.decide(0)
        self.host.broadcast(result)

    # What happens on this host.

    def _orphaned(self, now: float) -> None:
        self.host.is_hurried = self.host.is_leaving
        if self.host.may_stop():
            text = f"{self.host.current} was lost: its process 1 was killed"
            self._record(self.host.current, HostResult(1, text), now, host_lost=True)
            self.host.stop_orphan(now)

    def _begin_leaving(self, result: HostResult, now: float) -> None:
        self.host.begin_leaving(result, now)
        if self.host.result is None:
            self._record(self.host.current, self.host.with_name(result), now)
        self._try_to_leave(now)

    # What is due at a time.

    def _tick(self, now: float) -> None:
        self.host.send_heartbeats(now)
        for peer in self.host.silent_peers(now):
            if self.host.peers[peer].host:
                self._lose(peer, self.host.silence, now)
        self._limit_unidentified(now)
        if self.host.result is None:
            self._try_to_start(now)
            self._try_to_decide(now)
        self._try_to_leave(now)

    def missing(self) -> str:
        """The hosts that have not joined, as text."""
        return ", ".join(self.host.describe(name) for name in self.host.hosts.all[1:] if name not in self.joined)

    def _try_to_start(self, now: float) -> None:
        host = self.host
        if host.is_started or self.failed_at < math.inf:
            return
        if missing := self.missing():
            host.log_waiting(missing, now)
            if now - host.began_at > host.settings.join_timeout_s:
                text = f"{missing} did not join in {host.settings.join_timeout_s:.0f} s{self._hint()}"
                self._record(host.current, HostResult(1, text), now)
        elif failure := host.unresolved_result(now):
            self._record(host.current, failure, now)
        elif host.payload is not None and not host.unresolved and len(self.payloads) == len(host.hosts.all) - 1:
            payloads = {host.current: host.payload, **self.payloads}
            host.start(payloads)
            host.broadcast(protocol.Start(payloads))

    def _hint(self) -> str:
        """Why hosts may not have joined."""
        names = [name for name in self.host.hosts.all if name in self.rejected - self.joined]
        return f"; {', '.join(names)} came and was refused, because {DIFFERENT_JOB}" if names else ""

    def _try_to_decide(self, now: float) -> None:
        """Decides the result when all hosts have sent theirs, or have had their time to."""
        host = self.host
        pending = [name for name in host.hosts.all if name not in self.results]
        if self.failed_at < math.inf:
            present = [name for name in pending if name in self.joined or name == host.current]
            if not present or now - self.failed_at > RESULTS_S:
                self._decide()
        elif not pending:
            self._decide()
        elif now - host.stopped_at > host.settings.stop_grace_s + 1:
            text = f"{pending[0]} did not end in time after SIGTERM"
            self._record(pending[0], HostResult(1, text), now)
            self._decide()

    def _try_to_leave(self, now: float) -> None:
        """Leaves when all hosts have read the result. A host that has read it closes its connection; one that does not
        read it falls silent."""
        host = self.host
        if not host.is_leaving or host.result is None or any(peer.host for peer in host.peers.values()):
            return
        missing = self.missing()
        if missing and not host.is_hurried:
            host.log_waiting(f"{missing}, to tell them of the failure", now)
            if not host.linger_is_over(now):
                return
        host.leave()
