"""WebSockets: the order of messages, pings, fragments, limits and close codes."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Pong,
    RejectConnection,
    TextMessage,
)

from tests.serving.support.server import TALKER
from tests.serving.support.websocket import PATH, WebSocketClient

if TYPE_CHECKING:
    from tests.serving.support.server import Server, Start

MEGABYTE = 1024 * 1024


Connect = Callable[..., WebSocketClient]


@pytest.fixture(scope="module", params=["nginx", "gunicorn alone"])
def server(request: pytest.FixtureRequest, start_for_module: Start) -> Server:
    nginx = "on" if request.param == "nginx" else "off"
    limit = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1", "MODEL_SERVER_NGINX": nginx}
    return start_for_module(handler=TALKER, **limit).ready()


@pytest.fixture
def connect(server: Server) -> Iterator[Connect]:
    with contextlib.ExitStack() as stack:

        def connect() -> WebSocketClient:
            client = WebSocketClient(server)
            stack.callback(client.socket.close)
            assert isinstance(client.opening, AcceptConnection), client.opening
            return client

        yield connect


def test_messages_are_answered_in_their_order(connect: Connect) -> None:
    client = connect()
    assert client.ask("hello") == "hello"
    assert client.ask(b"\x00\xff") == b"\x00\xff"
    assert client.ask("ü€" * 1000) == "ü€" * 1000
    client.send(TextMessage("nothing"))
    for number in range(20):
        client.send(TextMessage(str(number)))
    assert [client.next().data for _ in range(20)] == [str(number) for number in range(20)]  # type: ignore[attr-defined]


def test_state_of_a_websocket_session(connect: Connect) -> None:
    first, second = connect(), connect()
    assert json.loads(first.ask("seen")) == {"seen": 1}
    assert json.loads(first.ask("seen")) == {"seen": 2}
    assert json.loads(second.ask("seen")) == {"seen": 1}


def test_generator_sends_many_messages(connect: Connect) -> None:
    client = connect()
    assert [client.ask("count"), client.next().data, client.next().data] == ["0", "1", "2"]  # type: ignore[attr-defined]


def test_pings_are_answered_while_the_model_computes(connect: Connect) -> None:
    client = connect()
    client.send(TextMessage("slow"))
    client.send(Ping(b"there?"))
    seen = [client.next() for _ in range(8)]
    assert Pong(b"there?") in seen
    assert seen.index(Pong(b"there?")) < 5


def test_pings_are_answered_while_many_messages_wait(connect: Connect) -> None:
    client = connect()
    client.send(TextMessage("slow"))
    for number in range(500):
        client.send(TextMessage(str(number)))
    client.send(Ping(b"there?"))
    seen = [client.next() for _ in range(30)]
    assert Pong(b"there?") in seen  # a hundred parts come before the first of the others is answered


def test_more_messages_than_the_queue_holds_are_all_answered(connect: Connect) -> None:
    client = connect()
    client.send(TextMessage("count"))
    for number in range(1500):
        client.send(TextMessage(str(number)))
    received = [client.next().data for _ in range(1503)]  # type: ignore[attr-defined]
    assert received[3:] == [str(number) for number in range(1500)]


@pytest.mark.parametrize("nginx", ["on", "off"])
@pytest.mark.parametrize("piece", ["pong", "ping", "fragment", "message"])
def test_flooding_websocket_client_does_not_starve_others(start: Start, nginx: str, piece: str) -> None:
    """On a server of its own, which would go on for half a minute with what it has got."""
    server = start(handler=TALKER, MODEL_SERVER_NGINX=nginx).ready()
    client = WebSocketClient(server)
    pieces = {"pong": frame(10, b""), "ping": frame(9, b""), "fragment": frame(0, b"", fin=False)}
    data = pieces.get(piece, frame(1, b"nothing")) * 5000
    if piece == "fragment":
        client.socket.sendall(frame(2, b"", fin=False))
    stop = threading.Event()

    def flood() -> None:
        with contextlib.suppress(OSError):
            while not stop.is_set():
                client.socket.sendall(data)

    def read() -> None:
        with contextlib.suppress(OSError):
            while not stop.is_set() and client.socket.recv(65536):
                pass

    with ThreadPoolExecutor(2) as pool:
        pool.submit(flood)
        pool.submit(read)
        try:
            for number in range(10):
                assert server.ask(number, timeout=20) == number
                assert server.get("/ping", timeout=20).status_code == 200
        finally:
            stop.set()
            client.socket.shutdown(socket.SHUT_RDWR)


def test_large_messages_share_a_memory_budget(connect: Connect) -> None:
    """A payload of this server is 1 MB, and there is room for four of them."""
    part = frame(2, b"x" * (MEGABYTE - 1000), fin=False)
    clients = [connect() for _ in range(8)]
    for client in clients:
        client.socket.sendall(part)
        client.send(Ping(b"so far"))
    answers = [client.next() for client in clients]
    refused = [event for event in answers if isinstance(event, CloseConnection)]
    assert {event.code for event in refused} == {1013}
    assert 4 <= len(refused) < 8
    assert connect().ask("small") == "small"
    for client in clients:
        client.socket.close()
    deadline = time.monotonic() + 20
    while True:  # what they held is given back once it is seen that they have gone
        client = connect()
        client.send(BytesMessage(b"y" * MEGABYTE))
        answer = client.next()
        if isinstance(answer, BytesMessage):
            break
        assert time.monotonic() < deadline, answer


def test_limit_of_websockets_per_worker(server: Server, connect: Connect) -> None:
    clients = [connect() for _ in range(200)]
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            extra = WebSocketClient(server)
            stack.callback(extra.socket.close)
            if isinstance(extra.opening, RejectConnection):
                break
        assert isinstance(extra.opening, RejectConnection)
        assert extra.opening.status_code == 503
    assert clients[0].ask("still here") == "still here"
    assert server.ask(1) == 1


def test_fragments_with_pings_between_them_are_joined(connect: Connect) -> None:
    client = connect()
    client.send(TextMessage("hel", message_finished=False))
    client.send(Ping(b"1"))
    client.send(TextMessage("lo", message_finished=False))
    client.send(TextMessage("!", message_finished=True))
    assert {type(event): event for event in (client.next(), client.next())} == {
        Pong: Pong(b"1"),
        TextMessage: TextMessage("hello!"),
    }


def frame(opcode: int, payload: bytes, fin: bool = True, masked: bool = True, length: int | None = None) -> bytes:
    """A frame byte by byte, as wsproto would not make it."""
    size = len(payload) if length is None else length
    second = 0x80 if masked else 0
    head = bytes([0x80 * fin | opcode])
    if size < 126:
        head += bytes([second | size])
    elif size < 65536:
        head += bytes([second | 126]) + struct.pack("!H", size)
    else:
        head += bytes([second | 127]) + struct.pack("!Q", size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(1, b"\xff\xfe"), 1007),
        (frame(1, b"x", masked=False), 1002),
        (frame(3, b"x"), 1002),
        (frame(9, b"x" * 126), 1002),
        (frame(0, b"x"), 1002),
        (frame(1, b"x", fin=False) + frame(1, b"y"), 1002),
        (b"\xf1" + frame(1, b"x")[1:], 1002),
        (frame(2, b"x" * MEGABYTE) + frame(8, b""), 1005),
        (frame(2, b"x" * (MEGABYTE + 1)), 1009),
        (b"".join(frame(0 if n else 2, b"x" * 65536, fin=False) for n in range(17)), 1009),
        (frame(8, struct.pack("!H", 1000)), 1000),
        (frame(8, struct.pack("!H", 4000) + b"bye"), 4000),
        (frame(8, b"x"), 1002),
        (frame(2, b"", fin=False) + frame(0, b"", fin=False) * 66_000, 1008),
    ],
)
def test_close_codes(connect: Connect, data: bytes, code: int) -> None:
    client = connect()
    with contextlib.suppress(ConnectionError):  # it may be refused before all of it is sent
        client.socket.sendall(data)
    event = client.next()
    while not isinstance(event, CloseConnection):
        event = client.next()
    assert event.code == code
    assert connect().ask("still there") == "still there"


def test_errors_are_sent_as_messages(connect: Connect) -> None:
    client = connect()
    refused = json.loads(client.ask("refuse"))
    assert (refused["code"], refused["message"]) == (400, "say something else")
    assert client.ask("x") == "x"
    failed = json.loads(client.ask("fail"))
    assert failed["code"] == 500
    assert "secret" not in failed["message"]
    end = client.next()
    assert isinstance(end, CloseConnection)
    assert end.code == 1011


@pytest.mark.parametrize("more", [0, 50])
def test_a_fault_ends_the_connection_whatever_the_client_says(connect: Connect, more: int) -> None:
    client = connect()
    client.send(TextMessage("fail"))
    for _ in range(more):  # which nobody will read
        client.send(TextMessage("x"))
    while not isinstance(event := client.next(), CloseConnection):
        pass
    assert event.code == 1011
    client.socket.settimeout(30)  # of silence; it used to take 60 s and more
    with contextlib.suppress(ConnectionError):
        assert client.socket.recv(65536) == b""


OPENING = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://127.0.0.1:1"])
def test_foreign_origin_is_rejected(server: Server, origin: str) -> None:
    assert server.get(PATH, headers=OPENING | {"Origin": origin}).status_code == 403


def test_same_origin_is_accepted(server: Server) -> None:
    host = f"127.0.0.1:{server.port}"
    lines = [f"{name}: {value}\r\n" for name, value in {**OPENING, "Host": host, "Origin": f"http://{host}"}.items()]
    received = server.send(f"GET {PATH} HTTP/1.1\r\n{''.join(lines)}\r\n".encode(), timeout_s=2)
    assert received.startswith(b"HTTP/1.1 101")


def test_disconnected_client_stops_the_computation(server: Server, connect: Connect) -> None:
    notes = server.root / "notes"
    notes.unlink(missing_ok=True)
    client = connect()
    client.ask("slow")
    client.socket.close()
    server.until(lambda: notes.read_text().split()[-1:] == ["end"], "the computation has ended", timeout_s=5)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ({}, 426),
        ({"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "8"}, 426),
        ({"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}, 400),
        (
            {
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "x",
            },
            400,
        ),
    ],
)
def test_invalid_handshake_is_rejected(server: Server, head: dict[str, str], status: int) -> None:
    answer = server.get(PATH, headers=head)
    assert (answer.status_code, answer.json()["code"]) == (status, status)
    assert server.post(PATH, data=b"x").status_code == 405


def test_many_websockets_at_once(connect: Connect) -> None:
    clients = [connect() for _ in range(50)]
    for number, client in enumerate(clients):
        client.send(TextMessage(str(number)))
    assert [client.next().data for client in clients] == [str(n) for n in range(50)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("nginx", ["on", "off"])
def test_handler_without_converse_predicts(start: Start, nginx: str) -> None:
    client = WebSocketClient(start(MODEL_SERVER_NGINX=nginx).ready())
    assert json.loads(client.ask('{"a": [1]}')) == {"a": [1]}
    assert json.loads(client.ask("{"))["code"] == 400
    assert json.loads(client.ask(b"\x00"))["code"] == 415


@pytest.mark.parametrize("nginx", ["on", "off"])
def test_sigterm_closes_websockets_with_1001(start: Start, nginx: str) -> None:
    server = start(MODEL_SERVER_NGINX=nginx).ready()
    client = WebSocketClient(server)
    assert client.ask("1") == "1"
    server.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    end = client.next()
    assert isinstance(end, CloseConnection)
    assert end.code == 1001
    client.send(end.response())
    assert server.ended() == 0
    assert time.monotonic() - began < 8


def test_multi_model_has_no_websocket(start: Start, root: Path) -> None:
    (root / "models").mkdir()
    server = start(root, SAGEMAKER_MULTI_MODEL="true").ready()
    client = WebSocketClient(server)
    assert isinstance(client.opening, RejectConnection)
    assert client.opening.status_code == 404
    client.socket.close()
