"""What the hosts of a job send each other: one JSON object a line, with its `kind` and the fields of that kind.

    challenge    nonce               from the coordinator to every new connection: prove that you know this job
    hello        host, nonce, proof  the proof, and which host joins; see training/cluster/handshake.py
    accepted     proof               the coordinator's own proof: the host has joined
    rejected                         the host has not joined; the reason is in the coordinator's log only
    ready        payload             the host could start now; `payload` is what the other hosts need to know of it
    start        payloads            all hosts are ready, and start
    stop         host                `host` got SIGTERM: every host saves and ends, with all the time that it has
    rank_failed  text                a rank of the host failed, and the host's other processes are about to end
    end          text                a host failed or was lost: end at once, then send your own result
    host_result  status, text        how a host's own processes ended; status 0 for success
    job_result   status, text        the one result of all hosts; nothing else means success
    heartbeat                        every second

Whatever comes from another host is checked here, once, before anything else uses it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Payload = Mapping[str, str]
"""What a host sends to the others in the rendezvous: texts of one line each, by name."""
SHOWN = 60  # bytes of a malformed line that are shown


class MessageError(ValueError):
    """A line that is no message, or a message that is not allowed at this point. The text says what is wrong."""


@dataclass(frozen=True)
class Message:
    """What is sent. The `kind` of a message is the name of its class in snake case."""


@dataclass(frozen=True)
class Challenge(Message):
    nonce: str


@dataclass(frozen=True)
class Hello(Message):
    host: str
    nonce: str
    proof: str


@dataclass(frozen=True)
class Accepted(Message):
    proof: str


@dataclass(frozen=True)
class Rejected(Message):
    pass


@dataclass(frozen=True)
class Ready(Message):
    payload: Payload


@dataclass(frozen=True)
class Start(Message):
    payloads: Mapping[str, Payload]


@dataclass(frozen=True)
class Stop(Message):
    host: str


@dataclass(frozen=True)
class RankFailed(Message):
    text: str


@dataclass(frozen=True)
class End(Message):
    text: str


@dataclass(frozen=True)
class HostResult(Message):
    """How a host ended: an exit status and, unless it is 0, the reason."""

    status: int
    text: str = ""


@dataclass(frozen=True)
class JobResult(Message):
    """How all hosts ended: an exit status and, unless it is 0, the reason with the name of the host that caused it."""

    status: int
    text: str = ""


@dataclass(frozen=True)
class Heartbeat(Message):
    pass


_KINDS = {each: re.sub(r"\B[A-Z]", r"_\g<0>", each.__name__).lower() for each in Message.__subclasses__()}
_TYPES = {kind: message_type for message_type, kind in _KINDS.items()}


def kind_of(message: Message) -> str:
    """The `kind` of a message."""
    return _KINDS[type(message)]


def encode(message: Message) -> bytes:
    """The line that carries a message."""
    return json.dumps({"kind": kind_of(message), **vars(message)}).encode() + b"\n"


def parse(line: bytes) -> Message:
    """The message that a line carries. Raises MessageError."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):  # RecursionError: a million brackets
        raise _malformed("no JSON", line) from None
    kind = value.pop("kind", None) if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _TYPES:
        raise _malformed("an unknown kind of message", line)
    fields = [field.name for field in dataclasses.fields(_TYPES[kind])]
    if sorted(value) != sorted(fields):
        raise _malformed(f"a message {kind!r} without the fields {fields}", line)
    try:
        return _TYPES[kind](**{name: _CHECKS[name](value[name]) for name in fields})
    except ValueError as error:
        raise _malformed(f"a message {kind!r} whose {error}", line) from None


def printable(text: str) -> str:
    """`text` with everything escaped that could move a cursor, colour a terminal or hide what follows: all but
    printable characters, newlines and tabs."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _malformed(what: str, line: bytes) -> MessageError:
    return MessageError(f"{what} ({line[:SHOWN]!r}{'...' if len(line) > SHOWN else ''})")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text is none")
    return printable(value)


def _hex(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("nonce or proof is not 64 hexadecimal digits")
    return value


def _status(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= 255:
        raise ValueError("status is not a number from 0 to 255")
    return value


def _payload(value: Any) -> dict[str, str]:
    """Texts by name. They go into files of one entry a line, such as authorized_keys: no newlines."""
    if not isinstance(value, dict) or not all(isinstance(text, str) and text.isprintable() for text in value.values()):
        raise ValueError("payload is not an object of texts on one line each")
    return value


def _payloads(value: Any) -> dict[str, dict[str, str]]:
    if not isinstance(value, dict):
        raise ValueError("payloads are not an object")
    return {host: _payload(payload) for host, payload in value.items()}


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "nonce": _hex,
    "proof": _hex,
    "host": _text,
    "text": _text,
    "status": _status,
    "payload": _payload,
    "payloads": _payloads,
}
