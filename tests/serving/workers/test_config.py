"""gunicorn's configuration as data."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest

from byo_container.serving.run_folder import RunFolder
from byo_container.serving.settings import Settings
from byo_container.serving.workers.config import configuration, worker_connections
from tests.serving.workers.gunicorn_parts import config

RUN = RunFolder(Path("/run/here"))


def made(**settings: Any) -> dict[str, Any]:
    return configuration(RUN, Settings(**settings))


@pytest.mark.parametrize("nginx", [True, False])
def test_gunicorn_knows_every_setting_and_takes_its_value(nginx: bool) -> None:
    values = made(nginx=nginx, workers=3)
    cfg = config(**values)
    assert cfg.workers == 3
    assert not cfg.preload_app


def test_behind_nginx_it_listens_on_two_unix_sockets_without_limits_of_its_own() -> None:
    values = made(nginx=True, queue_size=7)
    assert values["bind"] == ["unix:/run/here/gunicorn.sock", "unix:/run/here/health.sock"]
    assert (values["backlog"], values["limit_request_line"], values["accesslog"]) == (7, 0, None)
    assert made(nginx=True, multi_model=True, queue_size=7)["backlog"] == 2048


def test_without_nginx_it_listens_on_the_port_and_writes_the_access_log() -> None:
    values = made(nginx=False, port=9000)
    assert values["bind"] == ["0.0.0.0:9000"]
    assert (values["limit_request_line"], values["accesslog"]) == (8190, "-")
    assert made(nginx=False, access_log=False)["accesslog"] is None


def test_worker_is_killed_only_long_after_the_model_was_given_up() -> None:
    assert made(timeout_s=100)["timeout"] > 100


def test_connections_leave_files_for_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1000, 1000))
    assert worker_connections() == 750
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert worker_connections() == 16384
