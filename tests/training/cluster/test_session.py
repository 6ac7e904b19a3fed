"""Hosts that share one machine and its network, as plain processes: what needs no root to be tried."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.process.tree import descendants
from tests.support.processes import wait_until
from tests.support.tree import Tree, make_tree

# Two names that lead to this machine everywhere.
NAMES = ["localhost", "127.0.0.1"]
AT_MOST_S = 10.0
HEAD = """
import os, signal, sys, time
host, out = os.environ["SM_CURRENT_HOST"], os.environ["SM_OUTPUT_DATA_DIR"]
open(out + "/ready", "w").close()
names = ["/localhost/", "/127.0.0.1/"]
other = out.replace(*(names if host == "localhost" else reversed(names)))
while not os.path.exists(other + "/ready"):  # else one fails before the other's script has begun
    time.sleep(0.01)
"""
WAITS = HEAD + "time.sleep(60)\n"
WAITS_FOR_A_FILE = HEAD + "while not os.path.exists(out + '/go'):\n    time.sleep(0.01)\n"
Pair = list[subprocess.Popen[str]]
Start = Callable[..., tuple[list[Tree], Pair]]


def free_port() -> int:
    with closing(socket.create_server(("", 0))) as listener:
        return int(listener.getsockname()[1])


def resources_of(name: str) -> dict[str, Any]:
    return {"current_host": name, "hosts": NAMES, "network_interface_name": "lo"}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `train` for two hosts, and waits until the script runs on both."""
    processes: Pair = []

    def begin(script: str, **environ: str) -> tuple[list[Tree], Pair]:
        environ = {"TRAINING_PEERS_PORT": str(free_port()), **environ}
        trees = []
        for name in NAMES:
            tree = make_tree(tmp_path / name, resources=resources_of(name), code={"train.py": script})
            trees.append(tree)
            processes.append(tree.start(**environ))
        wait_until(lambda: all((tree.paths.output_data / "ready").exists() for tree in trees), "the script")
        return trees, processes

    yield begin
    for process in processes:
        if process.poll() is None:
            for pid in [*descendants(process.pid), process.pid]:
                with contextlib.suppress(ProcessLookupError):  # it may end since it was listed
                    os.kill(pid, signal.SIGCONT)
            process.kill()  # of which its supervisor hears
        process.communicate()


def supervisor_of(process: subprocess.Popen[str]) -> int:
    """The only child of process 1, which does its work (container/process/guardian.py)."""
    return next(descendants(process.pid))


def end(trees: list[Tree], processes: Pair) -> tuple[list[int], list[str]]:
    """Statuses and failures, which come soon."""
    began = time.monotonic()
    for process in processes:
        process.wait(30)
    assert time.monotonic() - began < AT_MOST_S
    return [process.returncode for process in processes], [tree.failure or "" for tree in trees]


def test_all_succeed(start: Start) -> None:
    assert end(*start(HEAD)) == ([0, 0], ["", ""])


def test_a_failure_is_the_result_of_all_hosts(start: Start) -> None:
    statuses, failures = end(*start(HEAD + "time.sleep(1 if host == 'localhost' else 60)\nsys.exit(7)"))
    assert statuses == [7, 7]
    assert failures == ["localhost: train.py ended with status 7\n"] * 2


def test_a_lost_connection_is_no_cause_where_there_is_a_better_one(start: Start) -> None:
    """The rank that fails because its partner has gone is often the first to say so."""
    script = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: None)\n" + HEAD
    script += "if host == 'localhost': raise ConnectionError('Connection closed by peer')\n"
    script += "time.sleep(0.5)\nraise ValueError('torn')"
    statuses, failures = end(*start(script))
    assert statuses == [1, 1]
    assert all(failure.startswith("127.0.0.1: ValueError: torn") for failure in failures)


@pytest.mark.parametrize("number", [0, 1])
def test_a_process_1_that_is_killed_is_named_by_the_other(start: Start, number: int) -> None:
    trees, processes = start(WAITS)
    processes[number].kill()
    statuses, failures = end(trees, processes)
    assert statuses[number] == -9
    assert statuses[1 - number] == 1
    assert failures[1 - number].startswith(NAMES[number])
    assert "was lost: its process 1 was killed" in failures[1 - number]


@pytest.mark.parametrize("number", [0, 1])
def test_a_supervisor_that_is_killed_is_named_by_the_other(start: Start, number: int) -> None:
    trees, processes = start(WAITS)
    os.kill(supervisor_of(processes[number]), signal.SIGKILL)
    statuses, failures = end(trees, processes)
    assert statuses[number] == 137
    assert statuses[1 - number] == 1
    assert failures[1 - number].startswith(NAMES[number])
    assert "was lost: its connection closed" in failures[1 - number]


@pytest.mark.parametrize("number", [0, 1])
def test_a_process_1_that_hangs_is_named_by_the_other(start: Start, number: int) -> None:
    trees, processes = start(WAITS, TRAINING_PEERS_SILENCE="2")
    os.kill(supervisor_of(processes[number]), signal.SIGSTOP)
    assert processes[1 - number].wait(AT_MOST_S) == 1
    failure = trees[1 - number].failure or ""
    assert failure.startswith(NAMES[number])
    assert "was lost: nothing was heard from it for 2 s" in failure


