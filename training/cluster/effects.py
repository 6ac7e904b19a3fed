"""Effects: what comes out of the state machines of a cluster, as data; see training/cluster/events.py."""

from __future__ import annotations

from dataclasses import dataclass

from byo_container.training.cluster.protocol import JobResult, Message, Payload


class Effect:
    """Something to be done."""


@dataclass(frozen=True)
class Send(Effect):
    peer: int
    message: Message


@dataclass(frozen=True)
class Close(Effect):
    """Closes a connection, of which no event comes from now on."""

    peer: int


@dataclass(frozen=True)
class Identify(Effect):
    """The peer has proved that it belongs to the job, and may send long messages."""

    peer: int


@dataclass(frozen=True)
class Connect(Effect):
    """Tries once to connect to the coordinator; PeerConnected follows where that succeeds."""


@dataclass(frozen=True)
class StartLocal(Effect):
    """Starts the training on this host. `payloads` has that of every host."""

    payloads: dict[str, Payload]


@dataclass(frozen=True)
class StopLocal(Effect):
    """SIGTERM to the ranks of this host, which may save."""


@dataclass(frozen=True)
class EndLocal(Effect):
    """Ends everything on this host: SIGTERM, and SIGKILL after `grace_s`."""

    grace_s: float


@dataclass(frozen=True)
class Decide(Effect):
    """`result` is the result of the job on this host; it does not change any more."""

    result: JobResult


@dataclass(frozen=True)
class Leave(Effect):
    """This host is needed no longer: it closes its connections and ends."""


@dataclass(frozen=True)
class Log(Effect):
    """A line for this host's log, at a level of the module logging."""

    level: int
    text: str
