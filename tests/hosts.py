"""Several hosts on one machine, as the platform gives them to a job: algo-1, algo-2 … each a network namespace with its
own address, host name, processes and /dev/shm. Hosts can be killed, and their cables pulled. Needs root and iproute2.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support import OURS, TRAIN, Tree, make_tree

START = """
hostname "$1"; shift
mount -t tmpfs tmpfs /dev/shm
exec "$@"
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)  # noqa: S607


def why_not() -> str | None:
    """Why no hosts can be made here, or None where they can."""
    if os.geteuid() != 0:
        return "hosts are made as network namespaces, which needs root"
    for tool in ("ip", "unshare"):
        if not shutil.which(tool):
            return f"hosts are made by {tool}, which is not installed"
    name = f"try{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)  # noqa: S607
    if tried.returncode:
        return f"no network namespace can be made here: {tried.stderr.strip()}"
    ip("netns", "del", name)
    return None


@dataclass
class Host:
    """One host: the /opt/ml tree of its own, and what has been started on it."""

    name: str
    namespace: str
    switch_port: tuple[str, str]
    tree: Tree
    process: subprocess.Popen[bytes] | None = None
    ended_at: float | None = None

    @property
    def log(self) -> str:
        return (self.tree.root / "log").read_text(errors="replace")

    @property
    def failure(self) -> str:
        return self.tree.failure or ""

    def start(self, *argv: str, **environ: str) -> None:
        """`train`, or another command, as process 1 of this host."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        inside = ["unshare", "-m", "-p", "-u", "-f", "--kill-child", "--mount-proc", "sh", "-c", START, "sh", self.name]
        with (self.tree.root / "log").open("wb") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, *inside, *(argv or (str(TRAIN),))],  # noqa: S607
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
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def terminate(self) -> None:
        """SIGTERM to process 1, as the platform stops a host."""
        os.kill(self.process_1, signal.SIGTERM)

    def kill(self) -> None:
        """The host dies at once, with all that runs on it."""
        os.kill(self.process_1, signal.SIGKILL)

    def cut(self) -> None:
        """Its cable is pulled: nothing is heard of it any more."""
        ip("-n", self.switch_port[0], "link", "set", self.switch_port[1], "down")

    def processes(self) -> list[int]:
        """What runs on it, seen from outside."""
        return [int(pid) for pid in subprocess.check_output(["ip", "netns", "pids", self.namespace]).split()]  # noqa: S607


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
    reason = why_not()
    if reason:
        pytest.skip(reason)
    prefix = f"byo{os.getpid()}-"
    switch = f"{prefix}switch"
    names = [f"algo-{number}" for number in range(1, count + 1)]
    addresses = "".join(f"10.79.0.{10 + number} {name}\n" for number, name in enumerate(names))
    hosts = Hosts()
    try:
        ip("netns", "add", switch)
        ip("-n", switch, "link", "add", "br0", "type", "bridge")
        ip("-n", switch, "link", "set", "br0", "up")
        for number, name in enumerate(names):
            namespace, port = f"{prefix}{number}", f"v{number}"
            ip("netns", "add", namespace)
            ip("-n", namespace, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", switch)
            ip("-n", switch, "link", "set", port, "master", "br0", "up")
            ip("-n", namespace, "addr", "add", f"10.79.0.{10 + number}/24", "dev", "eth0")
            ip("-n", namespace, "link", "set", "lo", "up")
            ip("-n", namespace, "link", "set", "eth0", "up")
            etc = Path("/etc/netns", namespace)
            etc.mkdir(parents=True)
            # As in many images, the host's own name leads to itself alone.
            own = f"127.0.0.1 localhost\n{addresses}"
            (etc / "hosts").write_text(own)
            (etc / "resolv.conf").write_text("")
            tree = make_tree_of(folder, name, names, interface, content)
            hosts.all.append(Host(name, namespace, (switch, port), tree))
        yield hosts
    finally:
        for host in hosts.all:
            for pid in host.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if host.process:
                host.process.wait()
        for namespace in [*(f"{prefix}{number}" for number in range(count)), switch]:
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)  # noqa: S607
            shutil.rmtree(Path("/etc/netns", namespace), ignore_errors=True)
