"""Several hosts end soon, and with the same correct result, whatever happens to one of them.

Launchers that need no framework; test_frameworks has the others.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from byo_container.container.process.tree import descendants
from tests.support.hosts import Hosts, make_hosts
from tests.support.processes import wait_until

# The promise is 10 s, which docs/several_hosts.md's figures are about; beside other tests on two cores it takes longer.
AT_MOST_S = 30.0
Start = Callable[..., Hosts]

HEAD = """
import os, signal, sys, time
host, out = os.environ["SM_CURRENT_HOST"], os.environ["SM_OUTPUT_DATA_DIR"]

def ready():
    open(out + "/ready", "w").close()
"""
WAITS = HEAD + "ready()\ntime.sleep(60)\n"
FAILS_ON_2 = HEAD + "ready()\ntime.sleep(0.5)\n" + "if host == 'algo-2': {}\ntime.sleep(60)\n"
SAVES = (
    HEAD
    + """
def save(*_):
    time.sleep(1)
    open(out + "/saved", "w").close()
    sys.exit(0)

signal.signal(signal.SIGTERM, save)
ready()
time.sleep(60)
"""
)


@pytest.fixture(params=["single", "mpi"])
def launcher(request: pytest.FixtureRequest) -> str:
    if request.param == "mpi" and not (shutil.which("mpirun") and Path("/usr/sbin/sshd").exists()):
        pytest.skip("mpirun and sshd (Debian: openmpi-bin, openssh-server) are not installed")
    return str(request.param)


@pytest.fixture
def start(tmp_path: Path, launcher: str, request: pytest.FixtureRequest) -> Start:
    """Starts `train` on some hosts, and gives them once the script runs on all."""

    def begin(count: int, script: str, *, delays: dict[int, float] | None = None, **environ: str) -> Hosts:
        content: dict[str, Any] = {"code": {"train.py": script}, "hyperparameters": {"launcher": launcher}}
        manager = make_hosts(count, tmp_path, **content)
        hosts = manager.__enter__()
        request.addfinalizer(lambda: manager.__exit__(None, None, None))
        hosts.start(delays, **environ)
        wait_until(lambda: all((host.tree.paths.output_data / "ready").exists() for host in hosts.all), "the script")
        return hosts

    return begin


def end(hosts: Hosts) -> tuple[list[int], float]:
    """Waits for the end of all; their statuses, and how long it took."""
    began = time.monotonic()
    return hosts.wait(30), time.monotonic() - began


def test_all_succeed_and_end_together(start: Start) -> None:
    hosts = start(2, HEAD + "ready()\ntime.sleep(0 if host == 'algo-1' else 2)")
    statuses, _ = end(hosts)
    assert statuses == [0, 0], hosts[1].log
    assert [host.tree.failure for host in hosts.all] == [None, None]
    ends = [host.ended_at or 0.0 for host in hosts.all]
    assert max(ends) - min(ends) < 1, "who is ready first waits for the others"


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ("sys.exit(3)", 3, "train.py ended with status 3"),
        ("raise ValueError('torn')", 1, "ValueError: torn\n  in File "),
        ("os.kill(os.getpid(), 9)", 137, "train.py was killed by SIGKILL (often: out of memory)"),
    ],
)
def test_failure_of_one_host_ends_all_and_every_host_names_it(
    start: Start, launcher: str, fault: str, status: int, said: str
) -> None:
    hosts = start(2, FAILS_ON_2.format(fault))
    statuses, took = end(hosts)
    assert statuses == [status, status]
    for host in hosts.all:
        assert host.failure.startswith(f"algo-2{', rank 1' if launcher == 'mpi' else ''}: {said}"), host.log
    assert took < AT_MOST_S


@pytest.mark.parametrize("number", [1, 2])
def test_a_host_that_dies_is_named(start: Start, number: int) -> None:
    hosts = start(3, WAITS)
    hosts[number].kill()
    statuses, took = end(hosts)
    assert all(statuses)
    for host in hosts.all:
        if host is not hosts[number]:
            assert host.failure.startswith(f"algo-{number} "), host.log
            assert "was lost: its connection closed before the job had ended" in host.failure
    assert took < AT_MOST_S


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_lost_network_is_named(start: Start, number: int) -> None:
    hosts = start(3, WAITS)
    hosts[number].cut()
    statuses, took = end(hosts)
    assert statuses == [1, 1, 1]
    for host in hosts.all:
        assert "was lost: nothing was heard from it for 5 s" in host.failure
    others = [host for host in hosts.all if host is not hosts[number]]
    assert all(host.failure.startswith(f"algo-{number} ") for host in others)
    assert took < AT_MOST_S


def test_sigterm_on_one_host_lets_all_save(start: Start) -> None:
    hosts = start(2, SAVES)
    hosts[2].terminate()
    statuses, took = end(hosts)
    assert statuses == [0, 0], hosts[1].log
    assert all((host.tree.paths.output_data / "saved").exists() for host in hosts.all)
    assert took < AT_MOST_S


def test_sigterm_ends_scripts_without_stop_handling_on_all_hosts(start: Start) -> None:
    hosts = start(2, WAITS)
    hosts[2].terminate()
    statuses, took = end(hosts)
    assert statuses == [143, 143], hosts[1].log
    for host in hosts.all:
        assert host.failure.startswith("SIGTERM came to algo-2; algo-")
        assert "train.py was killed by SIGTERM" in host.failure
    assert took < AT_MOST_S


def test_sigterm_that_is_ignored_is_followed_by_sigkill(start: Start) -> None:
    hosts = start(2, HEAD + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAITS, TRAINING_STOP_TIMEOUT="1")
    hosts[1].terminate()
    statuses, took = end(hosts)
    assert all(statuses)
    assert took < AT_MOST_S


def test_a_late_host_is_waited_for(start: Start) -> None:
    hosts = start(2, HEAD + "ready()", delays={1: 6})
    assert end(hosts)[0] == [0, 0]
    assert "waiting for algo-1" in hosts[2].log


def test_no_process_is_left_on_any_host(start: Start) -> None:
    script = HEAD + "import subprocess\nsubprocess.Popen(['sleep', '60'], start_new_session=True)\nready()\n"
    hosts = start(2, script + "time.sleep(1)\nsys.exit(3)")
    pids = {host.name: set(descendants(host.process_1)) for host in hosts.all}
    assert all(pids.values())
    end(hosts)
    assert not [pid for host in hosts.all for pid in host.processes()]
