"""How hosts are made: as processes on loopback, as network namespaces, or as containers on a network of docker's."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from byo_container.container.process.child import Child, Command
from byo_container.container.process.tree import handles
from byo_container.training import ports
from local_test import namespaces
from local_test.hosts import Share

ROOT = "/opt/ml"
LABEL = "byo-container.local-test"
# Settings of ours and of the platform that are passed on to containers.
PASSED_ON = re.compile(r"(SAGEMAKER|MODEL|TRAINING)_\w+|SSH_PORT|LOG_FORMAT")


class Loopback:
    """Plain processes that share the machine's network. Of several, number K is called 127.0.0.K, which needs no setup
    as a name or as an address."""

    interface = "lo"
    by_links = True

    def __init__(self, count: int, port: int) -> None:
        self.count = count
        self.port = port

    def names(self) -> list[str]:
        return [f"127.0.0.{number}" for number in range(1, self.count + 1)]

    def command(self, number: int, root: Path, shares: Sequence[Share]) -> Command:
        env = {"SAGEMAKER_BASE_DIR": str(root)}
        if self.count > 1:
            env |= {"TRAINING_PEERS_PORT": str(self.port)}
        return Command(["train"], self.names()[number - 1], env)

    @contextlib.contextmanager
    def up(self) -> Iterator[None]:
        yield

    def terminate(self, child: Child) -> bool:
        child.signal_leader(signal.SIGTERM)
        return True


class Namespaces:
    """Hosts with a network of their own, see local_test/namespaces.py. Each finds its folder as /opt/ml."""

    interface = "eth0"
    by_links = False

    def __init__(self, hosts: Sequence[namespaces.Namespace]) -> None:
        self.hosts = hosts

    def names(self) -> list[str]:
        return [host.name for host in self.hosts]

    def command(self, number: int, root: Path, shares: Sequence[Share]) -> Command:
        lines = [_bind(root, ROOT)]
        for share in shares:
            target = f"{ROOT}/{share.target}"
            lines += [_bind(share.source, target)]
            lines += [f"mount -o remount,ro,bind {shlex.quote(target)}"] * share.read_only
        lines += [f"cd {ROOT}"]
        host = self.hosts[number - 1]
        argv = host.inside(["train"], "\n".join(lines))
        # SIGKILL, for `unshare` ignores SIGTERM.
        return Command(argv, host.name, {"SAGEMAKER_BASE_DIR": ROOT}, orphan_signal=signal.SIGKILL)

    @contextlib.contextmanager
    def up(self) -> Iterator[None]:
        Path(ROOT).mkdir(parents=True, exist_ok=True)  # to mount on; not removed, for another job may use it by now
        with namespaces.up(self.hosts):
            yield

    def terminate(self, child: Child) -> bool:
        """Signals process 1 of the host as soon as it has a handler; before, the kernel would drop the signal."""
        pid = namespaces.process_1(child.pid)
        with contextlib.suppress(OSError):
            if pid and handles(pid, signal.SIGTERM):
                os.kill(pid, signal.SIGTERM)
                return True
        return False


@dataclass(frozen=True)
class Containers:
    """Containers of an image that run as the calling user, who owns the files that they leave. `options` are the user's
    own for `docker run`, `id` distinguishes these containers from those of other runs."""

    count: int
    image: str
    options: Sequence[str]
    environ: Mapping[str, str]
    id: str

    interface = "eth0"
    by_links = False

    def names(self) -> list[str]:
        return [f"algo-{number}" for number in range(1, self.count + 1)]

    def command(self, number: int, root: Path, shares: Sequence[Share]) -> Command:
        name = self.names()[number - 1]
        container = f"{self.id}-{name}"
        words = ["docker", "run", "--rm", "--name", container, "--label", f"{LABEL}={self.id}"]
        if self.count > 1:
            words += ["--network", self.id, "--hostname", name, "--network-alias", name]
        words += ["--user", f"{os.getuid()}:{os.getgid()}", "-v", f"{root}:{ROOT}"]
        for share in shares:
            words += ["-v", f"{share.source}:{ROOT}/{share.target}{':ro' * share.read_only}"]
        for variable in sorted(self.environ):
            if PASSED_ON.fullmatch(variable) and variable != "SAGEMAKER_BASE_DIR":
                words += ["-e", variable]
        return Command([*words, *self.options, self.image, "train"], container)

    @contextlib.contextmanager
    def up(self) -> Iterator[None]:
        self._remove_left_over()
        try:
            if self.count > 1:
                done = _docker("network", "create", "--label", f"{LABEL}={self.id}", self.id)
                if done.returncode:
                    raise RuntimeError(f"docker network create: {done.stderr.strip()}")
            yield
        finally:
            _remove_containers(self.id)

    def terminate(self, child: Child) -> bool:
        return _docker("kill", "--signal", "TERM", child.command.name).returncode == 0

    def _remove_left_over(self) -> None:
        """Removes the containers and networks of runs on this machine that were killed."""
        networks = _docker("network", "ls", "--filter", f"label={LABEL}", "--format", "{{.Name}}").stdout.split()
        labels = _docker(
            "ps", "-a", "--filter", f"label={LABEL}", "--format", f'{{{{.Label "{LABEL}"}}}}'
        ).stdout.split()
        for name in {*networks, *labels}:
            machine, _, pid = name.rpartition("-")
            if machine == self.id.rpartition("-")[0] and not Path("/proc", pid).exists():
                _remove_containers(name)


def own_id() -> str:
    """A label for our containers and networks in docker's engine, which may serve several machines."""
    machine = re.sub(r"[^a-zA-Z0-9]", "", socket.gethostname()) or "host"
    return f"{namespaces.PREFIX}{machine}-{os.getpid()}"


def free_ports() -> int:
    """The first of as many free ports in a row as a job needs."""
    rows = list(range(ports.LOWEST, ports.HIGHEST + 1, ports.COUNT))
    start = os.getpid() % len(rows)
    for first in rows[start:] + rows[:start]:
        if all(map(_is_free, range(first, first + ports.COUNT))):
            return first
    raise RuntimeError(f"no {ports.COUNT} ports in a row are free between {ports.LOWEST} and {ports.HIGHEST}")


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("", port)).close()
    except OSError:
        return False
    return True


def _bind(source: Path, target: str) -> str:
    return f"mount --bind {shlex.quote(str(source))} {shlex.quote(target)}"


def _remove_containers(label: str) -> None:
    containers = _docker("ps", "-aq", "--filter", f"label={LABEL}={label}").stdout.split()
    if containers:
        _docker("rm", "-f", *containers)
    if _docker("network", "ls", "-q", "--filter", f"label={LABEL}={label}").stdout.split():
        _docker("network", "rm", label)


def _docker(*words: str) -> subprocess.CompletedProcess[str]:
    """In a session of its own, so that Ctrl-C does not reach it."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, start_new_session=True)  # noqa: S607
