"""What a coordinator, a member and a single host have in common: the state of the host itself, and its connections."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from byo_container.container.failure import STOPPED_STATUS
from byo_container.container.job import Hosts
from byo_container.training.cluster import effects, events, protocol
from byo_container.training.cluster.effects import Effect
from byo_container.training.cluster.events import Event
from byo_container.training.cluster.handshake import JobIdentity
from byo_container.training.cluster.protocol import HostResult, JobResult, Message, Payload, printable
from byo_container.training.cluster.settings import ClusterSettings

HEARTBEAT_INTERVAL_S = 1.0
LOG_WAITING_S = 15.0
WARNING_INTERVAL_S = 1.0  # of unidentified peers, whose number others choose
END_GRACE_S = 2.0  # from SIGTERM to SIGKILL after another host has failed
LINGER_S = 60.0  # in which hosts that join late still learn of a failure,
STOPPED_LINGER_S = 3.0  # and the same after SIGTERM
REASON_LENGTH = 64_000
DIFFERENT_JOB = "the job's name, ARN, hosts, hyperparameters or channels differ between the two"
CLOSED = "its connection closed before the job had ended, so it, or its process 1, was killed"


@dataclass
class Peer:
    """One connection. `host` is empty until the peer has proved which host it is. `challenge` is the coordinator's
    nonce, empty when a proof has been given for it; `nonce` is the member's."""

    address: str
    opened_at: float
    received_at: float
    challenge: str = ""
    nonce: str = ""
    host: str = ""


