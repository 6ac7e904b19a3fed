"""The docker command, builds, and containers that are removed, for tests of images."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]
PREFIX = "byo-container-test"
REGISTRY = os.environ.get("TEST_REGISTRY", "127.0.0.1:5000")  # a registry's usual port
# A root that is read-only, any user, no rights.
LOCKED_DOWN = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]  # noqa: S108


def docker(*words: str, timeout_s: float = 1800) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=timeout_s)  # noqa: S607


def must(*words: str) -> str:
    """What docker prints, of a command that must succeed."""
    done = docker(*words)
    assert done.returncode == 0, f"docker {' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def inspect(thing: str) -> dict[str, Any]:
    (found,) = json.loads(must("inspect", thing))
    return dict(found)


def skip_without_engine() -> None:
    if not shutil.which("docker") or docker("version").returncode:
        pytest.skip("no docker engine runs here")


def listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port or 80)), timeout=5).close()
    except OSError:
        return False
    return True


def build(tag: str, *words: str, file: str = "Dockerfile.cpu", folder: Path = REPOSITORY, **arguments: str) -> str:
    """Builds an image and returns its name; TORCH_INDEX is passed on. Skips where there is no base image."""
    if "TORCH_INDEX" in os.environ and folder == REPOSITORY:
        arguments = {"TORCH_INDEX": os.environ["TORCH_INDEX"], **arguments}
    options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    name = f"{PREFIX}:{tag}"
    done = docker("build", "-q", "-t", name, "-f", str(folder / file), *options, *words, str(folder))
    if done.returncode and "pull" in done.stderr:
        pytest.skip(f"docker finds no base image here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr
    return name


class Container:
    """A container in the background, removed at the end of the `with`."""

    def __init__(self, image: str, *command: str, options: Sequence[str] = ()) -> None:
        self.name = f"{PREFIX}-{uuid.uuid4().hex[:12]}"
        must("run", "-d", "--name", self.name, *options, image, *command)

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        docker("rm", "-f", "-v", self.name)

    @property
    def log(self) -> str:
        done = docker("logs", self.name)
        return done.stdout + done.stderr

    @property
    def state(self) -> dict[str, Any]:
        return dict(inspect(self.name)["State"])

    def wait(self) -> int:
        return int(must("wait", self.name))

    def port(self, inside: int = 8080) -> int:
        return int(must("port", self.name, f"{inside}/tcp").splitlines()[0].rpartition(":")[2])

    def ask(
        self, path: str, body: bytes | None = None, content_type: str = "application/json", inside: int = 8080
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port(inside), timeout=30)
        method = "GET" if body is None else "POST"
        connection.request(method, path, body, {} if body is None else {"Content-Type": content_type})
        answer = connection.getresponse()
        return answer.status, answer.read()

    def ready(self, inside: int = 8080, timeout_s: float = 120) -> Container:
        """This container, as soon as /ping answers 200."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if self.ask("/ping", inside=inside)[0] == 200:
                    return self
            except (OSError, http.client.HTTPException, AssertionError):
                assert self.state["Running"], self.log
            assert time.monotonic() < deadline, f"no 200 of /ping in {timeout_s} s\n{self.log}"
            time.sleep(0.1)
