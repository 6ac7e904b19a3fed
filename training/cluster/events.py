"""Events: what goes into the state machines of a cluster, as data.

A machine has `handle(event, now)`, which changes its state and returns effects (training/cluster/effects.py). It does
no I/O and looks at no clock: training/cluster/session.py turns what happens on this host into events, and carries the
effects out in their order. Connections are known by number.
"""

from __future__ import annotations

from dataclasses import dataclass

from byo_container.training.cluster.protocol import HostResult, Message, Payload


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
