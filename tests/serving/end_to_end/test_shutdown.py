"""How `serve` ends: it drains requests on SIGTERM, exits with a non-zero status when nginx or gunicorn dies, and leaves
no process behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from tests.serving.support.server import Server, Start


def refused(server: Server) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=2):
        return False
    return True


def in_flight(pool: ThreadPoolExecutor, server: Server, seconds: float) -> Future[requests.Response]:
    future = pool.submit(server.post, json={"sleep": seconds})
    time.sleep(0.3)
    return future


@pytest.mark.parametrize("switch", ["on", "off"])
def test_sigterm_drains_requests_in_flight_and_rejects_new_ones(start: Start, switch: str) -> None:
    server = start(MODEL_SERVER_NGINX=switch).ready()
    with ThreadPoolExecutor(2) as pool:
        running = in_flight(pool, server, 2.0)
        began = time.monotonic()
        server.terminate()
        server.until(lambda: refused(server), "new connections are refused", timeout_s=1.6)
        assert running.result().status_code == 200
    assert server.ended() == 0
    assert 1.5 < time.monotonic() - began < 30
    assert server.processes() == {}


@pytest.mark.parametrize("switch", ["on", "off"])
def test_sigterm_with_idle_connections_is_quick(start: Start, switch: str) -> None:
    server = start(MODEL_SERVER_NGINX=switch).ready()
    with requests.Session() as session:
        session.get(server.url + "/ping", timeout=5)
        began = time.monotonic()
        server.terminate()
        assert server.ended() == 0
        assert time.monotonic() - began < 10


@pytest.mark.slow
def test_a_prediction_that_does_not_end_is_cut_off_within_30_s(start: Start) -> None:
    server = start().ready()
    with ThreadPoolExecutor(1) as pool:
        running = in_flight(pool, server, 50)
        began = time.monotonic()
        server.terminate()
        assert server.ended(30) == 0
        assert time.monotonic() - began > 20
        assert isinstance(running.exception(10), requests.ConnectionError)
    assert "has not ended in 22 s" in server.log()
    assert server.processes() == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_while_the_model_loads(start: Start, number: int) -> None:
    server = start(TOY_LOAD_S="60").ready(503)
    os.kill(server.process.pid, number)
    assert server.ended() == 0
    assert server.processes() == {}


def test_sigterm_at_any_moment_of_the_startup(start: Start, tmp_path: Path) -> None:
    for number, delay in enumerate((0.05, 0.15, 0.25, 0.35, 0.45)):
        root = tmp_path / str(number)
        (root / "model").mkdir(parents=True)
        # A shell's background job ignores these two, and would hand that on to nginx.
        server = start(root, prefix=("env", "--ignore-signal=INT,QUIT"))
        time.sleep(delay)
        server.terminate()
        # By the signal itself, before Python had got so far; and long before anything would be ended by force.
        assert server.ended(timeout_s=15) in (0, 1, -signal.SIGTERM)
        assert server.processes() == {}


@pytest.mark.parametrize("name", ["gunicorn", "nginx"])
def test_death_of_nginx_or_gunicorn_ends_serve(start: Start, name: str) -> None:
    server = start(MODEL_SERVER_WORKERS="2").ready()
    os.kill(server.child(name), signal.SIGKILL)
    assert server.ended() == 1
    assert f"{name} was killed by SIGKILL" in server.log()
    assert server.processes() == {}
    assert refused(server)


def test_sigkill_of_serve_itself_leaves_no_process_behind(start: Start, tmp_path: Path) -> None:
    server = start(MODEL_SERVER_WORKERS="2", TMPDIR=str(tmp_path)).ready()
    server.until(lambda: len(server.processes()) == 6, "serve, gunicorn and nginx, with two workers and one")
    os.kill(server.process.pid, signal.SIGKILL)
    server.until(lambda: not server.processes(), "all have ended")


def test_an_nginx_worker_that_dies_is_replaced(start: Start) -> None:
    server = start().ready()
    master = server.child("nginx")
    (worker,) = server.children(master)
    os.kill(worker, signal.SIGKILL)
    server.until(lambda: server.children(master) not in ([], [worker]), "nginx has another worker")
    server.ready()
    assert server.ask(1) == 1


def test_killed_worker_is_replaced_and_the_other_loses_no_request(start: Start) -> None:
    server = start(MODEL_SERVER_WORKERS="2").ready()
    server.until(lambda: server.log().count("the model is loaded") == 2, "both workers are ready")
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(server.post, json={"sleep": 1.0}) for _ in range(2)]
        time.sleep(0.3)
        before = server.workers()
        os.kill(before[0], signal.SIGKILL)
        answers = [future.result() for future in running]
        for answer in answers:  # lost with its worker: an error that says so, and to try again
            assert answer.status_code in (200, 503)
            assert answer.status_code == 200 or answer.headers["Retry-After"] == "5"
        assert [answer.json() for answer in answers if answer.status_code == 200].count(before[0]) == 0
        server.until(lambda: len(server.workers()) == 2 and before[0] not in server.workers(), "it is replaced")
        assert all(pool.map(lambda n: server.ask(n) == n, range(100)))


def test_requests_that_start_after_a_kill_are_all_answered(start: Start) -> None:
    """With one worker there is nobody to answer for a moment: they wait for the next one."""
    server = start().ready()
    os.kill(server.workers()[0], signal.SIGKILL)
    time.sleep(0.05)  # nginx has seen the connections close
    assert [server.ask(n) for n in range(5)] == list(range(5))


def test_a_new_worker_takes_no_request_that_it_cannot_answer_at_once(start: Start) -> None:
    server = start(MODEL_SERVER_WORKERS="2", TOY_LOAD_S="1.5").ready()
    server.until(lambda: server.log().count("the model is loaded") == 2, "both workers are ready")
    os.kill(server.workers()[0], signal.SIGKILL)
    time.sleep(0.1)  # nginx has seen its connections close
    slowest = 0.0
    for n in range(40):
        began = time.monotonic()
        assert server.ask(n) == n
        slowest = max(slowest, time.monotonic() - began)
        time.sleep(0.03)
    assert slowest < 1.2


def test_replaced_worker_gets_its_share_of_requests(start: Start) -> None:
    """Also while nginx has connections enough to the other one, all of them in use."""
    server = start(MODEL_SERVER_WORKERS="2").ready()
    stop = threading.Event()

    def go_on() -> Iterator[int]:
        while not stop.is_set():
            answer = server.post(json={"sleep": 0.005})
            if answer.status_code == 200:
                yield answer.json()

    answered: Counter[int] = Counter()
    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(lambda: answered.update(go_on())) for _ in range(8)]
        try:
            time.sleep(0.5)
            killed = server.workers()[0]
            os.kill(killed, signal.SIGKILL)
            server.until(lambda: len({*server.workers()} - {killed}) == 2, "it is replaced")
            server.until(lambda: {*server.workers()} <= {*answered}, "both answer")
        finally:
            stop.set()
        for client in clients:
            client.result()


@pytest.mark.parametrize("switch", ["on", "off"])
def test_segfault_fails_only_the_requests_of_its_worker(start: Start, switch: str) -> None:
    server = start(MODEL_SERVER_WORKERS="2", MODEL_SERVER_NGINX=switch).ready()
    with contextlib.suppress(requests.ConnectionError):  # by gunicorn alone there is nobody left to answer
        assert server.post(json={"segfault": 1}).status_code == 503
    server.until(lambda: server.status() == 200, "/ping is 200 again")
    assert [server.ask(n) for n in range(20)] == list(range(20))
    server.until(lambda: "SIGSEGV" in server.log(), "the log tells of it")


def test_hanging_prediction_is_504_and_its_worker_is_replaced(start: Start) -> None:
    server = start(MODEL_SERVER_TIMEOUT="1", MODEL_SERVER_WORKERS="2").ready()
    before = server.until(lambda: pids if len(pids := server.workers()) == 2 else None, "there are two workers")
    answer = server.post(json={"sleep": 100})
    assert answer.status_code == 504
    assert answer.json()["message"] == "the model did not answer within 1 s; send less at once"
    stop = threading.Event()

    def go_on() -> list[int]:
        statuses = []
        while not stop.is_set():
            statuses.append(server.post(json=1).status_code)
        return statuses

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(go_on) for _ in range(4)]
        try:
            server.until(lambda: len(set(server.workers()) & set(before)) == 1, "the worker is replaced", 40)
            server.until(lambda: len(server.workers()) == 2, "there are two again")
        finally:
            stop.set()
        assert {status for client in clients for status in client.result()} == {200}
    assert "giving its thread up" in server.log()


PID_1 = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run([*PID_1, "true"], capture_output=True, check=False).returncode != 0,
    reason="a process namespace of its own needs root and unshare",
)
def test_as_process_1_it_reaps_orphans_and_ends_by_sigterm(start: Start) -> None:
    """What a container without tini is."""
    server = start(prefix=PID_1).ready()
    (serve,) = server.children(server.process.pid)
    orphan = ["nsenter", f"--target={serve}", "--pid", "sh", "-c", "(sleep 0.1 & sleep 0.2 &) ; exit"]
    subprocess.run(orphan, check=True, timeout=10)
    time.sleep(0.5)
    states = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in server.children(serve)]
    assert "Z" not in states
    with ThreadPoolExecutor(1) as pool:
        running = in_flight(pool, server, 1.0)
        os.kill(serve, signal.SIGTERM)
        assert running.result().status_code == 200
    assert server.ended() == 0
    assert server.processes() == {}
