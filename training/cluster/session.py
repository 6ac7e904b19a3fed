"""One host among the others of a job, as far as the first one and the others are alike; see
training/cluster/members.py."""

from __future__ import annotations

import functools
import math
import os
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from byo_container.container import hyperparameters as hp
from byo_container.container.failure import STOPPED_STATUS, JobError, JobStopped, write_failure
from byo_container.container.job import Hosts, TrainingJob
from byo_container.container.log import log
from byo_container.container.process.supervisor import Supervisor
from byo_container.training.cluster.connection import Link, Names
from byo_container.training.cluster.handshake import JobIdentity, name_of
from byo_container.training.cluster.protocol import (
    Failing,
    Heartbeat,
    Message,
    MessageError,
    Offer,
    Outcome,
    Stop,
    printable,
)
from byo_container.training.ports import Ports
from byo_container.training.processes.rank import Ranks

Offers = Mapping[str, Offer]

BEAT_S = 1.0
TELL_WAITING_S = 15.0
END_GRACE_S = 2.0  # from SIGTERM to SIGKILL where another host has failed
FAREWELL_S = 60.0  # for hosts that come late to be told of a failure,
HURRIED_FAREWELL_S = 3.0  # and the same after SIGTERM
TEXT_LENGTH = 64_000
CLOSED = "its connection closed before the job had ended, so it, or its process 1, was killed"
WARN_S = 1.0  # between two warnings of connections that are none of ours: their number is in others' hands
FILES = 65_536


@dataclass(frozen=True)
class Settings:
    """`ports` are the job's own; `wait_s` how long to wait for all to join; `silence_s` after which one is lost."""

    ports: Ports
    wait_s: float = 900.0
    silence_s: float = 5.0
    stop_grace_s: float = 118.0


