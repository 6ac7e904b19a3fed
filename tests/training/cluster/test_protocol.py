"""What hosts tell each other, as data."""

from __future__ import annotations

import json

import pytest

from byo_container.training.cluster import protocol
from byo_container.training.cluster.protocol import Message, MessageError, encode, parse, printable

HEX = "0f" * 32
ALL = [
    protocol.Challenge(HEX),
    protocol.Hello("algo-2", HEX, HEX),
    protocol.Accepted(HEX),
    protocol.Rejected(),
    protocol.Ready({"client_key": "ssh-ed25519 AAAA"}),
    protocol.Start({"algo-1": {}, "algo-2": {"host_key": "ssh-ed25519 BBBB"}}),
    protocol.Stop("algo-2"),
    protocol.RankFailed("rank 1: ValueError: torn\n\nTraceback"),
    protocol.End("algo-2: torn"),
    protocol.HostResult(0, ""),
    protocol.JobResult(143, "algo-2: über\tall"),
    protocol.Heartbeat(),
]


@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    line = encode(message)
    assert line.count(b"\n") == 1
    assert parse(line[:-1]) == message


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[" * 100_000,
        b'{"kind": "host_result", "status": ' + b"9" * 100_000 + b', "text": ""}',
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b'{"kind": []}',
        b'{"kind": "shell"}',
        b'{"kind": "host_result"}',
        b'{"kind": "host_result", "status": "x", "text": ""}',
        b'{"kind": "host_result", "status": true, "text": ""}',
        b'{"kind": "host_result", "status": 256, "text": ""}',
        b'{"kind": "host_result", "status": 1e999, "text": ""}',
        b'{"kind": "host_result", "status": 1, "text": []}',
        b'{"kind": "host_result", "status": 1, "text": "", "more": 1}',
        b'{"kind": "ready", "payload": [1]}',
        b'{"kind": "ready", "payload": {"client_key": {}}}',
        b'{"kind": "ready", "payload": {"client_key": "a\\nssh-ed25519 another"}}',
        b'{"kind": "start", "payloads": {"algo-1": null}}',
        b'{"kind": "stop", "host": null}',
        b'{"kind": "hello", "host": "algo-2", "nonce": "", "proof": "x"}',
    ],
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(MessageError) as refused:
        parse(line)
    assert len(str(refused.value)) < 400
    assert str(refused.value).isprintable()


def test_what_another_host_says_cannot_write_into_the_terminal() -> None:
    line = json.dumps({"kind": "end", "text": "a\x1b[2Jb\rc\x9bd\u202ee\ud800f\n\tgü"}).encode()
    assert parse(line) == protocol.End("a\\x1b[2Jb\\rc\\x9bd\\u202ee\\ud800f\n\tgü")
    assert printable("plain") == "plain"
