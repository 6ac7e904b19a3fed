"""Hosts as network namespaces on a private switch: algo-1, algo-2 … Each has an address, a host name, processes and a
/dev/shm of its own, and an eth0 that connects it to the other hosts only. Needs root and iproute2.

The name of a namespace begins with the pid of the process that made it, so that a later run can remove what a crash has
left.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PREFIX = "byo-"
ETC = Path("/etc/netns")
# The script of a host's process 1 before it becomes the command; its arguments are name, mounts, command.
ENTER = """
set -e
hostname "$1"; mounts=$2; shift 2
mount -t tmpfs tmpfs /dev/shm
eval "$mounts"
exec "$@"
"""


@dataclass(frozen=True)
class Namespace:
    """One host: `name` is its host name, `id` the name of its namespace, `port` its interface on the switch."""

    name: str
    id: str
    address: str
    switch: str
    port: str

    def inside(self, argv: Sequence[str], mounts: str = "") -> list[str]:
        """The command line that makes `argv` this host's process 1, after the shell commands `mounts`, whose mounts
        only this host sees. To kill the started process is to kill everything that runs on the host."""
        isolation = ["unshare", "-m", "-p", "-u", "-f", "--kill-child", "--mount-proc"]
        return ["ip", "netns", "exec", self.id, *isolation, "sh", "-c", ENTER, "sh", self.name, mounts, *argv]

    def processes(self) -> list[int]:
        """The pids of what runs on it, as seen from outside."""
        return _processes(self.id)

    def cut(self) -> None:
        """Pulls its cable: no packet reaches it or leaves it any more."""
        ip("-n", self.switch, "link", "set", self.port, "down")


def process_1(pid: int) -> int | None:
    """The pid, as seen from outside, of process 1 of the host that process `pid` started; None while there is none."""
    with contextlib.suppress(OSError):
        return next(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()), None)
    return None


def plan(count: int) -> list[Namespace]:
    """`count` hosts with names that no other run uses."""
    own = f"{PREFIX}{os.getpid()}-{time.monotonic_ns() // 1_000_000 % 1_000_000}"
    return [
        Namespace(
            f"algo-{number}", f"{own}-{number}", f"10.79.{number // 250}.{number % 250 + 1}", f"{own}-0", f"v{number}"
        )
        for number in range(1, count + 1)
    ]


@contextlib.contextmanager
def up(hosts: Sequence[Namespace]) -> Iterator[None]:
    """Makes the hosts, and removes them with everything that runs on them."""
    remove_left_over()
    names = "".join(f"{host.address} {host.name}\n" for host in hosts)
    switch = hosts[0].switch
    try:
        ip("netns", "add", switch)
        ip("-n", switch, "link", "add", "br0", "type", "bridge")
        ip("-n", switch, "link", "set", "br0", "up")
        for host in hosts:
            ip("netns", "add", host.id)
            ip("-n", host.id, "link", "add", "eth0", "type", "veth", "peer", "name", host.port, "netns", switch)
            ip("-n", switch, "link", "set", host.port, "master", "br0", "up")
            ip("-n", host.id, "addr", "add", f"{host.address}/16", "dev", "eth0")
            ip("-n", host.id, "link", "set", "lo", "up")
            ip("-n", host.id, "link", "set", "eth0", "up")
            # `ip netns exec` mounts these over the files of the same name in /etc.
            etc = ETC / host.id
            etc.mkdir(parents=True)
            (etc / "hosts").write_text(f"127.0.0.1 localhost\n{names}")
            (etc / "resolv.conf").write_text("")
        yield
    finally:
        for host in hosts:
            _remove(host.id)
        _remove(switch)


def remove_left_over() -> None:
    """Removes the namespaces of processes that were killed before they could do it."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir("/run/netns"):
            maker = re.fullmatch(rf"{PREFIX}(\d+)-.*", name)
            if maker and not Path("/proc", maker[1]).exists():
                _remove(name)


def _remove(namespace: str) -> None:
    for pid in _processes(namespace):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _try_ip("netns", "del", namespace)
    shutil.rmtree(ETC / namespace, ignore_errors=True)


def why_not() -> str | None:
    """Why no hosts can be made here, or None where they can."""
    if os.geteuid() != 0:
        return "hosts are made as network namespaces, which needs root"
    for tool in ("ip", "unshare"):
        if not shutil.which(tool):
            return f"hosts are made by {tool}, which is not installed"
    name = f"{PREFIX}{os.getpid()}-try"
    tried = _try_ip("netns", "add", name)
    if tried.returncode:
        return f"no network namespace can be made here: {tried.stderr.strip()}"
    _remove(name)
    return None


def ip(*words: str) -> None:
    """Runs `ip`. Raises RuntimeError with its error message."""
    done = _try_ip(*words)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _try_ip(*words: str) -> subprocess.CompletedProcess[str]:
    """In a session of its own, so that Ctrl-C does not interrupt it while it removes a host."""
    return subprocess.run(["ip", *words], capture_output=True, text=True, start_new_session=True)  # noqa: S607


def _processes(namespace: str) -> list[int]:
    return [int(pid) for pid in _try_ip("netns", "pids", namespace).stdout.split()]