def read_settings(job: TrainingJob[Any], stop_grace_s: float, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings from TRAINING_PEERS_PORT, _WAIT and _SILENCE. Raises JobError."""

    def number(name: str, default: float, low: float, high: float) -> float:
        text = environ.get(name) or str(default)
        try:
            return float(hp.convert(text, Annotated[float, hp.Range(low, high)]))
        except ValueError as error:
            raise JobError(f"the environment variable {name} is {text!r}; it must be {error}") from None

    first = Ports.of_job(name_of(job)).coordinator
    return Settings(
        ports=Ports.starting_at(int(number("TRAINING_PEERS_PORT", first, 1, 65_535))),
        wait_s=number("TRAINING_PEERS_WAIT", 900, 0, 86_400),
        silence_s=number("TRAINING_PEERS_SILENCE", 5, 2, 3600),
        stop_grace_s=stop_grace_s,
    )


def allow_many_files() -> None:
    """Has the limit on open files raised, to the hard limit or FILES: each host and each stranger on the port is one.
    No higher, because what we start inherits it, and some programs go through all the numbers that a file may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Company:
    """This host among the others: here the whole of it, for a host that is alone. Used in this order:

    offers = company.gather({}, supervisor)   # all are ready; None where it will never come to that
    status = company.part(outcome, failure)   # the result of all
    """

    def __init__(self, hosts: Hosts, identity: JobIdentity, settings: Settings, ranks: Ranks) -> None:
        self.hosts = hosts
        self.identity = identity
        self.settings = settings
        self.ranks = ranks
        self.began_at = time.monotonic()
        self.grace_s: float | None = None
        self.outcome: Outcome | None = None
        """Of this host."""
        self.verdict: Outcome | None = None
        self.offer: Offer | None = None
        self.offers: Offers | None = None
        self.stopped_at = math.inf
        self.stopped_by = ""
        self.parting_at = math.inf
        self._farewell_s = FAREWELL_S
        self._supervisor: Supervisor | None = None
        self._links: list[Link] = []
        self._beat_at = 0.0
        self._told_at = self.began_at - TELL_WAITING_S + 3
        self._names = Names(hosts.all)
        self._warned_at = -math.inf
        self._unwarned = 0
        """Warnings that were left out since then."""

    @property
    def is_alone(self) -> bool:
        return len(self.hosts.all) == 1

    # What the others call.

    def attend(self, supervisor: Supervisor) -> None:
        """Talks to the other hosts while `supervisor` waits, from now on."""
        self._supervisor = supervisor
        supervisor.on_poll = self._tick
        if self.is_alone:
            return
        self._names.ask(supervisor)
        for link in self._links:
            self._watch(link)

    def gather(self, offer: Offer, supervisor: Supervisor) -> Offers | None:
        """Tells that this host is ready to start, and waits until all are. Gives what each has offered; None
        where one has failed before. Raises JobStopped."""
        self.offer = offer
        if self.is_alone:
            self.offers = {self.hosts.current: offer}
        supervisor.interval_s = 0.05  # everybody waits for the last one
        while self.offers is None and self.grace_s is None:
            if supervisor.stop_requested:
                raise JobStopped(f"while waiting for {self._missing() or 'the other hosts'}")
            supervisor.poll(1.0)
        supervisor.interval_s = 0.25
        return self.offers if self.grace_s is None else None

    def done(self) -> None:
        """Says that nothing which runs on this host has to end for the job to succeed."""
        self._conclude(Outcome(0))

    def part(self, outcome: Outcome, failure: Path) -> int:
        """Tells the other hosts what became of this one, waits for the result of all, and returns its status. The
        file `failure` says afterwards why all failed, if they did."""
        if self.is_alone:
            return outcome.status
        self.parting_at = time.monotonic()
        self._farewell_s = HURRIED_FAREWELL_S if outcome.status == STOPPED_STATUS else FAREWELL_S
        if self.verdict is None and not (self.outcome and self.outcome.status):
            self._conclude(Outcome(outcome.status, self._own_text(outcome)))
        with Supervisor() as supervisor:
            self.attend(supervisor)
            while not self._has_parted(supervisor):
                supervisor.poll(1.0)
        for link in self._links:
            link.close()
        verdict = self.verdict or Outcome(1, "no verdict was reached")  # which cannot be
        if verdict.status:
            stop = f"SIGTERM came to {self.stopped_by}; " if self.stopped_by else ""
            write_failure(failure, stop + verdict.text)
        return verdict.status

    # What the two kinds have in common.

    def _farewell_is_over(self) -> bool:
        """Whether those who still have not come need no longer be told that this host has failed."""
        now = time.monotonic()
        return now - self.parting_at > self._farewell_s or now - self.began_at > self.settings.wait_s

    def _own_text(self, outcome: Outcome) -> str:
        if outcome.status == 0:
            return ""
        text = printable(outcome.text.strip()) or f"ended with status {outcome.status}"
        return f"{self.hosts.current}{',' if text.startswith('rank ') else ':'} {text}"[:TEXT_LENGTH]

    def _watch(self, link: Link) -> None:
        if self._supervisor and link.open:
            self._supervisor.watch(link.socket.fileno(), functools.partial(self._receive, link))

    def _receive(self, link: Link) -> None:
        descriptor = link.socket.fileno()
        try:
            for message in link.receive():
                self._hear(link, message)
        except MessageError as error:
            if not link.host:
                self._warn(f"turned away {link.peer}, which sent {error}")
            self._drop(link, descriptor, f"it sent {error}")
            return
        if not link.open:
            self._drop(link, descriptor, CLOSED)

    def _drop(self, link: Link, descriptor: int, how: str) -> None:
        link.close()
        if self._supervisor:
            self._supervisor.unwatch(descriptor)
        if link in self._links:
            self._links.remove(link)
            self._lose(link, how)

    def _warn(self, text: str) -> None:
        """Warns of a stranger, but not as often as strangers like."""
        now = time.monotonic()
        if now - self._warned_at < WARN_S:
            self._unwarned += 1
            return
        more = f"; before it {self._unwarned} more such warnings" if self._unwarned else ""
        self._warned_at, self._unwarned = now, 0
        log.warning("%s%s", text, more)

    def _tick(self) -> None:
        now = time.monotonic()
        stop_came = self._supervisor and self._supervisor.stop_requested and self.stopped_at == math.inf
        if stop_came and self.offers is not None and self.verdict is None:
            if self._supervisor and self._supervisor.is_orphan:
                self._abandoned(now)
            else:
                self._stop(self.hosts.current)
        if self.grace_s is None and self.stopped_at == math.inf:
            failed = self.ranks.failure()
            if failed:
                self._fail(printable(f"{self.hosts.current}, {failed[1]}")[:TEXT_LENGTH])
        if now - self._beat_at >= BEAT_S:
            self._beat_at = now
            for link in self._links:
                link.send(Heartbeat())
        for link in list(self._links):
            link.flush()
            if now - link.heard_at > self.settings.silence_s:
                self._silent(link)
        self._advance(now)

    def _abandoned(self, now: float) -> None:
        """This SIGTERM came from the kernel, because process 1 was killed (container/process/guardian.py): no stop
        for the
        other hosts, but the loss of this one. What runs here may save all the same."""
        self._conclude(Outcome(1, f"{self.hosts.current} was lost: its process 1 was killed"))
        self.stopped_at = now
        self.ranks.stop()

    def _silent(self, link: Link) -> None:
        descriptor = link.socket.fileno()
        silence = f"nothing was heard from it for {self.settings.silence_s:.0f} s"
        self._drop(link, descriptor, f"{silence}, so it hangs, or is down, or its network is cut")

    def _tell(self, message: Message) -> None:
        for link in list(self._links):
            link.send(message)

    def _end(self, why: str) -> None:
        """Has everything on this host end at once."""
        if self.grace_s is None:
            log.error("ending, because %s", why.split("\n", 1)[0])
            self.grace_s = END_GRACE_S

    def _decide(self, verdict: Outcome) -> None:
        if self.verdict is None:
            self.verdict = verdict
            if self.grace_s is None:
                self.grace_s = END_GRACE_S

    def _stopped(self, host: str) -> None:
        if self.stopped_at == math.inf:
            log.info("SIGTERM came to %s: all hosts are to save and end", host)
            self.stopped_at, self.stopped_by = time.monotonic(), host
            if self._supervisor:
                self._supervisor.request_stop()
            self.ranks.stop()

    def _tell_waiting(self, now: float, missing: str) -> None:
        if now - self._told_at >= TELL_WAITING_S:
            self._told_at = now
            left = self.settings.wait_s - (now - self.began_at)
            log.info("waiting for %s; %.0f s are left", missing, max(0.0, left))

    def _may_start(self, now: float) -> bool:
        """Whether this host is ready and knows all names; that it never learns one is a failure."""
        unknown = sorted(self._names.unknown)
        if unknown and now - self.began_at > self.settings.wait_s:
            text = f"{self.hosts.current}: the name {unknown[0]} does not resolve"
            self._conclude(Outcome(1, f"{text} after {self.settings.wait_s:.0f} s"))
        return self.offer is not None and not unknown

    def _unresolved(self, host: str) -> str:
        return f"{host} (its name does not resolve)" if host in self._names.unknown else host

    # What they do each in its own way.

    def _missing(self) -> str:
        """The hosts that have not joined, for people."""
        return ""

    def _conclude(self, outcome: Outcome) -> None:
        """Takes down what became of this host."""

    def _has_parted(self, supervisor: Supervisor) -> bool:
        return True

    def _hear(self, link: Link, message: Message) -> None:
        """A message that came. Raises MessageError where such a one may not come now."""

    def _lose(self, link: Link, how: str) -> None:
        """A host that was lost."""

    def _stop(self, host: str) -> None:
        """SIGTERM that came to `host`, this one or another."""
        self._stopped(host)
        self._tell(Stop(host))

    def _fail(self, text: str) -> None:
        """A rank that failed here, while its launcher has not noticed yet."""
        self._end(text)
        self._tell(Failing(text))

    def _advance(self, now: float) -> None:
        """What is due at a time, without any message."""
