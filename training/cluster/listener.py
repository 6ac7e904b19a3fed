"""The first host's port, which is open to whoever is on the hosts' network, and the connections to it that have not
proved whose they are. Such a stranger may send lines of 1 KB (training/cluster/connection.py), has five seconds
whatever it sends,
and the oldest makes room for new ones: strangers neither fill the memory nor take the files of process 1.
"""

from __future__ import annotations

import contextlib
import errno
import resource
import socket
import time

from byo_container.container.failure import JobError
from byo_container.training.cluster.connection import Link
from byo_container.training.cluster.handshake import make_nonce
from byo_container.training.cluster.protocol import Challenge

STRANGER_S = 5.0
STRANGERS = 64  # at once, beside one for each host
ACCEPTS = 16  # at once, until those that are there get their turn
NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
PAUSE_S = 0.5


class Listener:
    """A listening socket and its strangers. `hosts` are so many that may join; `current` is this host, for people.
    Raises JobError where the port cannot be had."""

    def __init__(self, current: str, port: int, hosts: int) -> None:
        self.strangers: list[Link] = []
        """The oldest first."""
        self.paused_at = 0.0
        """When there was no file for a connection; 0 while they are accepted."""
        self._hosts = hosts
        # Both kinds of addresses where the machine knows both.
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

    def accept(self) -> list[Link]:
        """The connections that have come, which are strangers now, and asked to prove whose they are. Where this
        process has all the files that it may have, there is a pause: they wait, and who asks again at once does
        nothing else."""
        links = []
        for _ in range(ACCEPTS):
            try:
                connection, address = self.socket.accept()
            except OSError as error:  # else BlockingIOError, or the connection has gone before it was accepted
                if error.errno in NO_FILES:
                    self.paused_at = time.monotonic()
                break
            with contextlib.suppress(OSError):
                link = Link(connection, address[0].removeprefix("::ffff:"))
                link.challenge = make_nonce()
                link.send(Challenge(link.challenge))
                links.append(link)
        self.strangers += links
        return links

    def to_drop(self, now: float) -> list[Link]:
        """The strangers that have had their time, and the oldest where there are too many or no files are left."""
        surplus = max(len(self.strangers) - self.most(), int(self.paused_at > 0))
        return [link for number, link in enumerate(self.strangers) if number < surplus or is_over(link, now)]

    def most(self) -> int:
        """How many strangers there may be: so many that three of four files are left to the job."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = STRANGERS + self._hosts
        return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft // 4))

    def resumes(self, now: float) -> bool:
        """Whether a pause ends now."""
        if self.paused_at and now - self.paused_at >= PAUSE_S:
            self.paused_at = 0.0
            return True
        return False


def is_over(stranger: Link, now: float) -> bool:
    return now - stranger.opened_at > STRANGER_S
