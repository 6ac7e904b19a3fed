"""Events: what goes into the state machines of a cluster, as data.

A machine has `handle(event, now)`, which changes its state and returns effects (training/cluster/effects.py). It does
no I/O and looks at no clock: training/cluster/session.py turns what happens on this host into events, and carries the
effects out in their order. Connections are known by number.
"""

from __future__ import annotations

from dataclasses import dataclass

from byo_container.training.cluster.protocol import HostResult, Message, Payload


class Event:
    """Something that happened."""


@dataclass(frozen=True)
class PeerConnected(Event):
    """There is a new connection. `nonce` is a random number of this host's, for this connection."""

    peer: int
    address: str
    nonce: str


@dataclass(frozen=True)
class DataReceived(Event):
    """Something came over a connection, a part of a message at least."""

    peer: int


@dataclass(frozen=True)
class MessageReceived(Event):
    peer: int
    message: Message


@dataclass(frozen=True)
class MalformedMessage(Event):
    """A peer sent a line that is no message, for the reason `error`."""

    peer: int
    error: str


@dataclass(frozen=True)
class ConnectionClosed(Event):
    """The other end closed a connection."""

    peer: int


@dataclass(frozen=True)
class NameResolved(Event):
    """The name of a host can be looked up now."""

    host: str


@dataclass(frozen=True)
class LocalReady(Event):
    """This host could start now."""

    payload: Payload


@dataclass(frozen=True)
class LocalRankFailed(Event):
    """A rank of this host failed, while its launcher still runs."""

    text: str


@dataclass(frozen=True)
class LocalServicesOnly(Event):
    """What runs on this host runs for the sake of others, so that the job need not wait for its end."""


@dataclass(frozen=True)
class Leaving(Event):
    """Everything on this host has ended, with `result`."""

    result: HostResult


@dataclass(frozen=True)
class StopRequested(Event):
    """This host got SIGTERM. May come again and again."""


@dataclass(frozen=True)
class Orphaned(Event):
    """This host got SIGTERM because its process 1 was killed. May come again and again."""


@dataclass(frozen=True)
class FilesExhausted(Event):
    """A connection could not be accepted, because this process may open no more files."""


@dataclass(frozen=True)
class Tick(Event):
    """Time has passed. Comes several times a second, and after other events."""
