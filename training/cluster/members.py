"""Several hosts, one end: the process 1 of every host is joined to that of the first one, the master, from the
beginning of the job to its end.

What goes over the connections is in training/cluster/protocol.py, how a host proves that it belongs to the job in
training/cluster/handshake.py, and what becomes of others who come to the port in training/cluster/listener.py.

A host whose connection closes before the verdict was killed; one that is silent for five seconds hangs, or its cable
was pulled. No secret goes over these connections, and nothing is encrypted.
"""

from __future__ import annotations

import contextlib
import math
import socket
import time
from typing import Any

from byo_container.container.failure import STOPPED_STATUS, is_consequence
from byo_container.container.job import Hosts, TrainingJob
from byo_container.container.log import log
from byo_container.container.process.supervisor import Supervisor
from byo_container.training.cluster.connection import Link
from byo_container.training.cluster.handshake import JobIdentity, make_nonce
from byo_container.training.cluster.listener import Listener
from byo_container.training.cluster.protocol import (
    Challenge,
    End,
    Failing,
    Go,
    Heartbeat,
    Hello,
    Message,
    MessageError,
    Offer,
    Outcome,
    Ready,
    Refused,
    Stop,
    Verdict,
    Welcome,
)
from byo_container.training.cluster.session import Company, Settings, read_settings
from byo_container.training.processes.rank import Ranks

# From a failure until all must have said what became of them, the 2.5 s that their processes may take to end among
# them. With the 5 s after which a silent host is missed it stays below 10 s.
OUTCOMES_S = 4.0
DIFFERENT_JOB = "the job's name, ARN, hosts, hyperparameters or channels differ between the two"


def company_of(job: TrainingJob[Any], ranks: Ranks, stop_grace_s: float) -> Company:
    """This host's part in the company of all hosts of a job; `ranks` are those that it will have. Raises JobError."""
    settings = read_settings(job, stop_grace_s)
    kind = Company if len(job.hosts.all) == 1 else Master if job.hosts.is_master else Worker
    return kind(job.hosts, JobIdentity.of(job), settings, ranks)


