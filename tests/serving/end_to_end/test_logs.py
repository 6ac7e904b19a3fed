"""One line per event, as text or as JSON, and an access log that can be switched off."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.serving.support.server import Server, Start


def trouble(server: Server) -> None:
    """Requests that make every part write to the log: us, nginx, gunicorn, the model."""
    server.post(json={"raise": "two\nlines"})
    server.post(json={"segfault": 1})
    server.ready()
    server.post(data=b"[" + b"1," * 40_000)
    server.post(data=b" " * 2_000_000)
    server.send(b"POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    server.send(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-A: a\x01b\r\n\r\n")
    server.get('/"quoted"\\%0a')
    server.terminate()
    assert server.ended() == 0


@pytest.mark.parametrize("switch", ["on", "off"])
def test_json_logs_are_json_line_by_line(start: Start, switch: str) -> None:
    server = start(LOG_FORMAT="json", SAGEMAKER_MAX_PAYLOAD_IN_MB="1", MODEL_SERVER_NGINX=switch).ready()
    if switch == "on":
        trouble(server)
    else:
        server.post(json={"raise": "two\nlines"})
        server.get("/nowhere")
    lines: list[dict[str, Any]] = [json.loads(line) for line in server.log().splitlines()]
    (fault,) = [line for line in lines if "traceback" in line]
    assert "two\nlines" in fault["traceback"]
    assert re.fullmatch("[0-9a-f]{32}", fault["request_id"])
    assert all("time" in line for line in lines)


def test_text_logs_have_a_line_an_event(start: Start) -> None:
    server = start(SAGEMAKER_MAX_PAYLOAD_IN_MB="1").ready()
    trouble(server)
    ours = r"\d{4}-\d\d-\d\dT[\d:.]+Z (INFO|WARNING|ERROR) \[\d+\] .+"
    access = r'127\.0\.0\.1 ".*" \d{3} \d+ [\d.]+s [0-9a-f]{32}'
    assert [line for line in server.log().splitlines() if not re.fullmatch(f"{ours}|{access}", line)] == []


@pytest.mark.parametrize("switch", ["on", "off"])
@pytest.mark.parametrize("nginx", ["on", "off"])
def test_the_access_log_can_be_switched_off(start: Start, switch: str, nginx: str) -> None:
    server = start(MODEL_SERVER_ACCESS_LOG=switch, MODEL_SERVER_NGINX=nginx).ready()
    server.ask(1)
    server.get("/nowhere")
    server.terminate()
    assert server.ended() == 0
    found = [path for path in ("/invocations", "/nowhere") if f" {path} HTTP/1.1" in server.log()]
    assert found == (["/invocations", "/nowhere"] if switch == "on" else [])


def test_healthy_pings_are_not_logged(start: Start) -> None:
    server = start().ready()
    before = server.log().count("/ping")
    for _ in range(5):
        server.get("/ping")
    server.get("/nowhere")
    server.until(lambda: "/nowhere" in server.log(), "the access log")
    assert server.log().count("/ping") == before
