"""Several hosts, one end: the process 1 of every host is joined to that of the first one, the master, from the
beginning of the job to its end.

What goes over the connections (a JSON object a line; the master in the middle):

    hello      host, job            a host joins
    ready      offer                it could start now; `offer` is what the others must know of it
    go         offers               all are ready, so start
    stop       host                 SIGTERM came to a host: everybody gets it, with all the time to save
    failing    text                 a rank of a host failed, whose other processes are about to end
    end        text                 a host failed or was lost: end at once, then say your own outcome
    outcome    status, text         what became of a host's own processes; status 0 for success
    verdict    status, text         the one result of all hosts; success is nothing else than this
    {}                              a heartbeat, every second

A host whose connection closes before the verdict was killed; one that is silent for five seconds hangs, or its cable
was pulled. No secret goes over these connections: who can listen on the hosts' network learns nothing by it.
"""

from __future__ import annotations

import contextlib
import math
import socket
import time
from typing import Any

from container.failure import STOPPED_STATUS, JobError, is_consequence
from container.job import Hosts, TrainingJob
from container.log import log
from container.process import Supervisor
from training.company import Company, Offers, Outcome, Settings, name_of, read_settings
from training.rank import Ranks
from training.wire import Link, Message

# From a failure until all must have said what became of them, the 2.5 s that their processes may take to end among
# them. With the 5 s after which a silent host is missed it stays below 10 s.
OUTCOMES_S = 4.0


def company_of(job: TrainingJob[Any], ranks: Ranks, stop_grace_s: float) -> Company:
    """This host's part in the company of all hosts of a job; `ranks` are those that it will have. Raises JobError."""
    settings = read_settings(job, stop_grace_s)
    if len(job.hosts.all) == 1:
        return Company(job.hosts, "", settings, ranks)
    kind = Master if job.hosts.is_master else Worker
    return kind(job.hosts, name_of(job), settings, ranks)


class Master(Company):
    """The first host, which hears of every other and has the last word."""

    def __init__(self, hosts: Hosts, job: str, settings: Settings, ranks: Ranks) -> None:
        super().__init__(hosts, job, settings, ranks)
        self._joined: dict[str, Link] = {}
        self._ready: Offers = {}
        self._outcomes: dict[str, Outcome] = {}
        self._failing: dict[str, str] = {}
        """Hosts that failed and what was first heard of it, in the order in which we heard."""
        self._strangers: list[Link] = []
        self._ended_at = math.inf
        self._listener = self._listen()

    def _listen(self) -> socket.socket:
        try:
            # Both kinds of addresses where the machine knows both.
            both = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if both else socket.AF_INET
            return socket.create_server(("", self.settings.port), family=family, backlog=512, dualstack_ipv6=both)
        except OSError as error:
            raise JobError(
                f"{self.hosts.current} cannot listen on port {self.settings.port} for the other hosts: "
                f"{error.strerror}; set TRAINING_PEERS_PORT to one that is free, the same on all hosts"
            ) from None

    def attend(self, supervisor: Supervisor) -> None:
        super().attend(supervisor)
        supervisor.watch(self._listener.fileno(), self._accept)
        for link in self._strangers:
            self._watch(link)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            link = Link(self._listener.accept()[0])
            self._strangers.append(link)
            self._watch(link)

    def _drop(self, link: Link, descriptor: int) -> None:
        if link in self._strangers:
            self._strangers.remove(link)
        super()._drop(link, descriptor)

    def _hear(self, link: Link, message: Message) -> None:
        if link in self._strangers:
            self._welcome(link, message)
            return
        kind = message.get("kind")
        if kind == "ready":
            self._ready[link.host] = message.get("offer") or {}
        elif kind == "stop":
            self._stop(link.host)
        elif kind == "failing":
            self._begin_end(link.host, str(message.get("text")))
        elif kind == "outcome":
            self._note(link.host, Outcome(int(message["status"]), str(message["text"])))

    def _welcome(self, link: Link, message: Message) -> None:
        host = str(message.get("host"))
        if message.get("job") != self.job:
            refused = f"the port {self.settings.port} of {self.hosts.current} serves the job {self.job!r}"
        elif host not in self.hosts.all[1:]:
            refused = f"{host!r} is none of the hosts that {self.hosts.current} knows: {', '.join(self.hosts.all)}"
        elif host in self._joined:
            refused = f"{host} has joined already"
        else:
            self._strangers.remove(link)
            self._links.append(link)
            self._joined[host] = link
            link.host = host
            log.info("%s has joined", host)
            link.send(kind="welcome")
            if self.verdict:
                self._tell_verdict(link, self.verdict)
            elif self.grace_s is not None:
                link.send(kind="end", text="another host has failed")
            return
        log.warning("refused to let a host join: %s", refused)
        link.send(kind="refused", text=refused)

    def _missing(self) -> str:
        return ", ".join(self._unresolved(host) for host in self.hosts.all[1:] if host not in self._joined)

    def _drop_strangers(self, now: float) -> None:
        for link in list(self._strangers):
            if now - link.heard_at > self.settings.silence_s:
                self._drop(link, link.socket.fileno())

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
            self._tell(kind="end", text=text)

    def _advance(self, now: float) -> None:
        self._drop_strangers(now)
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
            self._note(self.hosts.current, Outcome(1, f"{missing} did not join in {self.settings.wait_s:.0f} s"))
        elif not missing and self._may_start(now) and len(self._ready) == len(self.hosts.all) - 1:
            self.offers = {self.hosts.current: self.offer or {}, **self._ready}
            self._tell(kind="go", offers=self.offers)

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
        link.send(kind="verdict", status=verdict.status, text=verdict.text)

    def _has_parted(self, supervisor: Supervisor) -> bool:
        if self.verdict is None or self._links:
            return False  # a host that has read the verdict hangs up; one that does not read it falls silent
        if self._missing() and not supervisor.stop_requested:
            self._tell_waiting(time.monotonic(), f"{self._missing()}, to tell them of the failure")
            return self._farewell_is_over()
        self._listener.close()
        return True


