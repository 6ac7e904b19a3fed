"""Who comes to the first host's port: strangers learn nothing and end nothing, hosts prove that they know the job, and
even a host that has joined cannot crash the first one. Without processes, on this machine's loopback."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.failure import JobError
from byo_container.container.job import Hosts, TrainingJob
from byo_container.container.process.supervisor import Supervisor
from byo_container.training.cluster import protocol
from byo_container.training.cluster.connection import UNKNOWN_LINE_LENGTH, Link
from byo_container.training.cluster.handshake import JobIdentity, make_nonce
from byo_container.training.cluster.listener import STRANGER_S
from byo_container.training.cluster.members import Master
from byo_container.training.cluster.protocol import Challenge, Hello, Message, MessageError, encode, parse
from byo_container.training.cluster.session import Settings
from byo_container.training.ports import Ports
from byo_container.training.processes.rank import Ranks
from tests.support.processes import wait_until
from tests.training.support.jobs import job

LOCAL = "127.0.0.1"
MINE: dict[str, Any] = {"sagemaker_job_name": "mine", "lr": "1"}
IDENTITY = JobIdentity.of(job(3, **MINE), {})


class Client:
    """A connection to the first host's port, and what came over it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOCAL, port))
        self.socket.setblocking(False)
        self.heard = b""
        self.is_closed = False

    def read(self) -> bytes:
        try:
            while data := self.socket.recv(65536):
                self.heard += data
            self.is_closed = True
        except BlockingIOError:
            pass
        except OSError:
            self.is_closed = True
        return self.heard

    def messages(self) -> list[Message]:
        return [parse(line) for line in self.read().splitlines()]

    def send(self, data: bytes) -> None:
        """Everything, or as much as the first host lets us."""
        try:
            self.socket.setblocking(True)
            self.socket.settimeout(0.2)
            self.socket.sendall(data)
        except OSError:
            pass
        finally:
            self.socket.setblocking(False)


class Loop(Supervisor):
    """A supervisor that waits for connections only: signals and children here are pytest's."""

    def _reap(self) -> None:
        pass


