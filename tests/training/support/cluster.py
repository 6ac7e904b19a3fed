"""A cluster in memory: state machines that exchange messages over a simulated network, under a simulated clock."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from byo_container.container.job import Hosts
from byo_container.training.cluster.coordinator import Coordinator
from byo_container.training.cluster.effects import (
    Close,
    Connect,
    Decide,
    Effect,
    EndLocal,
    Identify,
    Leave,
    Log,
    Send,
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
    MalformedMessage,
    MessageReceived,
    NameResolved,
    Orphaned,
    PeerConnected,
    StopRequested,
    Tick,
)
from byo_container.training.cluster.handshake import JobIdentity, make_nonce
from byo_container.training.cluster.host_state import HostState
from byo_container.training.cluster.member import Member
from byo_container.training.cluster.protocol import HostResult, JobResult, Message, MessageError, encode, parse
from byo_container.training.cluster.settings import ClusterSettings
from byo_container.training.ports import Ports
from tests.training.support.jobs import job

MINE: dict[str, Any] = {"sagemaker_job_name": "mine"}
TICK_S = 0.25
KILLED = HostResult(143, "train.py was killed by SIGTERM")
SUCCESS = HostResult(0)
END_S = 0.1
"""What processes take to end after SIGTERM because another host has failed,"""
SAVE_S = 1.0
"""and what they take to save after SIGTERM from the platform."""
SETTINGS = ClusterSettings(Ports.starting_at(20_000), join_timeout_s=900, heartbeat_timeout_s=5, stop_grace_s=118)


def identity_of(count: int, **given: Any) -> JobIdentity:
    return JobIdentity.of(job(count, **{**MINE, **given}), {})


def host_state(count: int, number: int, settings: ClusterSettings = SETTINGS, began_at: float = 0.0) -> HostState:
    """The state of host `number` of `count`, all of whose names resolve."""
    identity = identity_of(count)
    return HostState(Hosts(f"algo-{number}", identity.hosts), identity, settings, began_at)


def sent(effects: Sequence[Effect], peer: int | None = None) -> list[Message]:
    """The messages among `effects`, to all peers or one."""
    return [effect.message for effect in effects if isinstance(effect, Send) and peer in (None, effect.peer)]


def logged(effects: Sequence[Effect], level: int = logging.DEBUG) -> list[str]:
    return [effect.text for effect in effects if isinstance(effect, Log) and effect.level >= level]


@dataclass
class SimulatedHost:
    """One host: its machine, and what its effects have done."""

    name: str
    machine: Coordinator | Member
    came_at: float = 0.0
    """Before, `train` does not run there yet."""
    is_up: bool = True
    is_cut: bool = False
    payloads: dict[str, Any] | None = None
    ended_at: float = math.inf
    """When everything here was to end at once, because of another host or the result."""
    stopped_at: float = math.inf
    result: JobResult | None = None
    left_at: float = math.inf
    log: list[str] = field(default_factory=list)
    peers: dict[int, tuple[SimulatedHost, int]] = field(default_factory=dict)
    """The other ends of its connections."""
    is_leaving: bool = False
    ends_with: HostResult = KILLED
    """The result of its processes when they are ended,"""
    saves_with: HostResult = SUCCESS
    """and when they are stopped, and may save."""

    @property
    def has_left(self) -> bool:
        return self.left_at < math.inf


class SimulatedCluster:
    """Hosts whose messages arrive after `delay_s`. The processes of a host that is ended or stopped take END_S or
    SAVE_S, and end with `ends_with` or `saves_with`."""

    def __init__(self, count: int = 2, settings: ClusterSettings = SETTINGS, delay_s: float = 0.01) -> None:
        self.now = 0.0
        self.delay_s = delay_s
        self.settings = settings
        self.hosts: list[SimulatedHost] = []
        self._numbers = itertools.count(1)
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        for number in range(1, count + 1):
            state = host_state(count, number, settings)
            machine = Coordinator(state, max_unidentified=64) if number == 1 else Member(state)
            self.hosts.append(SimulatedHost(f"algo-{number}", machine))

    def __getitem__(self, number: int) -> SimulatedHost:
        """algo-1 is number 1."""
        return self.hosts[number - 1]

    # Time.

    def at(self, time_s: float, call: Callable[[], None]) -> None:
        """Has something happen at a time."""
        self._calls.append((time_s, next(self._numbers), call))

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        until = self.now + seconds
        next_tick = self.now
        while True:
            due = min(self._calls, default=(math.inf, 0, lambda: None), key=lambda call: call[:2])
            if min(due[0], next_tick) > until:
                self.now = until
                return
            if due[0] <= next_tick:
                self._calls.remove(due)
                self.now = max(self.now, due[0])
                due[2]()
            else:
                self.now = next_tick
                next_tick += TICK_S
                for host in self.hosts:
                    if host.came_at <= self.now:
                        self.handle(host, Tick())

    def until(self, true: Callable[[], object], within_s: float = 30.0) -> None:
        began = self.now
        while not true():
            assert self.now - began < within_s, f"not true after {within_s} s: {[host.log for host in self.hosts]}"
            self.run(TICK_S)

    # What happens on hosts.

    def handle(self, host: SimulatedHost, event: Event) -> None:
        if host.is_up and not host.has_left:
            for effect in host.machine.handle(event, self.now):
                self._carry_out(host, effect)

    def start(self) -> None:
        """All hosts join and start."""
        for number in range(1, len(self.hosts) + 1):
            self.ready(number)
        self.until(lambda: all(host.payloads is not None for host in self.hosts))

    def ready(self, number: int) -> None:
        self.handle(self[number], LocalReady({"key": f"of algo-{number}"}))

    def leave(self, number: int, status: int = 0, text: str = "") -> None:
        """Everything on a host has ended."""
        self._leave(self[number], HostResult(status, text))

    def _leave(self, host: SimulatedHost, result: HostResult) -> None:
        if not host.is_leaving:
            host.is_leaving = True
            self.handle(host, Leaving(result))

    def rank_fails(self, number: int, text: str) -> None:
        """A rank fails, and its launcher notices later."""
        self[number].ends_with = HostResult(1, f"rank 0: {text}")
        self.handle(self[number], LocalRankFailed(f"rank 0: {text}"))

    def stop(self, number: int) -> None:
        """SIGTERM from the platform."""
        self.handle(self[number], StopRequested())

    def orphan(self, number: int) -> None:
        """Process 1 of a host is killed, which its supervisor learns by a SIGTERM of the kernel."""
        self.handle(self[number], Orphaned())

    def kill(self, number: int) -> None:
        """Process 1 of a host is gone; its connections close."""
        host = self[number]
        host.is_up = False
        for peer in list(host.peers):
            self._close(host, peer)

    def cut(self, number: int) -> None:
        """A host's cable is pulled: nothing comes or goes any more."""
        self[number].is_cut = True

    def results(self) -> list[tuple[int, str]]:
        """What all hosts that live take for the result."""
        return [
            (host.result.status, host.result.text) if host.result else (-1, "") for host in self.hosts if host.is_up
        ]

    # The network.

    def _carry_out(self, host: SimulatedHost, effect: Effect) -> None:
        match effect:
            case Send(peer, message):
                self._send(host, peer, encode(message))
            case Close(peer):
                self._close(host, peer)
            case Connect():
                self._connect(host, self[1])
            case StartLocal(payloads):
                host.payloads = payloads
            case StopLocal():
                host.stopped_at = self.now
                self.at(self.now + SAVE_S, partial(self._leave, host, host.saves_with))
            case EndLocal():
                host.ended_at = self.now
                self.at(self.now + END_S, lambda: self._leave(host, host.ends_with))
            case Decide(result):
                host.result = result
            case Leave():
                host.left_at = self.now
                for peer in list(host.peers):
                    self._close(host, peer)
            case Log(_, text):
                host.log.append(text)
            case Identify():
                pass

    def _connect(self, host: SimulatedHost, other: SimulatedHost) -> None:
        if not other.is_up or other.came_at > self.now or other.has_left or host.is_cut or other.is_cut:
            return
        ours, theirs = next(self._numbers), next(self._numbers)
        host.peers[ours], other.peers[theirs] = (other, theirs), (host, ours)
        self.handle(host, PeerConnected(ours, other.name, make_nonce()))
        self.handle(other, PeerConnected(theirs, host.name, make_nonce()))

    def _send(self, host: SimulatedHost, peer: int, line: bytes) -> None:
        if peer in host.peers:
            other, theirs = host.peers[peer]
            self.at(self.now + self.delay_s, lambda: self._deliver(host, other, theirs, line))

    def _deliver(self, host: SimulatedHost, other: SimulatedHost, peer: int, line: bytes) -> None:
        if host.is_cut or other.is_cut or peer not in other.peers:
            return
        self.handle(other, DataReceived(peer))
        try:
            message = parse(line.removesuffix(b"\n"))
        except MessageError as error:
            self.handle(other, MalformedMessage(peer, str(error)))
        else:
            self.handle(other, MessageReceived(peer, message))

    def _close(self, host: SimulatedHost, peer: int) -> None:
        if peer not in host.peers:
            return
        other, theirs = host.peers.pop(peer)

        def closed() -> None:
            if theirs in other.peers and not host.is_cut and not other.is_cut:
                del other.peers[theirs]
                self.handle(other, ConnectionClosed(theirs))

        self.at(self.now + self.delay_s, closed)

    def send_line(self, number: int, line: bytes) -> None:
        """Sends any line from a host over all of its connections."""
        for peer in self[number].peers:
            self._send(self[number], peer, line)

    def resolve(self, number: int, name: str) -> None:
        self.handle(self[number], NameResolved(name))
