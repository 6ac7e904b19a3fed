"""What a request's headers say, for handlers that ask: sessions, custom attributes, the inference's id."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gevent
import pytest

from byo_container.serving.errors import RequestError
from byo_container.serving.models.sessions import Sessions
from tests.serving.support.server import TALKER

if TYPE_CHECKING:
    from tests.serving.support.server import Server, Start

PREFIX = "X-Amzn-SageMaker-"
SESSION = f"{PREFIX}Session-Id"


@pytest.fixture(scope="module")
def server(start_for_module: Start) -> Server:
    lifetime = {"MODEL_SERVER_SESSION_SECONDS": "3", "MODEL_SERVER_WORKERS": "2"}
    return start_for_module(handler=TALKER, **lifetime).ready()


def open_session(server: Server, **options: Any) -> str:
    answer = server.post(headers={SESSION: "NEW_SESSION"}, **options)
    assert answer.status_code == 200, answer.text
    said = re.fullmatch(r"([0-9a-f]+); Expires=(\S+Z)", answer.headers[f"{PREFIX}New-Session-Id"])
    assert said
    left = (datetime.strptime(said[2], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
    assert 0 < left <= 3
    return said[1]


def test_session_is_shared_by_all_workers(server: Server) -> None:
    first, second = open_session(server, json={"note": "a"}), open_session(server, json={"note": "x"})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.ask({"note": "b"}, headers={SESSION: first}), range(8)))
    assert max(answers, key=len) == "a" + 8 * "b"
    assert server.ask({"note": "y"}, headers={SESSION: second}) == "xy"
    closed = server.post(json={"requestType": "CLOSE"}, headers={SESSION: first})
    assert (closed.status_code, closed.headers[f"{PREFIX}Closed-Session-Id"]) == (200, first)
    assert server.post(json=1, headers={SESSION: first}).status_code == 400
    assert server.ask({"note": "z"}, headers={SESSION: second}) == "xyz"


def test_session_is_opened_by_requesttype_in_the_body(server: Server) -> None:
    answer = server.post(json={"requestType": "NEW_SESSION"})
    assert answer.status_code == 200
    session = answer.headers[f"{PREFIX}New-Session-Id"].partition(";")[0]
    assert server.ask({"note": "a"}, headers={SESSION: session}) == "a"


def test_session_ends_after_its_lifetime(server: Server) -> None:
    session = open_session(server, json=1)
    time.sleep(3.2)
    answer = server.post(json=1, headers={SESSION: session})
    assert answer.status_code == 400
    assert "NEW_SESSION" in answer.json()["message"]


@pytest.mark.parametrize(
    "session", ["nobody", "../../model", "a/b", "-", "", "a" * 300, "7fffffff" + "0" * 32, "f" * 40]
)
def test_unknown_session_is_refused_with_400(server: Server, session: str) -> None:
    assert server.post(json=1, headers={SESSION: session}).status_code == (400 if session else 200)
    assert server.post(json={"requestType": "CLOSE"}, headers={SESSION: session}).status_code == 400


def system_calls(act: Callable[[], Any]) -> int:
    """How often a function calls the operating system's own functions, in this thread."""
    calls = 0

    def count(_: Any, event: str, function: Any) -> None:
        nonlocal calls
        calls += event == "c_call" and getattr(function, "__module__", "") == "posix"

    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(None)
    return calls


def test_session_cost_is_independent_of_open_sessions(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path / "sessions", 1200)
    first = sessions.open()
    few = system_calls(lambda: sessions.close(sessions.open().id))
    for _ in range(300):
        sessions.open()
    sessions._swept = 0.0  # time for a sweep, which is another thread's work
    assert system_calls(lambda: sessions.close(sessions.open().id)) <= few + 5
    assert sessions.get(first.id).folder.is_dir()


def test_sweep_removes_ended_sessions_and_counts_the_others(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, 1200, max_open=3)
    long_ago = tmp_path / str(int(time.time()) // 60 - 5) / ("0" * 40)
    long_ago.mkdir(parents=True)
    kept = sessions.open()
    sessions.sweep()
    assert not long_ago.parent.exists()
    assert kept.folder.is_dir()
    other = Sessions(tmp_path, 1200, max_open=3)  # another worker's
    other.open()
    other.open()
    sessions.sweep()
    with pytest.raises(RequestError, match="3 sessions are open") as caught:
        sessions.open()
    assert (caught.value.status, caught.value.headers) == (503, (("Retry-After", "10"),))
    sessions.close(kept.id)
    assert sessions.open().folder.is_dir()


def test_custom_attributes_reach_the_handler_and_the_reply(server: Server) -> None:
    headers = {f"{PREFIX}Custom-Attributes": "trace=1", f"{PREFIX}Inference-Id": "id-7", f"{PREFIX}Target-Variant": "b"}
    answer = server.post(json={"attributes": "trace=2"}, headers=headers)
    assert answer.json() == ["trace=1", "id-7", "b"]
    assert answer.headers[f"{PREFIX}Custom-Attributes"] == "trace=2"
    assert f"{PREFIX}Custom-Attributes" not in server.post(json=1, headers=headers).headers


@pytest.mark.parametrize("text", ["a\r\nX-Evil: 1", "ü", "x" * 1025])
def test_invalid_custom_attributes_of_the_handler_are_500(server: Server, text: str) -> None:
    answer = server.post(json={"attributes": text})
    assert answer.status_code == 500
    assert "X-Evil" not in answer.headers


def test_handler_without_context_ignores_sessions(start: Start) -> None:
    server = start().ready()
    assert server.ask(1, headers={SESSION: "whatever"}) == 1


def test_session_that_two_requests_close_at_once_is_closed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmtree = shutil.rmtree

    def slowly(*arguments: Any) -> None:
        time.sleep(0.1)
        rmtree(*arguments)

    monkeypatch.setattr(shutil, "rmtree", slowly)
    sessions = Sessions(tmp_path, 60)
    sessions._swept = time.monotonic()  # no sweep, which counts too
    session = sessions.open()
    closing = [gevent.spawn(sessions.close, session.id) for _ in range(2)]
    gevent.joinall(closing)
    assert [type(one.exception) for one in closing] == [type(None), RequestError]
    assert not sessions._open
