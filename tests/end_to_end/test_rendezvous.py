"""The rendezvous of several hosts, and how it fails."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.support.hosts import Host, make_hosts
from tests.support.processes import wait_until
from tests.support.tree import TRAIN

CODE = {"train.py": "print('trained')"}


def test_rendezvous_timeout_names_the_missing_host(tmp_path: Path) -> None:
    with make_hosts(3, tmp_path, code=CODE) as hosts:
        hosts.start({3: 60}, TRAINING_PEERS_WAIT="2")
        for host in hosts.all[:2]:
            assert host.process
            host.process.wait(15)
            assert host.failure.startswith("algo-3 did not join in 2 s")
            assert "trained" not in host.log


def waits(host: Host) -> bool:
    return "waiting for algo-" in host.log


def test_sigterm_ends_the_rendezvous(tmp_path: Path) -> None:
    with make_hosts(2, tmp_path, code=CODE) as hosts:
        for host in hosts.all:
            other = 3 - int(host.name[-1])
            host.start()
            wait_until(partial(waits, host), "the waiting")
            host.terminate()
            assert host.process
            assert host.process.wait(30) == 143
            said = f"stopped by SIGTERM before it had finished: while waiting for algo-{other}"
            assert said in host.failure


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("late", [0, 3])
def test_a_host_that_fails_before_training_ends_the_others_at_once(tmp_path: Path, number: int, late: float) -> None:
    with make_hosts(2, tmp_path, code=CODE) as hosts:
        (hosts[number].tree.paths.code / "train.py").unlink()
        hosts.start({3 - number: late}, SAGEMAKER_PROGRAM="train.py")
        assert hosts.wait(late + 30) == [1, 1]
        for host in hosts.all:
            assert host.failure.startswith(f"algo-{number}: the program 'train.py' is not in "), host.log
            assert "trained" not in host.log


def test_a_requirement_that_fails_on_one_host_ends_the_others(tmp_path: Path) -> None:
    with make_hosts(2, tmp_path, code=CODE) as hosts:
        (hosts[2].tree.paths.code / "requirements.txt").write_text("there-is-no-such-package\n")
        hosts.start(PIP_NO_INDEX="1")
        assert hosts.wait(20) == [1, 1]
        for host in hosts.all:
            assert host.failure.startswith("algo-2: pip install -r requirements.txt"), host.log


def test_hosts_of_another_job_are_rejected(tmp_path: Path) -> None:
    with make_hosts(2, tmp_path, code=CODE) as hosts:
        hosts[1].start(TRAINING_JOB_NAME="mine", TRAINING_PEERS_PORT="7000", TRAINING_PEERS_WAIT="4")
        hosts[2].start(TRAINING_JOB_NAME="yours", TRAINING_PEERS_PORT="7000", TRAINING_PEERS_WAIT="4")
        assert hosts.wait(20) == [1, 1]
        differ = "the job's name, ARN, hosts, hyperparameters or channels differ between the two"
        assert hosts[2].failure.startswith(f"algo-2 was not accepted by algo-1, port 7000: {differ}, or another algo-2")
        assert "here it is job 'yours', hosts algo-1, algo-2" in hosts[2].failure
        assert hosts[1].failure.startswith(f"algo-2 did not join in 4 s; algo-2 came and was refused, because {differ}")
        assert "here it is job 'mine', hosts algo-1, algo-2" in hosts[1].log
        assert "mine" not in hosts[2].log


def test_hosts_with_different_hyperparameters_are_rejected(tmp_path: Path) -> None:
    with make_hosts(2, tmp_path, code=CODE) as hosts:
        hosts[2].tree.paths.hyperparameters.write_text('{"lr": "2"}')
        hosts.start(TRAINING_PEERS_WAIT="3")
        assert hosts.wait(20) == [1, 1]
        assert "hyperparameters or channels differ between the two" in hosts[2].failure
        assert "trained" not in hosts[1].log


def test_port_in_use_is_reported(tmp_path: Path) -> None:
    with make_hosts(2, tmp_path, code=CODE) as hosts:
        occupy = "python3 -m http.server 7000 & sleep 1; exec $0"
        hosts[1].start("sh", "-c", occupy, str(TRAIN), TRAINING_PEERS_PORT="7000")
        assert hosts[1].process
        assert hosts[1].process.wait(10) == 1
        assert "cannot listen on port 7000 for the other hosts: Address already in use" in hosts[1].failure


def test_missing_network_interface_is_replaced(tmp_path: Path) -> None:
    code = {"train.py": "import os; print('by', os.environ['GLOO_SOCKET_IFNAME'])"}
    with make_hosts(2, tmp_path, interface="ethwe", code=code) as hosts:
        hosts.start()
        assert hosts.wait(20) == [0, 0]
        assert "by eth0" in hosts[2].log


def test_handler_without_a_launcher_is_rejected_on_several_hosts(tmp_path: Path) -> None:
    code = {"mine.py": "class Mine:\n    def train(self, job): print('trained')"}
    with make_hosts(2, tmp_path, code=code, hyperparameters={"model_handler": "mine:Mine"}) as hosts:
        hosts.start()
        assert hosts.wait(20) == [1, 1]
        assert "mine:Mine was given 2 hosts and the launcher single" in hosts[1].failure
        assert "trained" not in hosts[1].log
