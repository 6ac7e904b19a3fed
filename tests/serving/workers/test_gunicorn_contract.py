"""What serving/workers uses of gunicorn beyond its documentation, all of it in this file.

A test that fails here after an update of gunicorn says which name has changed and which of our modules rests on it:
compare gunicorn's new source with that module before going on.
"""

from __future__ import annotations

import inspect
import re
import socket
from contextlib import closing
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gunicorn.app.base
import gunicorn.arbiter
import gunicorn.config
import gunicorn.glogging
import gunicorn.http.errors
import gunicorn.http.wsgi
import gunicorn.sock
import gunicorn.util
import gunicorn.workers.base
import gunicorn.workers.base_async
import gunicorn.workers.ggevent
import pytest

import byo_container.serving
from byo_container.serving.workers.protocol_errors import request_error
from tests.serving.workers.gunicorn_parts import config, parsed, worker

SERVING = Path(byo_container.serving.__file__).parent

# (what we use, its parameters, where)
CALLS = [
    ("workers.ggevent.GeventWorker.patch", "self", "worker.py overrides it"),
    ("workers.ggevent.GeventWorker.notify", "self", "worker.py extends it"),
    ("workers.ggevent.GeventWorker.init_process", "self", "worker.py extends it"),
    ("workers.ggevent.GeventWorker.handle", "self listener client addr", "worker.py extends it"),
    ("workers.ggevent.GeventWorker.handle_request", "self listener_name req sock addr", "worker.py extends it"),
    ("workers.base.Worker.handle_error", "self req client addr exc", "worker.py overrides it"),
    ("util.write_nonblock", "sock data chunked", "worker.py: the answer to a request that cannot be read"),
    ("http.wsgi.Response.__init__", "self req sock cfg", "worker.py: for the access log"),
    ("http.wsgi.default_environ", "req sock cfg", "worker.py: for the access log"),
    ("glogging.Logger.access", "self resp req environ request_time", "worker.py: for the access log"),
    ("glogging.Logger.setup", "self cfg", "logger.py extends it"),
    ("arbiter.Arbiter.__init__", "self app", "arbiter.py extends it"),
    ("arbiter.Arbiter.reload", "self", "arbiter.py overrides it"),
    ("arbiter.Arbiter.manage_workers", "self", "arbiter.py extends it"),
    ("arbiter.Arbiter.spawn_workers", "self", "arbiter.py extends it"),
    ("arbiter.Arbiter.spawn_worker", "self", "arbiter.py: starts the worker that is to take over"),
    ("arbiter.Arbiter.kill_worker", "self pid sig", "arbiter.py: ends the worker that was replaced"),
    ("arbiter.Arbiter.wait_for_signals", "self timeout", "arbiter.py extends it"),
    ("app.base.Application.load_config", "self", "__main__.py overrides it"),
    ("app.base.Application.load", "self", "__main__.py overrides it"),
    ("app.base.Application.chdir", "self", "__main__.py: puts the working directory on the path"),
    ("config.Config.get_cmd_args_from_env", "self", "__main__.py: GUNICORN_CMD_ARGS"),
    ("config.Config.parser", "self", "__main__.py: GUNICORN_CMD_ARGS"),
]


@pytest.mark.parametrize(("name", "parameters", "where"), CALLS)
def test_signatures(name: str, parameters: str, where: str) -> None:
    function = attrgetter(name)(gunicorn)
    assert [*inspect.signature(function).parameters] == parameters.split(), f"gunicorn.{name} has changed: {where}"


# (class, names, where): attributes that the class or its constructor sets
ATTRIBUTES = [
    ("workers.base.Worker", "SIGNALS alive booted cfg log pid sockets tmp wsgi", "worker.py, hooks.py"),
    ("workers.base_async.AsyncWorker", "worker_connections", "worker.py"),
    ("workers.ggevent.GeventWorker", "server_class wsgi_handler", "worker.py: our Listener"),
    ("arbiter.Arbiter", "WORKERS LISTENERS num_workers WORKER_BOOT_ERROR APP_LOAD_ERROR", "arbiter.py, hooks.py"),
    ("sock.BaseSocket", "sock", "worker.py: patch"),
    ("sock.TCPSocket", "FAMILY", "worker.py: patch"),
    ("app.base.BaseApplication", "cfg", "__main__.py"),
]


@pytest.mark.parametrize(("name", "attributes", "where"), ATTRIBUTES)
def test_attributes(name: str, attributes: str, where: str) -> None:
    kind = attrgetter(name)(gunicorn)
    source = "".join(inspect.getsource(base) for base in kind.__mro__[:-1])
    for attribute in attributes.split():
        used = hasattr(kind, attribute) or re.search(rf"self\.{attribute}\b", source)
        assert used, f"gunicorn.{name} has no {attribute} any more: {where}"


def test_request_as_the_fast_path_reads_it() -> None:
    """fast_path.py, direct_clients.py: method, uri, version, headers, body, force_close, should_close."""
    head = b"POST /invocations?a=%2F HTTP/1.1\r\nHost: a\r\nX-Request-Id: 1\r\nContent-Length: 2\r\n\r\n"
    req = parsed(head + b"{}GET")
    assert (req.method, req.uri, req.version) == ("POST", "/invocations?a=%2F", (1, 1))
    assert req.headers == [("HOST", "a"), ("X-REQUEST-ID", "1"), ("CONTENT-LENGTH", "2")]
    assert not req.should_close()
    req.force_close()
    assert req.should_close()
    assert req.body.read(2) == b"{}"