@dataclass
class HostState:
    """The state of this host. Times are seconds of one clock, infinity for never. Effects are collected until
    `take_effects`."""

    hosts: Hosts
    identity: JobIdentity
    settings: ClusterSettings
    began_at: float
    peers: dict[int, Peer] = field(default_factory=dict)
    unresolved: set[str] = field(default_factory=set)
    """The hosts whose names cannot be looked up yet."""
    payload: Payload | None = None
    """What this host sends to the others in the rendezvous; None until it is ready."""
    is_started: bool = False
    is_ending: bool = False
    stopped_at: float = math.inf
    """When SIGTERM came to this host or another."""
    stopped_by: str = ""
    """The host that it came to."""
    leaving_at: float = math.inf
    linger_s: float = LINGER_S
    is_hurried: bool = False
    """SIGTERM came while this host was leaving."""
    result: JobResult | None = None
    _effects: list[Effect] = field(default_factory=list)
    _heartbeat_at: float = -math.inf
    _waiting_logged_at: float = -math.inf
    _warned_at: float = -math.inf
    _suppressed_warnings: int = 0

    def __post_init__(self) -> None:
        self._waiting_logged_at = self.began_at - LOG_WAITING_S + 3

    @property
    def current(self) -> str:
        return self.hosts.current

    @property
    def is_leaving(self) -> bool:
        return self.leaving_at < math.inf

    @property
    def is_stopped(self) -> bool:
        return self.stopped_at < math.inf

    def handle(self, event: Event, now: float) -> None:
        """Changes the state by an event that means the same to every host of a cluster."""
        match event:
            case events.DataReceived(peer) if peer in self.peers:
                self.peers[peer].received_at = now
            case events.NameResolved(name):
                self.unresolved.discard(name)
            case events.LocalReady(payload):
                self.payload = payload
            case events.StopRequested():
                self.is_hurried = self.is_leaving
                if self.may_stop():
                    self.stop_all(self.current, now)

    def take_effects(self) -> list[Effect]:
        """The effects since the last call."""
        taken, self._effects = self._effects, []
        return taken

    def emit(self, effect: Effect) -> None:
        self._effects.append(effect)

    def log(self, level: int, text: str) -> None:
        self.emit(effects.Log(level, text))

    def warn_of_peer(self, text: str, now: float) -> None:
        """Logs a warning about an unidentified peer, though not as often as such peers would like."""
        if now - self._warned_at < WARNING_INTERVAL_S:
            self._suppressed_warnings += 1
            return
        more = f"; before it {self._suppressed_warnings} more such warnings" if self._suppressed_warnings else ""
        self._warned_at, self._suppressed_warnings = now, 0
        self.log(logging.WARNING, text + more)

    # Connections.

    def send(self, peer: int, message: Message) -> None:
        self.emit(effects.Send(peer, message))

    def broadcast(self, message: Message) -> None:
        """Sends to all peers that have proved which hosts they are."""
        for number, peer in self.peers.items():
            if peer.host:
                self.send(number, message)

    def close(self, peer: int) -> Peer:
        self.emit(effects.Close(peer))
        return self.peers.pop(peer)

    def send_heartbeats(self, now: float) -> None:
        if now - self._heartbeat_at >= HEARTBEAT_INTERVAL_S:
            self._heartbeat_at = now
            self.broadcast(protocol.Heartbeat())

    def silent_peers(self, now: float) -> Iterator[int]:
        """The peers that have sent nothing for too long."""
        for number, peer in list(self.peers.items()):
            if now - peer.received_at > self.settings.heartbeat_timeout_s:
                yield number

    @property
    def silence(self) -> str:
        """Why a silent host is lost."""
        silence = f"nothing was heard from it for {self.settings.heartbeat_timeout_s:.0f} s"
        return f"{silence}, so it hangs, or is down, or its network is cut"

    # What happens on this host.

    def start(self, payloads: Mapping[str, Payload]) -> None:
        self.is_started = True
        self.emit(effects.StartLocal(dict(payloads)))

    def may_stop(self) -> bool:
        """Whether a SIGTERM stops the training of all hosts: before it has begun, `train` ends by itself."""
        return self.is_started and not self.is_stopped and self.result is None

    def stop(self, host: str, now: float) -> None:
        """SIGTERM came to `host`, this one or another."""
        if not self.is_stopped:
            self.log(logging.INFO, f"SIGTERM came to {host}: all hosts are to save and end")
            self.stopped_at, self.stopped_by = now, host
            self.emit(effects.StopLocal())

    def stop_all(self, host: str, now: float) -> None:
        """The same, and the other hosts learn it from this one."""
        self.stop(host, now)
        self.broadcast(protocol.Stop(host))

    def stop_orphan(self, now: float) -> None:
        """Process 1 was killed: what runs here may save, and the other hosts lose this one instead of being stopped."""
        self.stopped_at = now
        self.emit(effects.StopLocal())

    def end(self, why: str) -> None:
        """Ends everything on this host at once."""
        if not self.is_ending:
            self.log(logging.ERROR, "ending, because " + why.partition("\n")[0])
            self.is_ending = True
            self.emit(effects.EndLocal(END_GRACE_S))

    def decide(self, status: int, text: str = "") -> JobResult:
        """Settles the result of the job, with which everything on this host ends. The first one stays."""
        if self.result is None:
            self.result = JobResult(status, text)
            stop = f"SIGTERM came to {self.stopped_by}; " if status and self.stopped_by else ""
            self.emit(effects.Decide(JobResult(status, stop + text)))
            if not self.is_ending:
                self.is_ending = True
                self.emit(effects.EndLocal(END_GRACE_S))
        return self.result

    def begin_leaving(self, result: HostResult, now: float) -> None:
        self.leaving_at = now
        self.linger_s = STOPPED_LINGER_S if result.status == STOPPED_STATUS else LINGER_S

    def leave(self) -> None:
        self.emit(effects.Leave())

    def linger_is_over(self, now: float) -> bool:
        """Whether hosts that have not joined until now need not learn of the failure any more."""
        return now - self.leaving_at > self.linger_s or now - self.began_at > self.settings.join_timeout_s

    # Texts.

    def with_name(self, result: HostResult) -> HostResult:
        """A result of this host, for the others: the reason begins with the host's name."""
        if result.status == 0:
            return HostResult(0)
        text = printable(result.text.strip()) or f"ended with status {result.status}"
        return HostResult(result.status, self.named(text))

    def named(self, text: str) -> str:
        return printable(f"{self.current}{',' if text.startswith('rank ') else ':'} {text}")[:REASON_LENGTH]

    def describe(self, host: str) -> str:
        return f"{host} (its name does not resolve)" if host in self.unresolved else host

    def log_waiting(self, missing: str, now: float) -> None:
        """Says now and then which hosts are waited for."""
        if now - self._waiting_logged_at >= LOG_WAITING_S:
            self._waiting_logged_at = now
            left = self.settings.join_timeout_s - (now - self.began_at)
            self.log(logging.INFO, f"waiting for {missing}; {max(0.0, left):.0f} s are left")

    def unresolved_result(self, now: float) -> HostResult | None:
        """The failure of this host where a name could not be looked up in time."""
        if self.unresolved and now - self.began_at > self.settings.join_timeout_s:
            text = f"{self.current}: the name {min(self.unresolved)} does not resolve"
            return HostResult(1, f"{text} after {self.settings.join_timeout_s:.0f} s")
        return None
