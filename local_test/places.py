"""The places where hosts can be: processes on loopback, network namespaces, containers on a network of docker's."""

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

from byo_container.training import ports
from local_test import network
from local_test.hosts import Command, Share

ROOT = "/opt/ml"
LABEL = "byo-container.local-test"
# Settings of ours and of the platform, which a container gets too.
PASSED_ON = re.compile(r"(SAGEMAKER|MODEL|TRAINING)_\w+|SSH_PORT|LOG_FORMAT")


class Loopback:
    """Plain processes with the machine's own network. Of several, number K is called 127.0.0.K, which is a name and an
    address without anybody's doing."""

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
        return Command(["train"], env)

    @contextlib.contextmanager
    def up(self) -> Iterator[None]:
        yield

    def terminate(self, command: Command, process: subprocess.Popen[bytes]) -> bool:
        process.terminate()
        return True


class Namespaces:
    """Hosts of their own; see local_test/network.py. Each sees its folder as /opt/ml."""

    interface = "eth0"
    by_links = False

    def __init__(self, hosts: Sequence[network.Namespace]) -> None:
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
        argv = self.hosts[number - 1].inside(["train"], "\n".join(lines))
        return Command(argv, {"SAGEMAKER_BASE_DIR": ROOT}, orphaned=signal.SIGKILL)  # `unshare` ignores SIGTERM

    @contextlib.contextmanager
    def up(self) -> Iterator[None]:
        Path(ROOT).mkdir(parents=True, exist_ok=True)  # to mount on; it stays, for another job may use it by now
        with network.up(self.hosts):
            yield

    def terminate(self, command: Command, process: subprocess.Popen[bytes]) -> bool:
        """To process 1 of the host as soon as that handles it: before, the kernel would drop the signal."""
        pid = network.process_1(process.pid)
        with contextlib.suppress(OSError):
            if pid and _handles(pid, signal.SIGTERM):
                os.kill(pid, signal.SIGTERM)
                return True
        return False


@dataclass(frozen=True)
class Containers:
    """Containers of an image, which belong to the calling user, and so does what they leave. `options` are the user's
    own for `docker run`, `id` tells them from those of others."""

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
        return Command([*words, *self.options, self.image, "train"], container=container)

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

    def terminate(self, command: Command, process: subprocess.Popen[bytes]) -> bool:
        return _docker("kill", "--signal", "TERM", command.container or "").returncode == 0

    def _remove_left_over(self) -> None:
        """What users of this machine's engine left who did not live to take it away."""
        networks = _docker("network", "ls", "--filter", f"label={LABEL}", "--format", "{{.Name}}").stdout.split()
        labels = _docker(
            "ps", "-a", "--filter", f"label={LABEL}", "--format", f'{{{{.Label "{LABEL}"}}}}'
        ).stdout.split()
        for name in {*networks, *labels}:
            machine, _, pid = name.rpartition("-")
            if machine == self.id.rpartition("-")[0] and not Path("/proc", pid).exists():
                _remove_containers(name)


def own_id() -> str:
    """A name for what we make in docker's engine: this machine's and this process's."""
    machine = re.sub(r"[^a-zA-Z0-9]", "", socket.gethostname()) or "host"
    return f"{network.PREFIX}{machine}-{os.getpid()}"


def free_ports(low: int = ports.LOWEST, high: int = ports.HIGHEST) -> int:
    """The first of as many ports in a row as a job has that nobody listens on now."""
    rows = list(range(low, high + 1, ports.COUNT))
    start = os.getpid() % len(rows)
    for first in rows[start:] + rows[:start]:
        if all(map(_is_free, range(first, first + ports.COUNT))):
            return first
    raise RuntimeError(f"no {ports.COUNT} ports in a row are free between {low} and {high}")


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("", port)).close()
    except OSError:
        return False
    return True


def _bind(source: Path, target: str) -> str:
    return f"mount --bind {shlex.quote(str(source))} {shlex.quote(target)}"


def _handles(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def _remove_containers(label: str) -> None:
    containers = _docker("ps", "-aq", "--filter", f"label={LABEL}={label}").stdout.split()
    if containers:
        _docker("rm", "-f", *containers)
    if _docker("network", "ls", "-q", "--filter", f"label={LABEL}={label}").stdout.split():
        _docker("network", "rm", label)


def _docker(*words: str) -> subprocess.CompletedProcess[str]:
    """A session of its own: Ctrl-C is ours alone."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, start_new_session=True)  # noqa: S607
