"""Several hosts on one machine, as the platform gives them to a job: algo-1, algo-2 … each a network namespace (see
local_test/namespaces.py) with an /opt/ml tree of its own. Hosts can be killed, and their cables pulled. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local_test import namespaces
from local_test.namespaces import Namespace
from tests.support.tree import OURS, TRAIN, Tree, make_tree


@dataclass
class Host:
    """One host: the /opt/ml tree of its own, and what has been started on it."""

    namespace: Namespace
    tree: Tree
    process: subprocess.Popen[bytes] | None = None
    ended_at: float | None = None

    @property
    def name(self) -> str:
        return self.namespace.name

    @property
    def log(self) -> str:
        return (self.tree.root / "log").read_text(errors="replace")

    @property
    def failure(self) -> str:
        return self.tree.failure or ""

    def start(self, *argv: str, **environ: str) -> None:
        """`train`, or another command, as process 1 of this host."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        with (self.tree.root / "log").open("wb") as log:
            self.process = subprocess.Popen(
                self.namespace.inside(argv or [str(TRAIN)]),
                env={**inherited, "SAGEMAKER_BASE_DIR": str(self.tree.root), **environ},
                cwd=self.tree.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def process_1(self) -> int:
        """The pid, seen from outside, of the host's process 1."""
        assert self.process
        found = namespaces.process_1(self.process.pid)
        assert found, f"nothing runs on {self.name}"
        return found

    def terminate(self) -> None:
        """SIGTERM to process 1, as the platform stops a host."""
        os.kill(self.process_1, signal.SIGTERM)

    def kill(self) -> None:
        """The host dies at once, with all that runs on it."""
        os.kill(self.process_1, signal.SIGKILL)

    def cut(self) -> None:
        """Its cable is pulled: nothing is heard of it any more."""
        self.namespace.cut()

    def processes(self) -> list[int]:
        """What runs on it, seen from outside."""
        return self.namespace.processes()


@dataclass
class Hosts:
    """All of them."""

    all: list[Host] = field(default_factory=list)

    def __getitem__(self, number: int) -> Host:
        """algo-1 is number 1."""
        return self.all[number - 1]

    def start(self, delays: Mapping[int, float] | None = None, **environ: str) -> None:
        """`train` on every host, on some of them later, by number and seconds."""
        for number, host in enumerate(self.all, 1):
            command = f'sleep {(delays or {}).get(number, 0)}; exec "$@"'
            host.start("sh", "-c", command, "sh", str(TRAIN), **environ)

    def wait(self, timeout_s: float = 60) -> list[int]:
        """The statuses of all hosts, in order. Notes when each has ended."""
        deadline = time.monotonic() + timeout_s
        while any(host.ended_at is None for host in self.all):
            for host in self.all:
                if host.ended_at is None and host.process and host.process.poll() is not None:
                    host.ended_at = time.monotonic()
            logs = "\n".join(f"{host.name}: {host.log[-3000:]}" for host in self.all)
            assert time.monotonic() < deadline, f"not all hosts ended in {timeout_s} s\n{logs}"
            time.sleep(0.02)
        return [host.process.returncode for host in self.all if host.process]


def make_tree_of(folder: Path, name: str, names: list[str], interface: str, content: Mapping[str, Any]) -> Tree:
    resources = {"current_host": name, "hosts": names, "network_interface_name": interface}
    tree = make_tree(
        folder / name,
        resources={**resources, **content.get("resources", {})},
        **{key: value for key, value in content.items() if key != "resources"},
    )
    tree.paths.model.mkdir()
    return tree


@contextlib.contextmanager
def make_hosts(count: int, folder: Path, *, interface: str = "eth0", **content: Any) -> Iterator[Hosts]:
    """`count` hosts on a switch of their own, each with a tree that holds `content`; see make_tree."""
    reason = namespaces.why_not()
    if reason:
        pytest.skip(reason)
    planned = namespaces.plan(count)
    names = [namespace.name for namespace in planned]
    hosts = Hosts()
    try:
        with namespaces.up(planned):
            for namespace in planned:
                hosts.all.append(Host(namespace, make_tree_of(folder, namespace.name, names, interface, content)))
            yield hosts
    finally:
        for host in hosts.all:
            if host.process:
                host.process.wait()
