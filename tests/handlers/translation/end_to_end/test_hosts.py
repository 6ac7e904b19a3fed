"""Training on several hosts that share no file system."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.handlers.translation.checkpoints import load_checkpoint, parameters_of, updates_of
from tests.handlers.translation.support import MODEL, SMALL, TRANSFORMER, metrics
from tests.support.hosts import Hosts, make_hosts
from tests.support.processes import wait_until

AT_MOST_S = 500  # on a machine that does ten other things
CHANGED = {"train.de": "Haus\n" * 50, "train.en": "house\n" * 50}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * AT_MOST_S)]
Make = Callable[..., Hosts]


@pytest.fixture
def make(tmp_path: Path, plain: Path, request: pytest.FixtureRequest) -> Make:
    """Makes hosts with the sample's plain text."""

    def begin(count: int, **hyperparameters: object) -> Hosts:
        files = {path.name: path.read_text(encoding="utf-8") for path in plain.iterdir()}
        settings = {"model_handler": "translation", **{name: str(value) for name, value in hyperparameters.items()}}
        manager = make_hosts(count, tmp_path, channels={"training": files}, hyperparameters=settings)
        hosts = manager.__enter__()
        request.addfinalizer(lambda: manager.__exit__(None, None, None))
        return hosts

    return begin


def figures_of(hosts: Hosts) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((hosts[1].tree.paths.output_data / "summary.json").read_text())
    return found


def parameters_mb(checkpoint: Path) -> float:
    weights = load_checkpoint(checkpoint)["model"].values()
    return float(sum(tensor.numel() * 4 for tensor in weights)) / 1e6


@pytest.mark.skipif(
    not (shutil.which("mpirun") and Path("/usr/sbin/sshd").exists()), reason="Open MPI and sshd are not installed"
)
def test_the_homework(make: Make) -> None:
    """English to German on four hosts under mpirun, training and evaluating in turn."""
    homework = {"arch": "transformer_wmt_en_de", "source_lang": "en", "target_lang": "de", "launcher": "mpi"}
    schedule = {"lr": 0.003, "warmup_updates": 10, "max_tokens": 300, "validate_interval_updates": 5, "log_interval": 2}
    hosts = make(4, **TRANSFORMER | homework | schedule)
    hosts.start()
    assert hosts.wait(AT_MOST_S) == [0, 0, 0, 0], hosts[1].failure + hosts[1].log
    found = metrics("\n".join(line.split(">:", 1)[-1] for line in hosts[1].log.splitlines()))
    assert {"train_loss", "learning_rate", "valid_loss", "valid_bleu", "valid_chrf"} <= set(found)
    assert len(found["valid_loss"]) >= 2
    assert found["valid_loss"][-1] < found["valid_loss"][0]
    figures = figures_of(hosts)
    assert (figures["ranks"], figures["training_lines"]) == (4, 400)
    assert figures["updates"] > 5
    assert 0 < figures["share_waiting_for_the_network"] < 1
    # A host sends its gradients, and passes on those of others.
    weights_mb = parameters_mb(hosts[1].tree.paths.model / "checkpoint.pt")
    assert weights_mb < figures["network_megabytes_sent_per_update"] < 5 * weights_mb
    assert figures["network_megabytes_received"] == pytest.approx(figures["network_megabytes_sent"], rel=0.5)
    assert figures["checkpoint_megabytes"] > 0.1
    assert "checkpoint_last.pt" in figures["checkpoint_files"]
    report = hosts[1].tree.paths.report.read_text()
    assert 'alt="learning_rate"' in report
    assert all(name in report for name in ("fully_trained", "overfitting", "likely_bottleneck", "training_seconds"))
    assert {path.name for path in hosts[1].tree.paths.model.iterdir()} == {*MODEL, "handler.json"}
    for number in (2, 3, 4):
        assert not list(hosts[number].tree.paths.model.iterdir())
        assert not list(hosts[number].tree.paths.checkpoints.glob("*.pt"))


def test_job_resumes_after_a_host_has_died(make: Make) -> None:
    """torchrun without a word from the job; the second run finds checkpoints on the first host alone."""
    hosts = make(2, **{**SMALL, "max_epoch": 8, "save_interval_updates": 5, "eval_bleu": "false", "log_interval": 1})
    hosts.start({2: 5})
    wait_until(lambda: "update 12:" in hosts[1].log, "update 12", AT_MOST_S)
    hosts[2].kill()
    began = time.monotonic()
    assert hosts.wait(60)[0] not in (0, 143)
    assert time.monotonic() - began < 10
    assert "algo-2" in hosts[1].failure
    for host in hosts.all:
        host.ended_at = None
    hosts.start()
    assert hosts.wait(AT_MOST_S) == [0, 0], hosts[1].failure + hosts[1].log
    assert "update 3:" not in hosts[1].log, "it must not begin anew"
    resumed = parameters_of(hosts[1].tree.paths.checkpoints / "checkpoint_last.pt")
    shutil.rmtree(hosts[1].tree.paths.checkpoints)
    for host in hosts.all:
        host.ended_at = None
    hosts.start()
    assert hosts.wait(AT_MOST_S) == [0, 0], hosts[1].failure + hosts[1].log
    assert parameters_of(hosts[1].tree.paths.checkpoints / "checkpoint_last.pt") == resumed


def test_hosts_with_different_text_are_refused(make: Make) -> None:
    hosts = make(2, **SMALL)
    for name, text in CHANGED.items():
        (hosts[2].tree.paths.data / "training" / name).write_text(text)
    hosts.start()
    assert 0 not in hosts.wait(AT_MOST_S)
    for host in hosts.all:
        assert "other training text than rank 0; every host needs all of it" in host.failure


@pytest.mark.parametrize("launcher", ["torchrun", "mpi"])
def test_sigterm_on_one_host_saves_the_work_of_all(make: Make, launcher: str) -> None:
    if launcher == "mpi" and not (shutil.which("mpirun") and Path("/usr/sbin/sshd").exists()):
        pytest.skip("Open MPI and sshd are not installed")
    hosts = make(2, **{**SMALL, "max_epoch": 40, "eval_bleu": "false", "log_interval": 1, "launcher": launcher})
    hosts.start()
    wait_until(lambda: "update 12:" in hosts[1].log, "update 12", AT_MOST_S)
    hosts[2].terminate()
    assert hosts.wait(AT_MOST_S) == [143, 143], hosts[1].failure + hosts[1].log
    assert "SIGTERM came to algo-2" in hosts[1].failure
    updates = updates_of(hosts[1].tree.paths.checkpoints / "checkpoint_last.pt")
    assert updates >= 12
    assert f"after update {updates}; a checkpoint is saved" in hosts[1].failure
