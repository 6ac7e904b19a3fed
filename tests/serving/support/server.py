"""Servers under test: the real command `serve`, in a folder of its own, on a free port."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import requests

from byo_container.container.process.child import end_with_parent
from tests.support.processes import free_port

SERVE = Path(sys.executable).with_name("serve")
TOY, TALKER = "toy:Toy", "talker:Talker"
PROGRAMS = {"gunicorn": "-m byo_container.serving.workers ", "nginx": "nginx: master"}
SETTINGS = ("SAGEMAKER_", "MODEL_SERVER_", "MODEL_HANDLER", "LOG_FORMAT", "GUNICORN_", "BYO_", "TOY_")


class Server:
    """A `serve` process and all that it starts, identified by a mark in their environment."""

    def __init__(self, root: Path, environ: dict[str, str], prefix: Sequence[str], cwd: Path | None) -> None:
        self.root = root
        self.cwd = cwd or root
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.mark = f"BYO_TEST_MARK={uuid.uuid4().hex}"
        self.log_file = root / "log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
        inherited.update(
            SAGEMAKER_BASE_DIR=str(root),
            SAGEMAKER_BIND_TO_PORT=str(self.port),
            MODEL_SERVER_WORKERS="1",
            **dict([self.mark.split("=")]),
        )
        environ = {name: value for name, value in (inherited | environ).items() if value}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, str(SERVE)],
                env=environ,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=functools.partial(end_with_parent, os.getpid()),  # a killed pytest leaves no server
            )

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def request(self, method: str, path: str, timeout: float = 30, **options: Any) -> requests.Response:
        return requests.request(method, self.url + path, timeout=timeout, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str = "/invocations", **options: Any) -> requests.Response:
        return self.request("POST", path, **options)

    def ask(self, value: Any, **options: Any) -> Any:
        """The answer to one JSON value, which must be a prediction."""
        answer = self.post(json=value, **options)
        assert answer.status_code == 200, f"{answer.text}\n{self.log()[-3000:]}"
        return answer.json()

    def send(self, data: bytes, half_close: bool = False, timeout_s: float = 10.0) -> bytes:
        """What comes back for these very bytes, until the server closes the connection or is silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as connection:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            received = b""
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while chunk := connection.recv(65536):
                    received += chunk
            return received

    def status(self, path: str = "/ping") -> int:
        """The status of a path, 0 where nobody answers."""
        try:
            return self.get(path, timeout=5).status_code
        except requests.RequestException:
            return 0

    def ready(self, status: int = 200, timeout_s: float = 30.0) -> Server:
        """Waits until /ping answers with `status`."""
        self.until(lambda: self.status() == status or self.process.poll() is not None, f"/ping is {status}", timeout_s)
        assert self.process.poll() is None, self.log()
        return self

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if result := condition():
                return result
            time.sleep(0.02)
        raise AssertionError(f"not within {timeout_s} s: {what}\n{self.log()}")

    def ended(self, timeout_s: float = 35.0) -> int:
        """Waits for the end, and returns the exit status."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s} s:\n{self.log()}") from None

    def terminate(self) -> None:
        os.kill(self.process.pid, signal.SIGTERM)

    def processes(self) -> dict[int, str]:
        """Command lines of all processes that are part of this server, zombies left out. nginx overwrites its
        environment, and is known by its working directory."""
        found = {}
        for entry in filter(lambda entry: entry.name.isdigit(), Path("/proc").iterdir()):
            with contextlib.suppress(OSError):
                marked = self.mark.encode() in (entry / "environ").read_bytes().split(b"\0")
                if marked or (entry / "cwd").readlink() == self.cwd:
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def children(self, pid: int) -> list[int]:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in text.split()]

    def child(self, name: str) -> int:
        """The process that `serve` started as gunicorn or nginx."""
        children = self.children(self.process.pid)
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in children}
        return next(pid for pid, command in commands.items() if PROGRAMS[name] in command)

    def workers(self) -> list[int]:
        return self.children(self.child("gunicorn"))

    def close(self) -> None:
        """Kills everything that carries the mark, whatever state it is in. An end in good order takes a second, and is
        what test_shutdown shows."""
        while pids := self.processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait(5)


Start = Callable[..., Server]


def make_root(folder: Path, handler: str = TOY) -> Path:
    """An /opt/ml with an empty model, and one of the handlers in handlers/ as the user's code."""
    for name in ("model", "code"):
        (folder / name).mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("handlers") / (handler.partition(":")[0] + ".py"), folder / "code")
    return folder


@contextlib.contextmanager
def servers_below(folder: Callable[[], Path]) -> Iterator[Start]:
    servers: list[Server] = []

    def start(
        root: Path | None = None,
        prefix: Sequence[str] = (),
        cwd: Path | None = None,
        handler: str = TOY,
        **environ: str,
    ) -> Server:
        root = root or make_root(folder(), handler)
        server = Server(root, {"MODEL_HANDLER": handler, **environ}, prefix, cwd)
        servers.append(server)
        return server

    try:
        yield start
    finally:
        for server in servers:
            server.close()
