"""nginx's output, line by line."""

from __future__ import annotations

import os

import pytest

from byo_container.container.log import log
from byo_container.serving.metrics import prometheus
from byo_container.serving.nginx.logs import QUEUE_FULL, AccessLog, NginxErrorLog


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What our own log gets."""
    seen: list[str] = []

    def keep(text: str, *values: object) -> None:
        seen.append(text % values)

    monkeypatch.setattr(log, "warning", keep)
    return seen


def test_line_of_the_access_log_is_passed_on() -> None:
    read, write = os.pipe()
    access_log = AccessLog(write)
    access_log.line('1.2.3.4 "GET /ping" 200')
    access_log.flush()
    assert os.read(read, 1000) == b'1.2.3.4 "GET /ping" 200\n'


def test_status_only_lines_are_counted_and_not_passed_on() -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    access_log, before = AccessLog(write), prometheus.requests[413].get()
    for line in ("#413", "#413", "#not a status"):
        access_log.line(line)
    access_log.flush()
    assert prometheus.requests[413].get() == before + 2
    with pytest.raises(BlockingIOError):
        os.read(read, 1000)


def test_closed_reader_does_not_end_serve() -> None:
    read, write = os.pipe()
    os.close(read)
    access_log = AccessLog(write)
    access_log.line("lost")
    access_log.flush()


def test_errors_are_logged(messages: list[str]) -> None:
    NginxErrorLog().line("[emerg] no such file")
    assert messages == ["nginx: [emerg] no such file"]


def test_port_in_use_is_said_once(messages: list[str]) -> None:
    error_log = NginxErrorLog()
    for _ in range(4):
        error_log.line("[emerg] 7#7: bind() to 0.0.0.0:8080 failed (98: Address already in use)")
    assert messages == ["0.0.0.0:8080 is in use; end what listens there, or set SAGEMAKER_BIND_TO_PORT to another port"]


def test_lack_of_a_capability_is_not_an_error(messages: list[str]) -> None:
    NginxErrorLog().line("initgroups(root, 0) failed (1: Operation not permitted)")
    assert messages == []


def test_refused_requests_are_summed_up(messages: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    error_log = NginxErrorLog()
    for _ in range(5):
        error_log.line(f"connect() failed {QUEUE_FULL}")
    assert [message.split(" ")[0] for message in messages] == ["1"]  # the first at once
    now[0] += 0.5
    error_log.flush()
    assert len(messages) == 1
    now[0] += 1.0
    error_log.flush()
    error_log.flush()
    assert [message.split(" ")[0] for message in messages] == ["1", "4"]
    assert "MODEL_SERVER_QUEUE_SIZE" in messages[-1]