class Worker(Company):
    """Any other host."""

    def __init__(self, hosts: Hosts, job: str, settings: Settings, ranks: Ranks) -> None:
        super().__init__(hosts, job, settings, ranks)
        self._welcomed = False
        self._said_ready = False
        self._tried_at = 0.0

    def _hear(self, link: Link, message: Message) -> None:
        kind = message.get("kind")
        if kind == "welcome":
            self._welcomed = True
            log.info("joined %s", self.hosts.master)
            if self.outcome:
                self._send_outcome(self.outcome)
        elif kind == "refused":
            self._decide(Outcome(1, f"{self.hosts.current}: {message.get('text')}"))
        elif kind == "go":
            self.offers = message["offers"]
        elif kind == "stop":
            self._stopped(str(message.get("host")))
        elif kind == "end":
            self._end(str(message.get("text")))
            if self.outcome and self.parting_at < math.inf:
                self._send_outcome(self.outcome)
        elif kind == "verdict":
            self._decide(Outcome(int(message["status"]), str(message["text"])))

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
            self._send_outcome(outcome)

    def _send_outcome(self, outcome: Outcome) -> None:
        self._tell(kind="outcome", status=outcome.status, text=outcome.text)

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
            self._tell(kind="ready", offer=self.offer)
        if now - self.stopped_at > self.settings.stop_grace_s + 2:
            own = self.outcome if self.outcome and self.outcome.status else None
            silence = f"{self.hosts.master} did not tell the result in time after SIGTERM"
            self._decide(own or Outcome(STOPPED_STATUS, silence))

    def _connect(self, now: float) -> None:
        assert self._names
        if self.hosts.master in self._names.unknown or now - self._tried_at < 0.2:
            return
        self._tried_at = now
        with contextlib.suppress(OSError):
            link = Link(socket.create_connection((self.hosts.master, self.settings.port), timeout=1.0))
            link.host = self.hosts.master
            self._links = [link]
            self._watch(link)
            link.send(kind="hello", host=self.hosts.current, job=self.job)

    def _give_up(self, now: float) -> None:
        failed = self.outcome if self.outcome and self.outcome.status else None
        if failed and self._farewell_is_over():
            self._decide(failed)
        elif failed is None and now - self.began_at > self.settings.wait_s:
            reach = f"{self.hosts.current} could not join {self._missing()} in {self.settings.wait_s:.0f} s"
            self._decide(Outcome(1, f"{reach}, port {self.settings.port}"))

    def _has_parted(self, supervisor: Supervisor) -> bool:
        if self.verdict is None and not self._welcomed and supervisor.stop_requested and self.outcome:
            self._decide(self.outcome)  # the platform is in a hurry
        return self.verdict is not None