def test_expectation_of_continue_is_remembered() -> None:
    """fast_path.expects_continue; gunicorn answers it when WSGI's variables are made."""
    assert not parsed(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n")._expected_100_continue
    assert parsed(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n")._expected_100_continue


def test_bytes_beyond_a_request_stay_in_its_unreader() -> None:
    """fast_path.buffered_bytes: what a client of a WebSocket sends at once with its request."""
    req = parsed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\x81\x80")
    assert req.unreader.take_buffered() == b"\x81\x80"
    assert req.unreader.take_buffered() == b""


class Probe(gunicorn.workers.base_async.AsyncWorker):  # type: ignore[misc]
    """gunicorn's worker with threads' own time-outs in place of gevent's."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.requests: list[str] = []
        self.errors: list[BaseException] = []

    def timeout_ctx(self) -> Any:
        return closing(SimpleNamespace(close=lambda: None))

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        self.requests.append(req.uri)
        if req.uri == "/stop":
            raise StopIteration

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        self.errors.append(exc)


def handled(data: bytes) -> tuple[Probe, bytes]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    theirs.sendall(data)
    theirs.shutdown(socket.SHUT_WR)
    probe = worker(Probe)
    probe.handle(theirs, ours, ("", -1))
    return probe, theirs.recv(100)


def test_stop_iteration_closes_the_connection() -> None:
    """fast_path.close_connection."""
    paths = (b"1", b"stop", b"2")
    probe, received = handled(b"".join(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % path for path in paths))
    assert probe.requests == ["/1", "/stop"]
    assert (received, probe.errors) == (b"", [])


def test_request_that_cannot_be_read_comes_to_handle_error() -> None:
    """worker.py: handle_error."""
    probe, _ = handled(b"GET / HTTP/9.9\r\n\r\n")
    assert [type(error) for error in probe.errors] == [gunicorn.http.errors.InvalidHTTPVersion]
    assert not probe.requests


PARSE_ERRORS = [
    kind
    for _, kind in inspect.getmembers(gunicorn.http.errors, inspect.isclass)
    if issubclass(kind, gunicorn.http.errors.ParseException) and kind is not gunicorn.http.errors.ParseException
]


@pytest.mark.parametrize("kind", PARSE_ERRORS)
def test_statuses_are_those_of_gunicorn(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """protocol_errors.py repeats gunicorn's table, which is part of a function there."""
    _, *parameters = inspect.signature(kind.__init__).parameters.values()
    needed = [one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD and one.default is one.empty]
    error = kind(*["x"] * len(needed))
    statuses: list[int] = []
    monkeypatch.setattr(gunicorn.util, "write_error", lambda client, status, reason, text: statuses.append(status))
    theirs = worker(gunicorn.workers.base.Worker)
    theirs.handle_error(None, None, ("", -1), error)
    assert statuses == [request_error(error).status], f"see gunicorn.workers.base.Worker.handle_error for {kind}"


def test_server_class_gets_what_our_listener_takes() -> None:
    """accept.py: Listener.__init__, and gunicorn's use of it when a worker ends."""
    received: dict[str, Any] = {}

    class Server:
        def __init__(self, listener: Any, **options: Any) -> None:
            received.update(options, listener=listener)
            self.pool = options["spawn"]

        def start(self) -> None:
            received["started"] = True

        def close(self) -> None:
            received["closed"] = True

    probe = worker(gunicorn.workers.ggevent.GeventWorker)
    probe.server_class, probe.wsgi_handler, probe.wsgi = Server, "handler", "application"
    probe.alive, probe.sockets = False, [SimpleNamespace(setblocking=lambda _: None)]
    probe.run()
    assert received["application"] == "application"
    assert received["handler_class"] == "handler"
    assert hasattr(received["spawn"], "spawn")
    assert received["started"]
    assert received["closed"]


def test_arbiter_calls_what_ours_extends() -> None:
    """arbiter.py takes its steps in these, once a turn of gunicorn's main loop."""
    loop = inspect.getsource(gunicorn.arbiter.Arbiter.run)
    assert "self.manage_workers()" in loop.partition("while True:")[2]
    assert "self.wait_for_signals(" in loop
    assert "self.spawn_workers()" in inspect.getsource(gunicorn.arbiter.Arbiter.manage_workers)
    assert "self.reload()" in inspect.getsource(gunicorn.arbiter.Arbiter.handle_hup)
    reaping = inspect.getsource(gunicorn.arbiter.Arbiter.reap_workers)
    assert "self.cfg.child_exit(self, worker)" in reaping
    assert "self.WORKERS.pop(" in reaping.partition("child_exit")[0], "hooks.py counts on a worker that is gone already"


def test_hooks_have_the_parameters_that_gunicorn_passes() -> None:
    """hooks.py: documented, but checked here as well, for gunicorn checks them by number only."""
    default = config()
    for name, parameters in {
        "on_starting": "server",
        "pre_fork": "server worker",
        "post_fork": "server worker",
        "post_worker_init": "worker",
        "worker_exit": "server worker",
        "child_exit": "server worker",
    }.items():
        assert [*inspect.signature(default.settings[name].get()).parameters] == parameters.split(), name


def test_gunicorn_is_known_to_workers_alone() -> None:
    knows = {path.relative_to(SERVING).parts[0] for path in SERVING.rglob("*.py") if "gunicorn." in _imports(path)}
    assert knows == {"workers"}


def _imports(path: Path) -> str:
    return " ".join(re.findall(r"^\s*(?:from|import) (\S+)", path.read_text(), re.MULTILINE)) + "."
