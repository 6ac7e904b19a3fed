"""Messages in a stream of bytes: cut anywhere, and never longer than the peer may send."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Iterator

import pytest

from byo_container.training.cluster import protocol
from byo_container.training.cluster.connection import LINE_LENGTH, UNIDENTIFIED_LINE_LENGTH, Connection, LineBuffer
from byo_container.training.cluster.protocol import Message, MessageError, encode
from tests.support.processes import wait_until

LINES = b"one\ntwo\n\nfour\n"


@pytest.mark.parametrize("length", range(1, len(LINES) + 1))
def test_a_line_is_whole_wherever_it_was_cut(length: int) -> None:
    buffer = LineBuffer(10)
    pieces = [LINES[start : start + length] for start in range(0, len(LINES), length)]
    assert list(itertools.chain(*map(buffer.feed, pieces))) == [b"one", b"two", b"", b"four"]


def test_a_line_without_an_end_waits_for_it() -> None:
    buffer = LineBuffer(10)
    assert list(buffer.feed(b"on")) == []
    assert list(buffer.feed(b"e")) == []
    assert list(buffer.feed(b"\nt")) == [b"one"]


@pytest.mark.parametrize("data", [b"x" * 11, b"x" * 11 + b"\n", b"ok\n" + b"x" * 11])
def test_a_line_that_is_too_long_is_refused_before_its_end(data: bytes) -> None:
    with pytest.raises(MessageError, match="a line of more than 10 bytes"):
        list(LineBuffer(10).feed(data))


def test_pieces_of_a_line_that_is_too_long_are_refused() -> None:
    buffer = LineBuffer(10)
    assert list(buffer.feed(b"x" * 10)) == []
    with pytest.raises(MessageError):
        list(buffer.feed(b"x"))


def test_the_limit_may_change_between_two_lines() -> None:
    buffer = LineBuffer(3)
    lines = buffer.feed(b"one\n" + b"x" * 8 + b"\n")
    assert next(lines) == b"one"
    buffer.limit = 10
    assert next(lines) == b"x" * 8


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection and its other end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        connection = Connection(listener.accept()[0])
    with theirs:
        yield connection, theirs
    connection.close()


def messages_of(connection: Connection) -> list[Message]:
    return [message for data in connection.read() for message in connection.messages(data)]


def test_an_identified_peer_may_send_long_lines(pair: tuple[Connection, socket.socket]) -> None:
    connection, theirs = pair
    message = protocol.End("x" * UNIDENTIFIED_LINE_LENGTH)
    theirs.sendall(encode(message) * 2)
    connection.allow_long_lines()
    received: list[Message] = []
    while len(received) < 2:
        received += messages_of(connection)
    assert received == [message, message]
    assert len(encode(message)) < LINE_LENGTH


def test_an_unidentified_peer_may_not_send_long_lines(pair: tuple[Connection, socket.socket]) -> None:
    connection, theirs = pair
    theirs.sendall(b"x" * (UNIDENTIFIED_LINE_LENGTH + 1))
    with pytest.raises(MessageError, match="more than 1024 bytes"):
        wait_until(lambda: messages_of(connection), "the line")


def test_an_unidentified_peer_may_not_send_many_short_messages(pair: tuple[Connection, socket.socket]) -> None:
    connection, _ = pair
    heartbeats = encode(protocol.Heartbeat()) * 10
    assert len(list(connection.messages(heartbeats))) == 10
    with pytest.raises(MessageError, match="more than 4096 bytes before it had joined"):
        list(connection.messages(heartbeats * 100))


def test_an_identified_peer_may_send_many_messages(pair: tuple[Connection, socket.socket]) -> None:
    connection, _ = pair
    connection.allow_long_lines()
    assert len(list(connection.messages(encode(protocol.Heartbeat()) * 1000))) == 1000


def test_the_end_of_a_connection_comes_after_its_last_message(pair: tuple[Connection, socket.socket]) -> None:
    connection, theirs = pair
    theirs.sendall(encode(protocol.Rejected()) + b'{"kind": "rej')
    theirs.close()
    received: list[Message] = []
    while not connection.is_at_end:
        received += messages_of(connection)
    assert received == [protocol.Rejected()], "and nothing of the one that was cut off"


def test_no_message_comes_from_a_connection_that_was_closed_at_the_one_before(
    pair: tuple[Connection, socket.socket],
) -> None:
    connection, _ = pair
    data = encode(protocol.Rejected()) * 2
    messages = connection.messages(data)
    assert next(messages) == protocol.Rejected()
    connection.close()
    assert list(messages) == []


def test_what_the_kernel_does_not_take_is_sent_later(pair: tuple[Connection, socket.socket]) -> None:
    connection, theirs = pair
    message = protocol.End("x" * 60_000)
    for _ in range(200):
        connection.send(message)
    theirs.setblocking(False)
    received = b""

    def read_all() -> bool:
        nonlocal received
        connection.flush()
        with contextlib.suppress(BlockingIOError):
            received += theirs.recv(1 << 20)
        return len(received) == 200 * len(encode(message))

    wait_until(read_all, "all messages")
    assert received == encode(message) * 200
