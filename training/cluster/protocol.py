"""What the hosts of a job tell each other: one JSON object a line, `kind` and the fields of the kind.

    challenge  nonce                from the first host to whoever connects: prove that you know this job
    hello      host, nonce, proof   the proof, and who it is that joins; see training/cluster/handshake.py
    welcome    proof                the first host's own proof: the host has joined
    refused                         the host has not joined; why stands in the first host's log only
    ready      offer                it could start now; `offer` is what the others must know of it
    go         offers               all are ready, so start
    stop       host                 SIGTERM came to a host: everybody gets it, with all the time to save
    failing    text                 a rank of a host failed, whose other processes are about to end
    end        text                 a host failed or was lost: end at once, then say your own outcome
    outcome    status, text         what became of a host's own processes; status 0 for success
    verdict    status, text         the one result of all hosts; success is nothing else than this
    heartbeat                       every second

Whatever comes from another host is checked here, once, before anything else sees it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Offer = Mapping[str, Any]
SHOWN = 60  # bytes of a malformed line that a person gets to see


class MessageError(ValueError):
    """What came is no message, or none that may come now. The text says what was wrong with it."""


@dataclass(frozen=True)
class Challenge:
    nonce: str


@dataclass(frozen=True)
class Hello:
    host: str
    nonce: str
    proof: str


@dataclass(frozen=True)
class Welcome:
    proof: str


@dataclass(frozen=True)
class Refused:
    pass


@dataclass(frozen=True)
class Ready:
    offer: Offer


@dataclass(frozen=True)
class Go:
    offers: Mapping[str, Offer]


@dataclass(frozen=True)
class Stop:
    host: str


@dataclass(frozen=True)
class Failing:
    text: str


@dataclass(frozen=True)
class End:
    text: str


@dataclass(frozen=True)
class Outcome:
    """What became of a host, or of all: an exit status and, where it is not 0, the reason with the host's name."""

    status: int
    text: str = ""


@dataclass(frozen=True)
class Verdict:
    status: int
    text: str


@dataclass(frozen=True)
class Heartbeat:
    pass


Message = (
    Challenge | Hello | Welcome | Refused | Ready | Go | Stop | Failing | End | Outcome | Verdict | Heartbeat
)  # fmt: skip
_KINDS: dict[str, type[Message]] = {
    kind.__name__.lower(): kind
    for kind in (Challenge, Hello, Welcome, Refused, Ready, Go, Stop, Failing, End, Outcome, Verdict, Heartbeat)
}


def encode(message: Message) -> bytes:
    """The line that carries a message."""
    return json.dumps({"kind": type(message).__name__.lower(), **vars(message)}).encode() + b"\n"


def parse(line: bytes) -> Message:
    """The message that a line carries. Raises MessageError."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):  # RecursionError: a million brackets
        raise _malformed("no JSON", line) from None
    kind = value.pop("kind", None) if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise _malformed("an unknown kind of message", line)
    fields = [field.name for field in dataclasses.fields(_KINDS[kind])]
    if sorted(value) != sorted(fields):
        raise _malformed(f"a message {kind!r} without the fields {fields}", line)
    try:
        return _KINDS[kind](**{name: _CHECKS[name](value[name]) for name in fields})
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


def _offer(value: Any) -> dict[str, str]:
    """Texts by name. They go into files of one entry a line, such as authorized_keys: no newlines."""
    if not isinstance(value, dict) or not all(isinstance(text, str) and text.isprintable() for text in value.values()):
        raise ValueError("offer is not an object of texts on one line each")
    return value


def _offers(value: Any) -> dict[str, dict[str, str]]:
    if not isinstance(value, dict):
        raise ValueError("offers are not an object")
    return {host: _offer(offer) for host, offer in value.items()}


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "nonce": _hex,
    "proof": _hex,
    "host": _text,
    "text": _text,
    "status": _status,
    "offer": _offer,
    "offers": _offers,
}
