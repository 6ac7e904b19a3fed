"""Misbehaving clients where gunicorn listens itself: the workers handle what nginx would have handled for them."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from byo_container.serving.workers import direct_clients
from tests.serving.support.http import connections, head, parse
from tests.serving.support.metrics import measured

if TYPE_CHECKING:
    from tests.serving.support.server import Server, Start

LOST = """
import ctypes, os, signal, threading, time
class Model:
    def load(self, model_dir):
        ctypes.CDLL(None).signal(signal.SIGTERM, ctypes.c_void_p(1))  # SIG_IGN
        threading.Thread(target=time.sleep, args=(600,)).start()
    def predict(self, model, inputs):
        return [self._answer(value) for value in inputs]
    def _answer(self, value):
        if value == "fork" and not os.fork():
            open(os.environ["SAGEMAKER_BASE_DIR"] + "/copy", "w").write(str(os.getpid()))
            return 0
        if value == "fork and stay" and not os.fork():
            time.sleep(600)
        return os.getpid()
"""


@pytest.fixture(scope="module")
def alone(start_for_module: Start) -> Server:
    return start_for_module(MODEL_SERVER_NGINX="off", SAGEMAKER_MAX_PAYLOAD_IN_MB="1").ready()


@pytest.mark.parametrize("beginning", [b"", head("X-A: b")[:-4]])
def test_two_thousand_idle_connections_do_not_block_requests(alone: Server, beginning: bytes) -> None:
    with connections(alone, 2000, beginning):
        assert alone.get("/ping", timeout=20).status_code == 200
        assert alone.ask([1], timeout=20) == [1]


def test_at_the_file_limit_the_longest_idle_connections_are_closed(start: Start) -> None:
    server = start(prefix=["prlimit", "--nofile=256:256"], MODEL_SERVER_NGINX="off").ready()
    with connections(server, 400, b"POST /invoc") as clients:
        assert server.get("/ping", timeout=20).status_code == 200
        assert server.ask([1], timeout=20) == [1]
        clients[0].settimeout(20)
        with contextlib.suppress(ConnectionResetError):
            assert clients[0].recv(1) == b""
    assert "Traceback" not in server.log()


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Host: x", "SCRIPT_NAME: /x"], 200),
        (["Host: x", "X-Forwarded-Proto: ftp"], 200),
        (["Host: x", "Transfer-Encoding: gzip, chunked"], 501),
        (["Host: x", "Host: y"], 400),
        (["Host: a b"], 400),
        ([], 400),
    ],
)
def test_gunicorn_alone_rejects_what_nginx_would(alone: Server, lines: list[str], status: int) -> None:
    chunked = any("chunked" in line for line in lines)
    body = b"1\r\n1\r\n0\r\n\r\n" if chunked else b"1"
    lines = ["POST /invocations HTTP/1.1", *lines, "Connection: close", *([] if chunked else ["Content-Length: 1"])]
    received = alone.send("\r\n".join([*lines, "", ""]).encode() + body)
    assert int(received.split()[1]) == status, received
    assert status == 200 or parse(received)[1]["message"]


def test_no_100_continue_for_a_body_that_is_too_large(alone: Server) -> None:
    received = alone.send(head("Content-Length: 2000000", "Expect: 100-continue"))
    assert parse(received)[0] == 413
    assert b"100 Continue" not in received
    assert alone.send(head("Content-Length: 1", "Expect: 100-continue") + b"1").startswith(b"HTTP/1.1 100 Continue")


def test_request_id_of_a_client_is_replaced(alone: Server) -> None:
    forged = "mine%0A2026-01-01T00:00:00Z_ERROR"
    answer = alone.post(json={"raise": "a fault"}, headers={"X-Request-Id": forged})
    assert answer.status_code == 500
    request_id = answer.headers["X-Request-Id"]
    assert len(request_id) == 32
    alone.until(lambda: alone.log().count(request_id) >= 2, "both the fault and the access log have it")
    assert forged not in alone.log()


def test_slow_reader_is_served_and_stalled_reader_is_disconnected() -> None:
    ours, theirs = socket.socketpair()
    client = direct_clients.Client(ours.family, ours.type, ours.proto, fileno=ours.detach())
    client.settimeout(2.0)
    taken: list[int] = []

    def take_slowly() -> None:
        while len(taken) < 8:
            time.sleep(0.4)  # in all longer than the time-out
            taken.append(len(theirs.recv(direct_clients.PART_BYTES, socket.MSG_WAITALL)))

    reader = threading.Thread(target=take_slowly)
    reader.start()
    client.sendall(bytes(8 * direct_clients.PART_BYTES))
    reader.join()
    assert sum(taken) == 8 * direct_clients.PART_BYTES
    client.settimeout(0.2)
    with pytest.raises(ConnectionResetError):
        client.sendall(bytes(8 * direct_clients.PART_BYTES))
    client.close()
    theirs.close()


@pytest.mark.slow
def test_stalled_body_is_408(alone: Server) -> None:
    received = alone.send(head("Content-Length: 9") + b"[1,", timeout_s=direct_clients.PATIENCE_S + 40)
    assert parse(received)[0] == 408


def test_a_handler_that_ignores_sigterm_and_leaves_threads_ends_soon(start: Start) -> None:
    server = start(MODEL_HANDLER="lost:Model", MODEL_SERVER_NGINX="off")
    (server.root / "code/lost.py").write_text(LOST)
    server.ready()
    began = time.monotonic()
    server.terminate()
    assert server.ended() == 0
    assert time.monotonic() - began < 18  # 22 s and more by force
    assert "has not ended" not in server.log()
    assert server.processes() == {}


def test_forked_copy_of_a_worker_counts_nothing_and_holds_no_connection(start: Start) -> None:
    """What a handler that calls os.fork() makes."""
    server = start(MODEL_HANDLER="lost:Model", MODEL_SERVER_NGINX="off")
    (server.root / "code/lost.py").write_text(LOST)
    server.ready()
    (worker,) = server.workers()
    assert server.ask("fork") == worker
    server.until((server.root / "copy").exists, "the copy has run")
    copy = int((server.root / "copy").read_text() or server.until((server.root / "copy").read_text, "it has an id"))
    server.until(lambda: not running(copy), "the copy has ended")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        body = b'"fork and stay"'
        client.sendall(head(f"Content-Length: {len(body)}") + body)
        received = b""
        while chunk := client.recv(4096):  # until the connection ends, which a copy might keep open
            received += chunk
    assert int(received.rpartition(b"\r\n\r\n")[2]) == worker
    assert measured(server)[f'byo_computing_batches{{pid="{worker}"}}'] == 0
    assert len(server.processes()) == 4  # serve, gunicorn, its worker and the copy
    server.terminate()
    assert server.ended() == 0
    assert server.processes() == {}  # the copy that stays ignores SIGTERM, too


def running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_gunicorn_alone_does_not_compute_for_disconnected_clients(start: Start, root: Path) -> None:
    code = (
        "import time\nclass Slow:\n    batch_size = 1\n    def load(self, model_dir): pass\n"
        "    def predict(self, model, inputs):\n        time.sleep(inputs[0])\n        return inputs\n"
    )
    (root / "code/slow.py").write_text(code)
    server = start(root, MODEL_HANDLER="slow:Slow", MODEL_SERVER_NGINX="off").ready()

    def ask_and_leave(_: int) -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(head("Content-Length: 1") + b"1")

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(ask_and_leave, range(20)))
    assert server.ask(0.0, timeout=60) == 0.0
    assert measured(server)["byo_batch_inputs_count"] < 15
    server.until(lambda: measured(server).get('byo_requests_total{status="499"}', 0) >= 6, "they are counted")


def test_system_exit_in_cost_is_answered(start: Start, root: Path) -> None:
    """`cost` runs in the event loop, where SystemExit would end the connection's greenlet without an answer."""
    code = (
        "class Exits:\n    def load(self, model_dir): return 1\n    def cost(self, value): raise SystemExit(0)\n"
        "    def predict(self, model, inputs): return inputs\n"
    )
    (root / "code/exits.py").write_text(code)
    server = start(root, MODEL_HANDLER="exits:Exits", MODEL_SERVER_NGINX="off").ready()
    assert server.post(json="x", timeout=20).status_code == 500
    assert "failed: SystemExit: 0" in server.log()
