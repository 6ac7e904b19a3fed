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
import functools
import json
import math
import os
import socket
import threading
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from container import hyperparameters as hp
from container.failure import STOPPED_STATUS, JobError, JobStopped, is_consequence, write_failure
from container.job import Hosts, TrainingJob
from container.log import log
from container.process import Supervisor
from training.rank import Ranks

Message = dict[str, Any]
Offers = dict[str, Message]

BEAT_S = 1.0
TELL_WAITING_S = 15.0
# From the loss of a host: 5 s until it is noticed, 2 s for our processes to end after SIGTERM, 0.5 s after SIGKILL,
# 2 s at most to hear what the others have to say. Together they stay below 10 s.
END_GRACE_S = 2.0
OUTCOMES_S = 4.0
FAREWELL_S = 60.0  # for hosts that come late to be told of a failure,
HURRIED_FAREWELL_S = 3.0  # and the same after SIGTERM
TEXT_LENGTH = 8000
LINE_LENGTH = 1 << 20


@dataclass(frozen=True)
class Settings:
    """`port` is the master's; `wait_s` how long to wait for all to join; `silence_s` after which one is lost."""

    port: int
    wait_s: float = 900.0
    silence_s: float = 5.0
    stop_grace_s: float = 118.0


@dataclass(frozen=True)
class Outcome:
    """What became of a host, or of all: an exit status and, where it is not 0, the reason with the host's name."""

    status: int
    text: str = ""


def base_port(job_name: str) -> int:
    """The first of the eight ports of a job, which differ between jobs that share their hosts' network. They lie
    below those that the kernel hands out."""
    return 10_000 + 8 * (zlib.crc32(job_name.encode()) % 2_500)


def name_of(job: TrainingJob[Any]) -> str:
    """What tells a job from others on the same network."""
    name = job.platform.get("sagemaker_job_name") or os.environ.get("TRAINING_JOB_NAME")
    return str(name or ",".join(job.hosts.all))