class FirstHost:
    """The first of three hosts, which waits for the others."""

    def __init__(self, scratch: Path) -> None:
        self.master, self.port = _listening(scratch)
        self.master._names.unknown.clear()  # no process needs to look them up
        self.supervisor = Loop()
        self.clients: list[Client] = []
        self.master.attend(self.supervisor)

    def until(self, true: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 20
        while not true():
            assert time.monotonic() < deadline, f"waited 20 s for {what}"
            self.supervisor.poll(0.02)

    def client(self) -> Client:
        client = Client(self.port)
        self.clients.append(client)
        return client

    def challenged(self) -> tuple[Client, str]:
        """A connection, and the nonce that it got."""
        client = self.client()
        self.until(lambda: b"\n" in client.read(), "a challenge")
        (challenge,) = client.messages()
        assert isinstance(challenge, Challenge)
        return client, challenge.nonce

    def joined(self, host: str = "algo-2") -> Client:
        client, challenge = self.challenged()
        client.send(encode(hello(host, challenge)))
        assert isinstance(self.answer(client), protocol.Welcome)
        return client

    def answer(self, client: Client) -> Message:
        """What comes after the challenge."""
        self.until(lambda: len(client.messages()) > 1, "an answer")
        return client.messages()[1]


def _listening(scratch: Path) -> tuple[Master, int]:
    for port in range(31_000, 32_000):
        try:
            hosts = Hosts("algo-1", IDENTITY.hosts)
            return Master(hosts, IDENTITY, Settings(Ports.starting_at(port)), Ranks(scratch)), port
        except JobError:
            continue
    raise AssertionError("no port is free")


def hello(host: str, challenge: str, identity: JobIdentity = IDENTITY) -> Hello:
    nonce = make_nonce()
    return Hello(host, nonce, identity.prove("other host", host, challenge, nonce))


@pytest.fixture
def first(tmp_path: Path) -> Iterator[FirstHost]:
    host = FirstHost(tmp_path)
    yield host
    host.supervisor._selector.close()
    host.master._listener.socket.close()
    for link in (*host.master._links, *host.master._listener.strangers):
        link.close()
    for client in host.clients:
        client.socket.close()


STRANGE = [
    b"[" * 100_000 + b"\n",
    b'{"a":' * 190 + b"\n",
    b"x" * 5_000_000 + b"\n",
    b"GET / HTTP/1.1\r\nHost: algo-1\r\n\r\n",
    b'{"kind": "outcome"}\n',
    b'{"kind": "outcome", "status": 1, "text": "x"}\n',
    b'{"kind": "hello", "host": "algo-2", "job": "mine"}\n',
    b'{"kind": []}\n',
    b"[]\n{}\nnull\n\xff\n",
    b"\n" * 1000,
]


@pytest.mark.parametrize("words", STRANGE, ids=lambda words: repr(words[:24]))
def test_a_stranger_is_turned_away_and_told_nothing(first: FirstHost, words: bytes) -> None:
    client, _ = first.challenged()
    client.send(words)
    first.until(lambda: client.read() is not None and client.is_closed, "the end of the connection")
    assert len(client.messages()) == 1, "nothing but the challenge"
    assert (first.master.grace_s, first.master._joined) == (None, {})
    first.joined()


def test_a_stranger_has_five_seconds_whatever_it_says(first: FirstHost) -> None:
    client, _ = first.challenged()
    (link,) = first.master._listener.strangers
    first.master._attend_strangers(link.opened_at + STRANGER_S - 0.1)
    assert link.open
    client.send(encode(protocol.Heartbeat()))
    first.until(lambda: link.heard_at > link.opened_at, "the heartbeat")
    first.master._attend_strangers(link.opened_at + STRANGER_S + 0.1)
    assert not link.open
    assert first.master._listener.strangers == []


def test_the_oldest_stranger_makes_room(first: FirstHost) -> None:
    clients = [first.client() for _ in range(200)]
    first.until(lambda: [client.read() for client in clients] and clients[-1].heard, "all to be accepted")
    most = first.master._listener.most()
    assert most == 64 + 3
    assert len(first.master._listener.strangers) == most
    first.until(lambda: sum(client.read() != b"-" and client.is_closed for client in clients) == 200 - most, "the end")
    assert not any(client.is_closed for client in clients[-most:])
    first.joined()


def test_that_there_are_no_files_left_means_not_now(first: FirstHost) -> None:
    held = first.challenged()[0]
    waiting = first.client()
    with no_files():
        first.until(lambda: first.master._listener.paused_at, "the pause")
        first.until(lambda: held.read() and held.is_closed, "the file of a stranger")
    first.until(waiting.read, "the challenge of the one that had to wait")
    first.joined()


@contextlib.contextmanager
def no_files() -> Iterator[None]:
    """This process has all the files open that it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(IDENTITY, name="yours"),
        dataclasses.replace(IDENTITY, arn="arn:aws:sagemaker:eu-west-1:1:training-job/mine"),
        dataclasses.replace(IDENTITY, hosts=("algo-1", "algo-2")),
        JobIdentity.of(job(3, **MINE, more="1"), {}),
    ],
    ids=["name", "arn", "hosts", "hyperparameters"],
)
def test_a_host_of_another_job_is_refused_without_a_reason(first: FirstHost, other: JobIdentity) -> None:
    client, challenge = first.challenged()
    client.send(encode(hello("algo-2", challenge, other)))
    assert first.answer(client) == protocol.Refused()
    assert "mine" not in client.heard.decode()
    assert "algo" not in client.heard.decode()
    assert first.master._hint() == (
        "; algo-2 came and was refused, because the job's name, ARN, hosts, hyperparameters or channels differ "
        "between the two"
    )


def test_what_was_heard_on_the_network_cannot_be_used_again(first: FirstHost) -> None:
    client, challenge = first.challenged()
    proof = encode(hello("algo-2", challenge))
    client.send(proof)
    first.until(lambda: first.master._joined, "algo-2")
    again, _ = first.challenged()
    again.send(proof.replace(b"algo-2", b"algo-3"))
    again.send(proof)
    first.until(lambda: again.read() and again.is_closed, "the end of the second")
    assert again.messages()[1:] == [protocol.Refused()]
    assert set(first.master._joined) == {"algo-2"}


def test_a_host_joins_once_and_only_by_a_name_of_the_job(first: FirstHost) -> None:
    first.joined("algo-2")
    for host in ("algo-2", "algo-1", "algo-9"):
        client, challenge = first.challenged()
        client.send(encode(hello(host, challenge)))
        assert first.answer(client) == protocol.Refused()
    first.joined("algo-3")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (b'{"kind": "outcome"}\n', "a message 'outcome' without the fields"),
        (b'{"kind": "outcome", "status": "x", "text": ""}\n', "status is not a number from 0 to 255"),
        (b'{"kind": "ready", "offer": [1]}\n', "offer is not an object of texts"),
        (b"[" * 100_000 + b"\n", "no JSON"),
        (b"x" * 2_000_000, "a line of more than 1048576 bytes"),
        (encode(protocol.Verdict(0, "")), "'verdict', which only the first host may say"),
    ],
)
def test_a_host_that_sends_what_is_no_message_is_lost(first: FirstHost, words: bytes, said: str) -> None:
    client = first.joined()
    for start in range(0, len(words), 100_000):  # the first host must read while we write
        client.send(words[start : start + 100_000])
        first.supervisor.poll(0.01)
    first.until(lambda: first.master._failing, "the failure")
    text = first.master._failing["algo-2"]
    assert text.startswith("algo-2 was lost: it sent ")
    assert said in text


def test_a_host_may_say_more_than_a_stranger(first: FirstHost) -> None:
    client = first.joined()
    client.send(encode(protocol.Outcome(1, "x" * 60_000)))
    first.until(lambda: "algo-2" in first.master._outcomes, "the outcome")
    assert first.master._outcomes["algo-2"].text == "x" * 60_000


def test_a_line_is_long_only_by_whose_it_is() -> None:
    with socket.create_server((LOCAL, 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        link = Link(listener.accept()[0], LOCAL)
    with theirs:
        theirs.setblocking(True)
        theirs.sendall(encode(protocol.End("x" * UNKNOWN_LINE_LENGTH)) * 2)
        link.identify("algo-1")
        heard: list[Message] = []
        while len(heard) < 2:
            heard += link.receive()
        link._line_length = UNKNOWN_LINE_LENGTH
        theirs.sendall(b"x" * (UNKNOWN_LINE_LENGTH + 1))
        with pytest.raises(MessageError, match="more than 1024 bytes"):
            wait_until(lambda: list(link.receive()), "the line")
    link.close()


def test_an_identity_is_the_same_on_all_hosts_of_a_job() -> None:
    groups = {"cpus": ["algo-1"], "gpus": ["algo-2", "algo-3"]}
    told = [job(3, number, groups, **MINE) for number in (1, 2, 3)]
    told = [
        dataclasses.replace(one, raw={"inputdataconfig": {f"of-host-{number}": {}}}) for number, one in enumerate(told)
    ]
    assert len({JobIdentity.of(one, {}) for one in told}) == 1, "a channel may be meant for one group only"
    of_one_group = [job(2, number, **MINE) for number in (1, 2)]
    assert len({JobIdentity.of(one, {}) for one in of_one_group}) == 1


def test_an_identity_differs_between_jobs() -> None:
    plain = job(2, **MINE)
    jobs: list[TrainingJob[Any]] = [
        plain,
        job(3, **MINE),
        dataclasses.replace(plain, texts={"lr": "2"}),
        dataclasses.replace(plain, handler_name="news"),
        dataclasses.replace(plain, raw={"inputdataconfig": {"train": {}}}),
    ]
    identities = {JobIdentity.of(one, {}) for one in jobs}
    identities.add(JobIdentity.of(plain, {"TRAINING_JOB_ARN": "arn:1"}))
    assert len({identity.prove("other host", "algo-2", "1", "2") for identity in identities}) == len(jobs) + 1


def test_a_proof_is_good_for_one_role_host_and_conversation_only() -> None:
    proofs = {
        IDENTITY.prove("other host", "algo-2", "1", "2"),
        IDENTITY.prove("first host", "algo-2", "1", "2"),
        IDENTITY.prove("other host", "algo-3", "1", "2"),
        IDENTITY.prove("other host", "algo-2", "2", "1"),
        IDENTITY.prove("other host", "algo-2", "12", ""),
    }
    assert len(proofs) == 5


def test_an_identity_is_told_without_its_hyperparameters() -> None:
    assert str(IDENTITY).startswith("job 'mine', hosts algo-1, algo-2, algo-3, hyperparameters ")
    assert IDENTITY.hyperparameters not in str(IDENTITY)
