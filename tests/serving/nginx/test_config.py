"""nginx's configuration as data; test_requests.py and others run it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from byo_container.serving.nginx import config
from byo_container.serving.run_folder import RunFolder
from byo_container.serving.settings import MEGABYTE, Settings

RUN = RunFolder(Path("/run/here"))


def configuration(as_root: bool = True, **values: Any) -> str:
    return config.configuration(Settings(**values), RUN, as_root)


def directives(text: str, name: str) -> list[str]:
    return re.findall(rf"^\s*{name}\s+([^;]*);", text, re.MULTILINE)


def test_it_follows_the_settings() -> None:
    text = configuration(port=9000, max_payload=100 * MEGABYTE)
    assert directives(text, "listen") == ["9000 backlog=4096"]
    assert directives(text, "client_max_body_size") == [str(100 * MEGABYTE)]
    assert "unix:/run/here/gunicorn.sock fail_timeout=0" in directives(text, "server")


def test_nginx_waits_longer_than_the_model_may_take() -> None:
    timeouts = directives(configuration(timeout_s=60), "proxy_read_timeout")
    assert timeouts
    assert all(int(timeout.removesuffix("s")) > 60 for timeout in timeouts)


def test_all_that_it_writes_is_in_the_folder_of_this_run() -> None:
    text = configuration()
    paths = [*directives(text, "pid"), *directives(text, r"\w+_temp_path")]
    assert len(paths) == 6
    assert all(path.startswith("/run/here/") for path in paths)


def test_as_root_it_stays_root_and_as_another_it_does_not_try() -> None:
    assert directives(configuration(as_root=True), "user") == ["root"]
    assert directives(configuration(as_root=False), "user") == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ["/dev/stdout text if=$worth_a_line"]),
        ({"json_logs": True}, ["/dev/stdout json if=$worth_a_line"]),
        ({"access_log": False}, []),
    ],
)
def test_the_access_log_can_be_json_or_off(values: dict[str, Any], expected: list[str]) -> None:
    status_only, *others = directives(configuration(**values), "access_log")
    assert status_only == "/dev/stdout status_only if=$made_here"  # counted, never shown
    assert others == expected


@pytest.mark.parametrize("status", config.ERRORS)
def test_every_error_of_its_own_is_json(status: int) -> None:
    page = config.error_page(status, Settings(max_payload=7 * MEGABYTE, timeout_s=9))
    body = json.loads(page.split(f"return {status} '")[1].rsplit("'", 1)[0])
    assert body["code"] == status
    assert body["message"]
    assert "{" not in body["message"]
    assert f"={status} /.error/{status};" in page


def test_a_worker_that_is_away_is_a_503_with_retry_after() -> None:
    page = config.error_page(503, Settings())
    assert directives(page, "error_page") == ["502 503 =503 /.error/503"]
    assert "add_header Retry-After 5 always;" in page


def test_nginx_is_found_beside_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert config.find() in ("/usr/sbin/nginx", "/usr/local/sbin/nginx", None)


def test_nginx_obeys_no_header_of_a_models_answer_but_ours() -> None:
    """Reply refuses them all; here is the second line of defence."""
    (ignored,) = directives(configuration(), "proxy_ignore_headers")
    assert set(ignored.split()) == {"X-Accel-Redirect", "X-Accel-Expires", "X-Accel-Limit-Rate", "X-Accel-Charset"}