class Master(Company):
    """The first host, which hears of every other and has the last word."""

    def __init__(self, hosts: Hosts, identity: JobIdentity, settings: Settings, ranks: Ranks) -> None:
        super().__init__(hosts, identity, settings, ranks)
        self._joined: dict[str, Link] = {}
        self._ready: dict[str, Offer] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._failing: dict[str, str] = {}
        """Hosts that failed and what was first heard of it, in the order in which we heard."""
        self._turned_away: set[str] = set()
        """Hosts in whose names somebody came who did not know this job."""
        self._ended_at = math.inf
        self._listener = Listener(hosts.current, settings.ports.coordinator, len(hosts.all))

    def attend(self, supervisor: Supervisor) -> None:
        super().attend(supervisor)
        supervisor.watch(self._listener.socket.fileno(), self._accept)
        self._listener.paused_at = 0.0
        for link in self._listener.strangers:
            self._watch(link)

    def _accept(self) -> None:
        for link in self._listener.accept():
            self._watch(link)
        if self._listener.paused_at and self._supervisor:
            self._warn("no files are left for connections that come; set the limit on open files (ulimit -n) higher")
            self._supervisor.unwatch(self._listener.socket.fileno())
        self._attend_strangers(time.monotonic())  # at once: each that goes leaves a file

    def _attend_strangers(self, now: float) -> None:
        for link in self._listener.to_drop(now):
            self._drop(link, link.socket.fileno(), "")
        if self._listener.resumes(now) and self._supervisor:
            self._supervisor.watch(self._listener.socket.fileno(), self._accept)

    def _drop(self, link: Link, descriptor: int, how: str) -> None:
        if link in self._listener.strangers:
            self._listener.strangers.remove(link)
        super()._drop(link, descriptor, how)

    def _hear(self, link: Link, message: Message) -> None:
        if link in self._listener.strangers:
            self._hear_stranger(link, message)
            return
        match message:
            case Ready(offer):
                self._ready[link.host] = offer
            case Stop():
                self._stop(link.host)
            case Failing(text):
                self._begin_end(link.host, text)
            case Outcome():
                self._note(link.host, message)
            case Heartbeat():
                pass
            case _:
                raise MessageError(f"{type(message).__name__.lower()!r}, which only the first host may say")

    def _hear_stranger(self, link: Link, message: Message) -> None:
        if isinstance(message, Heartbeat):
            return
        if not isinstance(message, Hello) or not link.challenge:
            raise MessageError(f"{type(message).__name__.lower()!r} without having joined")
        challenge, link.challenge = link.challenge, ""  # one attempt each
        refusal = self._refusal(message, challenge)
        if refusal:
            self._warn(f"refused to let {link.peer} join: {refusal}")
            link.send(Refused())  # and nothing else: who does not know the job is to learn nothing of it
        else:
            self._welcome(link, message, challenge)

    def _refusal(self, hello: Hello, challenge: str) -> str:
        """Why a host may not join, for people; empty where it may."""
        host = hello.host
        if not self.identity.accepts(hello.proof, "other host", host, challenge, hello.nonce):
            if host in self.hosts.all:
                self._turned_away.add(host)
            return f"it calls itself {host[:80]!r}, but {DIFFERENT_JOB}; here it is {self.identity}"
        if host not in self.hosts.all[1:]:
            return f"{host[:80]!r} is none of the other hosts of {self.identity}"
        return f"{host} has joined already" if host in self._joined else ""

    def _welcome(self, link: Link, hello: Hello, challenge: str) -> None:
        host = hello.host
        self._listener.strangers.remove(link)
        self._links.append(link)
        self._joined[host] = link
        link.identify(host)
        log.info("%s has joined", host)
        link.send(Welcome(self.identity.prove("first host", host, challenge, hello.nonce)))
        if self.verdict:
            self._tell_verdict(link, self.verdict)
        elif self.grace_s is not None:
            link.send(End("another host has failed"))

    def _missing(self) -> str:
        return ", ".join(self._unresolved(host) for host in self.hosts.all[1:] if host not in self._joined)

    def _lose(self, link: Link, how: str) -> None:
        if self.verdict is None and link.host:
            self._note(link.host, Outcome(1, f"{link.host} was lost: {how}"))

    def _fail(self, text: str) -> None:
        self._begin_end(self.hosts.current, text)

    def _conclude(self, outcome: Outcome) -> None:
        self._note(self.hosts.current, outcome)

    def _note(self, host: str, outcome: Outcome) -> None:
        """Takes down an outcome. The first failure of a host stays, also when it is lost afterwards."""
        known = self._outcomes.get(host)
        if known is None or (known.status == 0 and outcome.status):
            self._outcomes[host] = outcome
        if outcome.status:
            self._begin_end(host, outcome.text)

    def _begin_end(self, host: str, text: str) -> None:
        self._failing.setdefault(host, text)
        if self.stopped_at == math.inf and self._ended_at == math.inf:
            self._ended_at = time.monotonic()
            # Who has nothing to wait for has said 0 at once, and says now what became of its ranks.
            kept = [self.hosts.current] if self.parting_at < math.inf else []
            self._outcomes = {name: known for name, known in self._outcomes.items() if known.status or name in kept}
            self._end(text)
            self._tell(End(text))

    def _advance(self, now: float) -> None:
        self._attend_strangers(now)
        if self.verdict is not None:
            return
        if self.offers is None and self._ended_at == math.inf:
            self._try_to_go(now)
        open_hosts = [host for host in self.hosts.all if host not in self._outcomes]
        if self._ended_at < math.inf:
            joined = [host for host in open_hosts if host in self._joined or host == self.hosts.current]
            if not joined or now - self._ended_at > OUTCOMES_S:
                self._give_verdict()
        elif not open_hosts:
            self._give_verdict()
        elif now - self.stopped_at > self.settings.stop_grace_s + 1:
            self._note(open_hosts[0], Outcome(1, f"{open_hosts[0]} did not end in time after SIGTERM"))
            self._give_verdict()

    def _try_to_go(self, now: float) -> None:
        missing = self._missing()
        if missing:
            self._tell_waiting(now, missing)
        if missing and now - self.began_at > self.settings.wait_s:
            text = f"{missing} did not join in {self.settings.wait_s:.0f} s{self._hint()}"
            self._note(self.hosts.current, Outcome(1, text))
        elif not missing and self._may_start(now) and len(self._ready) == len(self.hosts.all) - 1:
            self.offers = {self.hosts.current: self.offer or {}, **self._ready}
            self._tell(Go(self.offers))

    def _hint(self) -> str:
        """What may be the reason why hosts did not join."""
        came = [host for host in self.hosts.all if host in self._turned_away and host not in self._joined]
        return f"; {', '.join(came)} came and was refused, because {DIFFERENT_JOB}" if came else ""

    def _give_verdict(self) -> None:
        failures = []
        for host, text in self._failing.items():
            outcome = self._outcomes.get(host)
            failures.append(outcome if outcome and outcome.status else Outcome(1, text))
        self._decide(min(failures, key=lambda outcome: is_consequence(outcome.text), default=Outcome(0)))
        assert self.verdict
        for link in self._links:
            self._tell_verdict(link, self.verdict)

    def _tell_verdict(self, link: Link, verdict: Outcome) -> None:
        link.send(Verdict(verdict.status, verdict.text))

    def _has_parted(self, supervisor: Supervisor) -> bool:
        if self.verdict is None or self._links:
            return False  # a host that has read the verdict hangs up; one that does not read it falls silent
        if self._missing() and not supervisor.stop_requested:
            self._tell_waiting(time.monotonic(), f"{self._missing()}, to tell them of the failure")
            return self._farewell_is_over()
        self._listener.socket.close()
        return True