def test_sigterm_reaches_all_and_a_second_one_does_no_harm(start: Start) -> None:
    saves = "def save(*_):\n    time.sleep(1)\n    open(out + '/saved', 'w').close()\n    sys.exit(0)\n"
    trees, processes = start(HEAD + saves + "signal.signal(signal.SIGTERM, save)\ntime.sleep(60)")
    time.sleep(0.3)  # from `ready` to the handler
    processes[1].terminate()
    time.sleep(0.3)
    processes[0].terminate()
    assert end(trees, processes)[0] == [0, 0]
    assert all((tree.paths.output_data / "saved").exists() for tree in trees)


def test_no_process_is_left(start: Start) -> None:
    trees, processes = start(HEAD + "import subprocess\nsubprocess.Popen(['sleep', '61'])\ntime.sleep(1)\nsys.exit(1)")
    below = {pid for process in processes for pid in descendants(process.pid)}
    assert below
    end(trees, processes)
    assert not below & set(descendants(os.getpid()))


MALFORMED = (
    b"[" * 100_000 + b"\n",
    b"x" * 5_000_000 + b"\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b'{"kind": "host_result", "status": 1, "text": "x"}\n',
    b"[]\n{}\n\xff\n",
    b"",
)


def send_malformed(port: int) -> None:
    for data in MALFORMED:
        with closing(socket.create_connection(("localhost", port))) as peer, contextlib.suppress(OSError):
            peer.sendall(data)


def test_unidentified_peers_do_no_harm_before_and_while_the_job_runs(tmp_path: Path) -> None:
    """Process 1 may open 64 files, and unidentified peers hold 200 connections."""
    port = free_port()
    trees = [
        make_tree(tmp_path / name, resources=resources_of(name), code={"train.py": WAITS_FOR_A_FILE}) for name in NAMES
    ]
    with contextlib.ExitStack() as held:
        few_files = ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh")
        first = trees[0].start(before=few_files, TRAINING_PEERS_PORT=str(port))
        wait_until(lambda: is_open(port), "the port")
        for _ in range(200):
            held.enter_context(closing(socket.create_connection(("localhost", port))))
        send_malformed(port)
        other = trees[1].start(TRAINING_PEERS_PORT=str(port))
        wait_until(lambda: all((tree.paths.output_data / "ready").exists() for tree in trees), "the script")
        send_malformed(port)
        for tree in trees:
            (tree.paths.output_data / "go").touch()
        ends = [tree.finish(process) for tree, process in zip(trees, (first, other), strict=True)]
    assert [(end.status, end.failure) for end in ends] == [(0, None), (0, None)], ends[0].err
    assert "turned away" in ends[0].err
    assert "Traceback" not in ends[0].err


def is_open(port: int) -> bool:
    with contextlib.suppress(OSError), closing(socket.create_connection(("localhost", port))):
        return True
    return False


def test_a_reason_reaches_the_others_though_the_disk_is_full(
    start: Start, mount: Callable[..., None], tmp_path: Path
) -> None:
    """The failure file is not how it travels: the disk of the host that fails has no room for one."""
    mount(tmp_path / NAMES[1] / "output", "size=64k")
    fill = """
if host == "127.0.0.1":
    try:
        with open(out + "/x", "wb", buffering=0) as stream:
            while True:
                stream.write(b"x" * 4096)
    except OSError:
        raise ValueError("torn") from None
time.sleep(60)
"""
    statuses, failures = end(*start(HEAD + fill))
    assert statuses == [1, 1]
    assert failures[0].startswith("127.0.0.1: ValueError: torn")
    assert failures[1] == "", "there was no room"


def test_what_a_host_says_cannot_write_into_the_terminal(start: Start) -> None:
    script = HEAD + "if host == '127.0.0.1': raise ValueError('a\\x1b[2Jb')\ntime.sleep(60)"
    trees, processes = start(script)
    ends = [tree.finish(process) for tree, process in zip(trees, processes, strict=True)]
    assert [(end.failure or "").startswith("127.0.0.1: ValueError: a\\x1b[2Jb\n") for end in ends] == [True, True]
    assert "\x1b" not in ends[0].err


SLOW_REPORT = """
import sys, time
if "byo_container.training.artifacts.report" in sys.orig_argv:
    time.sleep(5)
"""


def test_a_host_that_takes_its_time_for_the_report_is_not_lost(start: Start, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_REPORT)  # which Python imports whatever it then runs
    script = HEAD + "open(out + '/summary.json', 'w').write('{}')"
    trees, processes = start(script, TRAINING_PEERS_SILENCE="2", PYTHONPATH=str(tmp_path))
    assert end(trees, processes) == ([0, 0], ["", ""])
    assert (trees[0].paths.report).is_file()


WRITES = (
    HEAD
    + """
if host == "127.0.0.1":
    sys.stdout.write("x" * 1_000_000 + "\\n")
    sys.stdout.flush()
time.sleep(1)
"""
)


def test_a_host_whose_log_nobody_reads_for_a_while_is_not_lost(start: Start) -> None:
    trees, processes = start(WRITES, TRAINING_PEERS_SILENCE="2")
    time.sleep(6)  # nobody reads, the pipe is full, and process 1 waits for the reader
    assert [process.poll() for process in processes] == [None, None]
    worker = trees[1].finish(processes[1])  # now somebody does
    assert (worker.status, worker.failure) == (0, None)
    assert len(worker.out) > 1_000_000
    assert trees[0].finish(processes[0]).status == 0
