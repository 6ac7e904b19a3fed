"""What goes into the state machines of a cluster (events), and what comes out of them (effects), as data.

A machine has `handle(event, now)`, which changes its state and returns effects. It does no I/O and looks at no clock:
training/cluster/session.py turns what happens on this host into events, and carries the effects out in their order.
Connections are known by number.
"""

from __future__ import annotations

from dataclasses import dataclass

from byo_container.training.cluster.protocol import HostResult, JobResult, Message, Payload


@dataclass(frozen=True)
class PeerConnected:
    """There is a new connection. `nonce` is a random number of this host's, for this connection."""

    peer: int
    address: str
    nonce: str


@dataclass(frozen=True)
class DataReceived:
    """Something came over a connection, a part of a message at least."""

    peer: int


@dataclass(frozen=True)
class MessageReceived:
    peer: int
    message: Message


@dataclass(frozen=True)
class MalformedMessage:
    """A peer sent a line that is no message, for the reason `error`."""

    peer: int
    error: str


@dataclass(frozen=True)
class ConnectionClosed:
    """The other end closed a connection."""

    peer: int


@dataclass(frozen=True)
class NameResolved:
    """The name of a host can be looked up now."""

    host: str


@dataclass(frozen=True)
class LocalReady:
    """This host could start now."""

    payload: Payload


@dataclass(frozen=True)
class LocalRankFailed:
    """A rank of this host failed, while its launcher still runs."""

    text: str


@dataclass(frozen=True)
class LocalServicesOnly:
    """What runs on this host runs for the sake of others, so that the job need not wait for its end."""


@dataclass(frozen=True)
class Leaving:
    """Everything on this host has ended, with `result`."""

    result: HostResult


@dataclass(frozen=True)
class StopRequested:
    """This host got SIGTERM. May come again and again."""


@dataclass(frozen=True)
class Orphaned:
    """This host got SIGTERM because its process 1 was killed. May come again and again."""


@dataclass(frozen=True)
class FilesExhausted:
    """A connection could not be accepted, because this process may open no more files."""


@dataclass(frozen=True)
class Tick:
    """Time has passed. Comes several times a second, and after other events."""


Event = (
    PeerConnected
    | DataReceived
    | MessageReceived
    | MalformedMessage
    | ConnectionClosed
    | NameResolved
    | LocalReady
    | LocalRankFailed
    | LocalServicesOnly
    | Leaving
    | StopRequested
    | Orphaned
    | FilesExhausted
    | Tick
)


@dataclass(frozen=True)
class Send:
    peer: int
    message: Message


@dataclass(frozen=True)
class Close:
    """Closes a connection, of which no event comes from now on."""

    peer: int


@dataclass(frozen=True)
class Identify:
    """The peer has proved that it belongs to the job, and may send long messages."""

    peer: int


@dataclass(frozen=True)
class Connect:
    """Tries once to connect to the coordinator; PeerConnected follows where that succeeds."""


@dataclass(frozen=True)
class StartLocal:
    """Starts the training on this host. `payloads` has that of every host."""

    payloads: dict[str, Payload]


@dataclass(frozen=True)
class StopLocal:
    """SIGTERM to the ranks of this host, which may save."""


@dataclass(frozen=True)
class EndLocal:
    """Ends everything on this host: SIGTERM, and SIGKILL after `grace_s`."""

    grace_s: float


@dataclass(frozen=True)
class Decide:
    """`result` is the result of the job on this host; it does not change any more."""

    result: JobResult


@dataclass(frozen=True)
class Leave:
    """This host is needed no longer: it closes its connections and ends."""


@dataclass(frozen=True)
class Log:
    """A line for this host's log, at a level of the module logging."""

    level: int
    text: str


Effect = Send | Close | Identify | Connect | StartLocal | StopLocal | EndLocal | Decide | Leave | Log