class Worker(Company):
    """Any other host."""

    def __init__(self, hosts: Hosts, identity: JobIdentity, settings: Settings, ranks: Ranks) -> None:
        super().__init__(hosts, identity, settings, ranks)
        self._welcomed = False
        self._said_ready = False
        self._tried_at = 0.0

    def _hear(self, link: Link, message: Message) -> None:
        if not self._welcomed:
            self._join(link, message)
            return
        match message:
            case Go(offers):
                if set(offers) != set(self.hosts.all):
                    raise MessageError("'go' with the offers of other hosts than those of the job")
                self.offers = offers
            case Stop(host):
                self._stopped(host)
            case End(text):
                self._end(text)
                if self.outcome and self.parting_at < math.inf:
                    self._tell(self.outcome)
            case Verdict(status, text):
                self._decide(Outcome(status, text))
            case Heartbeat():
                pass
            case _:
                raise MessageError(f"{type(message).__name__.lower()!r} after this host had joined")

    def _join(self, link: Link, message: Message) -> None:
        current = self.hosts.current
        match message:
            case Challenge(nonce) if not link.challenge:
                link.challenge, link.nonce = nonce, make_nonce()
                proof = self.identity.prove("other host", current, link.challenge, link.nonce)
                link.send(Hello(current, link.nonce, proof))
            case Welcome(proof) if link.challenge:
                if not self.identity.accepts(proof, "first host", current, link.challenge, link.nonce):
                    raise MessageError(f"a welcome, but does not know {self.identity}")
                self._welcomed = True
                link.identify(self.hosts.master)
                log.info("joined %s", self.hosts.master)
                if self.outcome:
                    self._tell(self.outcome)
            case Refused():
                where = f"{self.hosts.master}, port {self.settings.ports.coordinator}"
                reason = f"{DIFFERENT_JOB}, or another {current} has joined before"
                self._decide(Outcome(1, f"{current} was not accepted by {where}: {reason}; here it is {self.identity}"))
            case Heartbeat():
                pass
            case _:
                raise MessageError(f"{type(message).__name__.lower()!r} before this host had joined")

    def _missing(self) -> str:
        return "" if self._welcomed else self._unresolved(self.hosts.master)

    def _lose(self, link: Link, how: str) -> None:
        if self.verdict is not None or not self._welcomed:
            return  # the end, or somebody else's port: we go on trying
        text = f"{self.hosts.master} (the first host) was lost: {how}"
        self._end(text)
        own = self.outcome
        self._decide(own if own and own.status and not is_consequence(own.text) else Outcome(1, text))

    def _conclude(self, outcome: Outcome) -> None:
        self.outcome = outcome
        if self._welcomed:
            self._tell(outcome)

    def _advance(self, now: float) -> None:
        if self.verdict is not None:
            return
        if not self._links:
            self._connect(now)
        if not self._welcomed:
            self._tell_waiting(now, self._missing())
            self._give_up(now)
        elif not self._said_ready and not self.outcome and self._may_start(now):
            self._said_ready = True
            self._tell(Ready(self.offer or {}))
        if now - self.stopped_at > self.settings.stop_grace_s + 2:
            own = self.outcome if self.outcome and self.outcome.status else None
            silence = f"{self.hosts.master} did not tell the result in time after SIGTERM"
            self._decide(own or Outcome(STOPPED_STATUS, silence))

    def _connect(self, now: float) -> None:
        if self.hosts.master in self._names.unknown or now - self._tried_at < 0.2:
            return
        self._tried_at = now
        with contextlib.suppress(OSError):
            address = (self.hosts.master, self.settings.ports.coordinator)
            link = Link(socket.create_connection(address, timeout=1.0), self.hosts.master)
            self._links = [link]
            self._watch(link)

    def _give_up(self, now: float) -> None:
        failed = self.outcome if self.outcome and self.outcome.status else None
        if failed and self._farewell_is_over():
            self._decide(failed)
        elif failed is None and now - self.began_at > self.settings.wait_s:
            reach = f"{self.hosts.current} could not join {self._missing()} in {self.settings.wait_s:.0f} s"
            self._decide(Outcome(1, f"{reach}, port {self.settings.ports.coordinator}"))

    def _has_parted(self, supervisor: Supervisor) -> bool:
        if self.verdict is None and not self._welcomed and supervisor.stop_requested and self.outcome:
            self._decide(self.outcome)  # the platform is in a hurry
        return self.verdict is not None
