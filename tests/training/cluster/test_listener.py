"""Connections to the coordinator's port: unidentified peers learn nothing and end nothing, hosts prove that they know
the job, and even a host that has joined cannot crash the coordinator. Without processes, on this machine's loopback."""

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
from byo_container.container.job import Hosts
from byo_container.container.process.supervisor import Supervisor
from byo_container.training.cluster import protocol
from byo_container.training.cluster.coordinator import Coordinator
from byo_container.training.cluster.handshake import JobIdentity, make_nonce
from byo_container.training.cluster.protocol import Challenge, Hello, Message, encode, parse
from byo_container.training.cluster.session import ClusterSession
from byo_container.training.cluster.settings import ClusterSettings
from byo_container.training.ports import Ports
from byo_container.training.processes.rank import Ranks
from tests.training.support.jobs import job

LOCAL = "127.0.0.1"
MINE: dict[str, Any] = {"sagemaker_job_name": "mine", "lr": "1"}
IDENTITY = JobIdentity.of(job(3, **MINE), {})


class Client:
    """A connection to the first host's port, and what came over it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOCAL, port))
        self.socket.setblocking(False)
        self.received = b""
        self.is_closed = False

    def read(self) -> bytes:
        try:
            while data := self.socket.recv(65536):
                self.received += data
            self.is_closed = True
        except BlockingIOError:
            pass
        except OSError:
            self.is_closed = True
        return self.received

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


class First:
    """The coordinator of three hosts, which waits for the others."""

    def __init__(self, scratch: Path) -> None:
        self.session, self.port = _listening(scratch)
        self.session._machine.host.unresolved.clear()  # no process needs to look them up
        assert isinstance(self.session._machine, Coordinator)
        self.coordinator = self.session._machine
        self.supervisor = Loop()
        self.clients: list[Client] = []
        self.session.attend(self.supervisor)

    def unidentified(self) -> list[int]:
        """The connections that have not proved which host they are, the oldest first."""
        return self.coordinator._unidentified()

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
        assert isinstance(self.answer(client), protocol.Accepted)
        return client

    def answer(self, client: Client) -> Message:
        """What comes after the challenge."""
        self.until(lambda: len(client.messages()) > 1, "an answer")
        return client.messages()[1]


def _listening(scratch: Path) -> tuple[ClusterSession, int]:
    for port in range(31_000, 32_000):
        try:
            hosts = Hosts("algo-1", IDENTITY.hosts)
            return ClusterSession(hosts, IDENTITY, ClusterSettings(Ports.starting_at(port)), Ranks(scratch)), port
        except JobError:
            continue
    raise AssertionError("no port is free")


def hello(host: str, challenge: str, identity: JobIdentity = IDENTITY) -> Hello:
    nonce = make_nonce()
    return Hello(host, nonce, identity.prove("other host", host, challenge, nonce))


@pytest.fixture
def first(tmp_path: Path) -> Iterator[First]:
    host = First(tmp_path)
    yield host
    host.supervisor._selector.close()
    assert host.session._listener
    host.session._listener.close()
    for connection in host.session._connections.values():
        connection.close()
    for client in host.clients:
        client.socket.close()


MALFORMED = [
    b"[" * 100_000 + b"\n",
    b'{"a":' * 190 + b"\n",
    b"x" * 5_000_000 + b"\n",
    b"GET / HTTP/1.1\r\nHost: algo-1\r\n\r\n",
    b'{"kind": "host_result"}\n',
    b'{"kind": "host_result", "status": 1, "text": "x"}\n',
    b'{"kind": "hello", "host": "algo-2", "job": "mine"}\n',
    b'{"kind": []}\n',
    b"[]\n{}\nnull\n\xff\n",
    b"\n" * 1000,
]


@pytest.mark.parametrize("data", MALFORMED, ids=lambda data: repr(data[:24]))
def test_unidentified_peer_with_a_malformed_message_is_disconnected(first: First, data: bytes) -> None:
    client, _ = first.challenged()
    client.send(data)
    first.until(lambda: client.read() is not None and client.is_closed, "the end of the connection")
    assert len(client.messages()) == 1, "nothing but the challenge"
    assert (first.session.grace_s, first.coordinator.joined) == (None, set())
    first.joined()


def test_the_oldest_unidentified_peer_makes_room(first: First) -> None:
    clients = [first.client() for _ in range(200)]
    first.until(lambda: [client.read() for client in clients] and clients[-1].received, "all to be accepted")
    most = first.coordinator.max_unidentified
    assert most == 64 + 3
    assert len(first.unidentified()) == most
    first.until(lambda: sum(client.read() != b"-" and client.is_closed for client in clients) == 200 - most, "the end")
    assert not any(client.is_closed for client in clients[-most:])
    first.joined()


def test_connections_wait_while_no_files_are_left(first: First) -> None:
    held = first.challenged()[0]
    waiting = first.client()
    listener = first.session._listener
    assert listener
    with no_files():
        first.until(lambda: listener.is_paused, "the pause")
        first.until(lambda: held.read() and held.is_closed, "the file of an unidentified peer")
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
def test_a_host_of_another_job_is_rejected_without_a_reason(first: First, other: JobIdentity) -> None:
    client, challenge = first.challenged()
    client.send(encode(hello("algo-2", challenge, other)))
    assert first.answer(client) == protocol.Rejected()
    assert "mine" not in client.received.decode()
    assert "algo" not in client.received.decode()
    assert first.coordinator._hint() == (
        "; algo-2 came and was refused, because the job's name, ARN, hosts, hyperparameters or channels differ "
        "between the two"
    )


def test_a_recorded_proof_cannot_be_replayed(first: First) -> None:
    client, challenge = first.challenged()
    proof = encode(hello("algo-2", challenge))
    client.send(proof)
    first.until(lambda: first.coordinator.joined, "algo-2")
    again, _ = first.challenged()
    again.send(proof.replace(b"algo-2", b"algo-3"))
    again.send(proof)
    first.until(lambda: again.read() and again.is_closed, "the end of the second")
    assert again.messages()[1:] == [protocol.Rejected()]
    assert first.coordinator.joined == {"algo-2"}


def test_a_host_joins_once_and_only_by_a_name_of_the_job(first: First) -> None:
    first.joined("algo-2")
    for host in ("algo-2", "algo-1", "algo-9"):
        client, challenge = first.challenged()
        client.send(encode(hello(host, challenge)))
        assert first.answer(client) == protocol.Rejected()
    first.joined("algo-3")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"kind": "host_result"}\n', "a message 'host_result' without the fields"),
        (b'{"kind": "host_result", "status": "x", "text": ""}\n', "status is not a number from 0 to 255"),
        (b'{"kind": "ready", "payload": [1]}\n', "payload is not an object of texts"),
        (b"[" * 100_000 + b"\n", "no JSON"),
        (b"x" * 2_000_000, "a line of more than 1048576 bytes"),
        (encode(protocol.JobResult(0, "")), "'job_result', which only the first host may say"),
    ],
)
def test_a_host_that_sends_a_malformed_message_is_lost(first: First, data: bytes, reason: str) -> None:
    client = first.joined()
    for start in range(0, len(data), 100_000):  # the first host must read while we write
        client.send(data[start : start + 100_000])
        first.supervisor.poll(0.01)
    first.until(lambda: first.coordinator.failures, "the failure")
    text = first.coordinator.failures["algo-2"].text
    assert text.startswith("algo-2 was lost: it sent ")
    assert reason in text


def test_a_host_that_has_joined_may_send_long_messages(first: First) -> None:
    client = first.joined()
    client.send(encode(protocol.HostResult(1, "x" * 60_000)))
    first.until(lambda: "algo-2" in first.coordinator.results, "the result")
    assert first.coordinator.results["algo-2"].text == "x" * 60_000