def read_settings(job: TrainingJob[Any], stop_grace_s: float, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings from TRAINING_PEERS_PORT, _WAIT and _SILENCE. Raises JobError."""

    def number(name: str, default: float, low: float, high: float) -> float:
        text = environ.get(name) or str(default)
        try:
            return float(hp.convert(text, Annotated[float, hp.Range(low, high)]))
        except ValueError as error:
            raise JobError(f"the environment variable {name} is {text!r}; it must be {error}") from None

    return Settings(
        port=int(number("TRAINING_PEERS_PORT", base_port(name_of(job)), 1, 65_535)),
        wait_s=number("TRAINING_PEERS_WAIT", 900, 0, 86_400),
        silence_s=number("TRAINING_PEERS_SILENCE", 5, 2, 3600),
        stop_grace_s=stop_grace_s,
    )


def company_of(job: TrainingJob[Any], ranks: Ranks, stop_grace_s: float) -> Company:
    """This host's part in the company of all hosts of a job; `ranks` are those that it will have. Raises JobError."""
    settings = read_settings(job, stop_grace_s)
    if len(job.hosts.all) == 1:
        return Company(job.hosts, "", settings, ranks)
    kind = Master if job.hosts.is_master else Worker
    return kind(job.hosts, name_of(job), settings, ranks)


class Link:
    """One connection, read and written without ever waiting."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.host = ""
        self.heard_at = time.monotonic()
        self.open = True
        self._in = b""
        self._out = b""
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, **message: Any) -> None:
        self._out += json.dumps(message).encode() + b"\n"
        self.flush()

    def flush(self) -> bool:
        """Writes what the kernel takes now; says whether that was all."""
        try:
            while self._out and self.open:
                self._out = self._out[self.socket.send(self._out) :]
        except BlockingIOError:
            return False
        except OSError:
            self._out = b""  # reading will show the end of the connection
        return True

    def receive(self) -> list[Message]:
        """The messages that have come. At the end of the connection `open` is False."""
        try:
            while self.open:
                data = self.socket.recv(65536)
                self._in += data
                if not data or len(self._in) > LINE_LENGTH:
                    self.close()
        except BlockingIOError:
            pass
        except OSError:
            self.close()
        *lines, self._in = self._in.split(b"\n")
        self.heard_at = time.monotonic()
        try:
            messages = [json.loads(line) for line in lines]
        except ValueError:  # a stranger: nobody of ours
            self.close()
            return []
        return [message for message in messages if isinstance(message, dict) and message]

    def close(self) -> None:
        self.open = False
        self.socket.close()


class Names:
    """Which hosts' names resolve. A thread asks, because asking may block for longer than a heartbeat may fail to
    come; it ends as soon as all are known."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self.unknown = set(hosts)
        threading.Thread(target=self._ask, args=(hosts,), daemon=True).start()

    def _ask(self, hosts: Sequence[str]) -> None:
        while self.unknown:
            for host in hosts:
                if host in self.unknown:
                    with contextlib.suppress(OSError, UnicodeError):
                        socket.getaddrinfo(host, None)
                        self.unknown.discard(host)
            time.sleep(0.2)


class Company:
    """This host among the others: here the whole of it, for a host that is alone. Used in this order:

    offers = company.gather({}, supervisor)   # all are ready; None where it will never come to that
    status = company.part(status, failure)    # the result of all
    """

    def __init__(self, hosts: Hosts, job: str, settings: Settings, ranks: Ranks) -> None:
        self.hosts = hosts
        self.job = job
        self.settings = settings
        self.ranks = ranks
        self.began_at = time.monotonic()
        self.grace_s: float | None = None
        self.outcome: Outcome | None = None
        """Of this host."""
        self.verdict: Outcome | None = None
        self.offer: Message | None = None
        self.offers: Offers | None = None
        self.stopped_at = math.inf
        self.stopped_by = ""
        self.parting_at = math.inf
        self._farewell_s = FAREWELL_S
        self._supervisor: Supervisor | None = None
        self._links: list[Link] = []
        self._beat_at = 0.0
        self._told_at = self.began_at - TELL_WAITING_S + 3
        self._names: Names | None = None

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
        self._names = self._names or Names(self.hosts.all)
        for link in self._links:
            self._watch(link)

    def gather(self, offer: Message, supervisor: Supervisor) -> Offers | None:
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

    def part(self, status: int, failure: Path) -> int:
        """Tells the other hosts what became of this one, waits for the result of all, and returns its status. The
        file `failure`, which says why this host failed, says afterwards why all did."""
        if self.is_alone:
            return status
        self.parting_at = time.monotonic()
        self._farewell_s = HURRIED_FAREWELL_S if status == STOPPED_STATUS else FAREWELL_S
        if self.verdict is None and not (self.outcome and self.outcome.status):
            self._conclude(Outcome(status, self._own_text(status, failure)))
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

    def _own_text(self, status: int, failure: Path) -> str:
        if status == 0:
            return ""
        try:
            text = failure.read_text(encoding="utf-8").strip()
        except OSError:
            text = f"ended with status {status}"
        return f"{self.hosts.current}{',' if text.startswith('rank ') else ':'} {text}"[:TEXT_LENGTH]

    def _watch(self, link: Link) -> None:
        if self._supervisor and link.open:
            self._supervisor.watch(link.socket.fileno(), functools.partial(self._receive, link))

    def _receive(self, link: Link) -> None:
        descriptor = link.socket.fileno()
        for message in link.receive():
            self._hear(link, message)
        if not link.open:
            self._drop(link, descriptor)

    def _drop(self, link: Link, descriptor: int) -> None:
        link.close()
        if self._supervisor:
            self._supervisor.unwatch(descriptor)
        if link in self._links:
            self._links.remove(link)
            self._lose(link, "its connection closed before the job had ended, so it, or its process 1, was killed")

    def _tick(self) -> None:
        now = time.monotonic()
        stop_came = self._supervisor and self._supervisor.stop_requested and self.stopped_at == math.inf
        if stop_came and self.offers is not None and self.verdict is None:
            self._stop(self.hosts.current)
        if self.grace_s is None and self.stopped_at == math.inf:
            failed = self.ranks.failure()
            if failed:
                self._fail(f"{self.hosts.current}, {failed[1]}")
        if now - self._beat_at >= BEAT_S:
            self._beat_at = now
            for link in self._links:
                link.send()
        for link in list(self._links):
            link.flush()
            if now - link.heard_at > self.settings.silence_s:
                self._silent(link)
        self._advance(now)

    def _silent(self, link: Link) -> None:
        descriptor = link.socket.fileno()
        self._links.remove(link)
        self._drop(link, descriptor)
        silence = f"nothing was heard from it for {self.settings.silence_s:.0f} s"
        self._lose(link, f"{silence}, so it hangs, or is down, or its network is cut")

    def _tell(self, **message: Any) -> None:
        for link in list(self._links):
            link.send(**message)

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
                self._supervisor.stop_requested = True
            self.ranks.stop()

    def _tell_waiting(self, now: float, missing: str) -> None:
        if now - self._told_at >= TELL_WAITING_S:
            self._told_at = now
            left = self.settings.wait_s - (now - self.began_at)
            log.info("waiting for %s; %.0f s are left", missing, max(0.0, left))

    def _may_start(self, now: float) -> bool:
        """Whether this host is ready and knows all names; that it never learns one is a failure."""
        assert self._names
        unknown = sorted(self._names.unknown)
        if unknown and now - self.began_at > self.settings.wait_s:
            text = f"{self.hosts.current}: the name {unknown[0]} does not resolve"
            self._conclude(Outcome(1, f"{text} after {self.settings.wait_s:.0f} s"))
        return self.offer is not None and not unknown

    def _unresolved(self, host: str) -> str:
        unknown = self._names.unknown if self._names else ()
        return f"{host} (its name does not resolve)" if host in unknown else host

    # What they do each in its own way.

    def _missing(self) -> str:
        """The hosts that have not joined, for people."""
        return ""

    def _conclude(self, outcome: Outcome) -> None:
        """Takes down what became of this host."""

    def _has_parted(self, supervisor: Supervisor) -> bool:
        return True

    def _hear(self, link: Link, message: Message) -> None:
        """A message that came."""

    def _lose(self, link: Link, how: str) -> None:
        """A host that was lost."""

    def _stop(self, host: str) -> None:
        """SIGTERM that came to `host`, this one or another."""
        self._stopped(host)
        self._tell(kind="stop", host=host)

    def _fail(self, text: str) -> None:
        """A rank that failed here, while its launcher has not noticed yet."""
        self._end(text)
        self._tell(kind="failing", text=text)

    def _advance(self, now: float) -> None:
        """What is due at a time, without any message."""


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
