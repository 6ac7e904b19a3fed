"""Several hosts, one end: process 1 of every host is connected to that of the first one, the coordinator, from the
beginning of the job to its end.

What a host does is decided in training/cluster/coordinator.py, member.py and single_host.py; here are the sockets, the
clock and the processes. What goes over the connections is in protocol.py, and how a host proves that it belongs to the
job in handshake.py.

A host whose connection closes before the result is known was killed; one that sends nothing for five seconds hangs, or
its cable was pulled. No secret goes over these connections, and nothing is encrypted.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import socket
import time
from typing import Any

from byo_container.container.failure import JobStopped
from byo_container.container.job import Hosts, TrainingJob
from byo_container.container.log import log
from byo_container.container.process.supervisor import Supervisor
from byo_container.training.cluster import effects, events
from byo_container.training.cluster.connection import Connection
from byo_container.training.cluster.coordinator import Coordinator
from byo_container.training.cluster.effects import Effect
from byo_container.training.cluster.events import Event
from byo_container.training.cluster.handshake import JobIdentity, make_nonce
from byo_container.training.cluster.host_state import HostState
from byo_container.training.cluster.listener import Listener, max_unidentified
from byo_container.training.cluster.member import Member
from byo_container.training.cluster.protocol import HostResult, JobResult, MessageError, Payload
from byo_container.training.cluster.resolver import look_up
from byo_container.training.cluster.settings import ClusterSettings, read_settings
from byo_container.training.cluster.single_host import SingleHost
from byo_container.training.processes.rank import Ranks

RENDEZVOUS_INTERVAL_S = 0.05  # because all wait for the last host
INTERVAL_S = 0.25


class ClusterSession:
    """This host's side of the multi-host session. On a single host there is nobody to talk to, but its ranks are
    watched and stopped all the same. Used in this order:

        payloads = session.rendezvous({}, supervisor)  # all hosts are ready; None where it will never come to that
        result = session.leave(HostResult(0))          # all hosts have ended

    `ranks` are those that this host will have. Raises JobError.
    """

    def __init__(self, hosts: Hosts, identity: JobIdentity, settings: ClusterSettings, ranks: Ranks) -> None:
        self.settings = settings
        self.ranks = ranks
        self.is_single = len(hosts.all) == 1
        self.grace_s: float | None = None
        """None while the job may go on; otherwise the seconds that local processes have to exit."""
        self._payloads: dict[str, Payload] | None = None
        self._result: JobResult | None = None
        self._has_left = False
        self._supervisor: Supervisor | None = None
        self._connections: dict[int, Connection] = {}
        self._numbers = itertools.count(1)
        self._listener: Listener | None = None
        unresolved = set() if self.is_single else set(hosts.all)
        host = HostState(hosts, identity, settings, time.monotonic(), unresolved=unresolved)
        self._machine: Coordinator | Member | SingleHost
        if self.is_single:
            self._machine = SingleHost(host)
        elif hosts.is_master:
            self._machine = Coordinator(host, max_unidentified(len(hosts.all)))
            self._listener = Listener(hosts.current, settings.ports.coordinator)
        else:
            self._machine = Member(host)

    @classmethod
    def of(cls, job: TrainingJob[Any], ranks: Ranks, stop_grace_s: float) -> ClusterSession:
        """The session of a job. Raises JobError."""
        return cls(job.hosts, JobIdentity.of(job), read_settings(job, stop_grace_s), ranks)

    # What `train` calls.

    def attend(self, supervisor: Supervisor) -> None:
        """Talks to the other hosts, and watches the ranks of this one, while `supervisor` waits, from now on."""
        self._supervisor = supervisor
        supervisor.on_poll = self._on_poll
        if unresolved := self._machine.host.unresolved:
            supervisor.start(look_up(unresolved, self._on_resolved))
        if self._listener:
            self._listener.is_paused = False
            supervisor.watch(self._listener.socket.fileno(), self._on_connections)
        for peer in self._connections:
            self._watch(peer)

    def rendezvous(self, payload: Payload, supervisor: Supervisor) -> dict[str, Payload] | None:
        """Waits until all hosts are ready to start. Returns the payload of each, None if one has failed before.
        Raises JobStopped."""
        self._handle(events.LocalReady(payload))
        supervisor.interval_s = RENDEZVOUS_INTERVAL_S
        while self._payloads is None and self.grace_s is None:
            if supervisor.stop_requested:
                raise JobStopped(f"while waiting for {self._machine.missing() or 'the other hosts'}")
            supervisor.poll(1.0)
        supervisor.interval_s = INTERVAL_S
        return self._payloads if self.grace_s is None else None

    def services_only(self) -> None:
        """To be called where what runs on this host serves others, so that the job need not wait for its end."""
        self._handle(events.LocalServicesOnly())

    def leave(self, result: HostResult) -> JobResult:
        """Sends how this host ended to the others, waits until all know the result of the job, and returns it."""
        with Supervisor() as supervisor:
            self.attend(supervisor)
            self._handle(events.Leaving(result))
            while not self._has_left:
                supervisor.poll(1.0)
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        if self._listener:
            self._listener.close()
        assert self._result, "a machine decides before it leaves"
        return self._result

    # Events.

    def _handle(self, event: Event) -> None:
        for effect in self._machine.handle(event, time.monotonic()):
            self._carry_out(effect)

    def _on_poll(self) -> None:
        supervisor = self._supervisor
        if supervisor and supervisor.stop_requested:
            self._handle(events.Orphaned() if supervisor.is_orphan else events.StopRequested())
        failure = self.ranks.failure() if self.grace_s is None else None
        if failure:
            self._handle(events.LocalRankFailed(failure.text))
        for connection in self._connections.values():
            connection.flush()
        self._attend_listener()
        self._handle(events.Tick())

    def _attend_listener(self) -> None:
        if self._listener and self._listener.is_paused:
            self._handle(events.FilesExhausted())
            if self._listener.resumes() and self._supervisor:
                self._supervisor.watch(self._listener.socket.fileno(), self._on_connections)

    def _on_resolved(self, name: str) -> None:
        self._handle(events.NameResolved(name))

    def _on_connections(self) -> None:
        """At the coordinator, when somebody connects."""
        if not self._listener:
            return
        for connected, address in self._listener.accept():
            self._open(connected, address)
        if self._listener.is_paused and self._supervisor:
            self._supervisor.unwatch(self._listener.socket.fileno())
            self._handle(events.FilesExhausted())  # at once: the connection that it closes leaves a file

    def _open(self, connected: socket.socket, address: str) -> None:
        try:
            connection = Connection(connected)
        except OSError:  # it has gone before it was read
            connected.close()
            return
        peer = next(self._numbers)
        self._connections[peer] = connection
        self._watch(peer)
        self._handle(events.PeerConnected(peer, address, make_nonce()))

    def _watch(self, peer: int) -> None:
        if self._supervisor:
            descriptor = self._connections[peer].socket.fileno()
            self._supervisor.watch(descriptor, functools.partial(self._on_data, peer))

    def _on_data(self, peer: int) -> None:
        connection = self._connections.get(peer)
        if connection is None:
            return  # it was closed since the supervisor saw the data
        try:
            for data in connection.read():
                self._handle(events.DataReceived(peer))
                for message in connection.messages(data):
                    self._handle(events.MessageReceived(peer, message))
        except MessageError as error:
            self._handle(events.MalformedMessage(peer, str(error)))
        if connection.is_open and connection.is_at_end:
            self._handle(events.ConnectionClosed(peer))

    # Effects.

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case effects.Send(peer, message):
                self._connections[peer].send(message)
            case effects.Identify(peer):
                self._connections[peer].allow_long_lines()
            case effects.Close(peer):
                self._close(peer)
            case effects.Connect():
                self._connect()
            case effects.StartLocal(payloads):
                self._payloads = payloads
            case effects.StopLocal():
                if self._supervisor:
                    self._supervisor.request_stop()
                self.ranks.stop()
            case effects.EndLocal(grace_s):
                self.grace_s = grace_s
            case effects.Decide(result):
                self._result = result
            case effects.Leave():
                self._has_left = True
            case effects.Log(level, text):
                log.log(level, "%s", text)

    def _close(self, peer: int) -> None:
        connection = self._connections.pop(peer)
        if self._supervisor:
            self._supervisor.unwatch(connection.socket.fileno())
        connection.close()

    def _connect(self) -> None:
        """At a member: one attempt, of a second at most. It looks the name up again, which has resolved once: a host
        that was replaced meanwhile has another address."""
        first = self._machine.host.hosts.first
        with contextlib.suppress(OSError):
            connected = socket.create_connection((first, self.settings.ports.coordinator), timeout=1.0)
            self._open(connected, first)
