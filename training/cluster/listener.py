"""The coordinator's listening socket, which is open to anybody on the hosts' network."""

from __future__ import annotations

import errno
import resource
import socket
import time

from byo_container.container.failure import JobError

MAX_UNIDENTIFIED = 64  # connections at once, and one more for each host
ACCEPTS = 16  # at once, until other connections get their turn
NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
PAUSE_S = 0.5
FILES = 65_536


class Listener:
    """A listening socket. `current` is the name of this host, for messages. Raises JobError where the port is not to be
    had."""

    def __init__(self, current: str, port: int) -> None:
        self.is_paused = False
        """Whether no connections are accepted for now, because this process may open no more files. They wait, and
        asking again at once would keep this process from all other work."""
        self._paused_at = 0.0
        # Both kinds of addresses where the machine has both.
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        try:
            self.socket = socket.create_server(("", port), family=family, backlog=512, dualstack_ipv6=both)
        except OSError as error:
            raise JobError(
                f"{current} cannot listen on port {port} for the other hosts: {error.strerror}; set "
                "TRAINING_PEERS_PORT to one that is free, the same on all hosts"
            ) from None
        self.socket.setblocking(False)

    def accept(self) -> list[tuple[socket.socket, str]]:
        """The connections that have come, and the addresses they come from. Begins a pause where no files are left."""
        accepted = []
        for _ in range(ACCEPTS):
            try:
                connected, address = self.socket.accept()
            except OSError as error:  # else BlockingIOError, or the connection has gone before it was accepted
                if error.errno in NO_FILES:
                    self.is_paused, self._paused_at = True, time.monotonic()
                break
            accepted.append((connected, address[0].removeprefix("::ffff:")))
        return accepted

    def resumes(self) -> bool:
        """Whether a pause ends now."""
        if self.is_paused and time.monotonic() - self._paused_at >= PAUSE_S:
            self.is_paused = False
            return True
        return False

    def close(self) -> None:
        self.socket.close()


def max_unidentified(hosts: int) -> int:
    """How many connections of unidentified peers may be open at once where a job has so many hosts: three of four files
    are left to the job."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_UNIDENTIFIED + hosts
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft // 4))


def raise_file_limit() -> None:
    """Raises the limit on open files to the hard limit or FILES: each connection is one. Not higher, because the
    processes that we start inherit it, and some programs go through all numbers that a file may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
