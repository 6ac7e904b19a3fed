"""What a job's figures say in words, and how what training uses is measured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from byo_container.handlers.translation.training import diagnosis, resource_usage
from byo_container.handlers.translation.training.summary import FinishedRun, _used, _validated
from byo_container.handlers.translation.training.throughput import ThroughputMeter


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([], "unknown: 0 validations"),
        ([5, 4, 3], "unknown: 3 validations are too few to tell, 4 would do"),
        ([5, 4, 3, 2], "no: the last 2 of 4 validations lowered the validation loss by 50.0%"),
        ([5, 4, 3, 2.99, 2.98], "nearly: the last 2 of 5 validations lowered the validation loss by 0.7%"),
        ([5, 4, 3, 3.1, 3.0], "yes: the last 2 of 5 validations brought no lower validation loss"),
        ([5, 4, 3, 2.9, 3.0], "no: the last 2 of 5 validations lowered the validation loss by 3.3%"),
        ([9 - i / 10 for i in range(16)], "no: the last 4 of 16 validations"),
    ],
)
def test_fully_trained(losses: list[float], said: str) -> None:
    assert diagnosis.fully_trained(losses).startswith(said)


def validations(valid: list[float], train: list[float]) -> list[dict[str, float]]:
    pairs = zip(valid, train, strict=True)
    return [
        {"update": 100.0 * number, "seconds": 10.0 * number, "loss": loss, "train_loss": fitted}
        for number, (loss, fitted) in enumerate(pairs, 1)
    ]


@pytest.mark.parametrize(
    ("valid", "train", "said"),
    [
        ([5, 4], [5, 4], "unknown: 2"),
        ([5, 4, 3, 2], [5, 4, 3, 1.6], "no: the last validation loss is the least, 25.0% above the training loss"),
        ([5, 4, 3, 2], [5, 4, 3, 2.5], "no: the last validation loss is the least, 20.0% below the training loss"),
        (
            [5, 3, 3.3, 3.6],
            [5, 3, 2, 1],
            "yes: the validation loss ends 20.0% above its least, that of update 200, while the training loss fell "
            "from 3.000 to 1.000",
        ),
        ([5, 3, 3.01, 3.02], [5, 3, 2, 1], "no: the validation loss ends 0.7% above its least"),
        ([5, 3, 3.3, 3.6], [5, 3, 3.1, 3.2], "no: the validation loss ends 20.0% above its least"),
    ],
)
def test_overfitting(valid: list[float], train: list[float], said: str) -> None:
    assert diagnosis.overfitting(validations(valid, train)).startswith(said)


def test_validations_of_older_checkpoints_lack_the_training_loss() -> None:
    older: list[dict[str, float]] = [{"update": 1, "loss": loss} for loss in (5, 3, 4, 6)]
    assert diagnosis.overfitting(older) == "no: the validation loss ends 100.0% above its least, that of update 1"
    assert _validated(FinishedRun(4, 0, 0, [], older))["seconds_to_the_best_checkpoint"] is None


@pytest.mark.parametrize(
    ("network", "data", "gpu", "said"),
    [
        (0.0, 0.0, None, "cpu"),
        (0.4, 0.3, None, "network"),
        (0.2, 0.3, 0.9, "data"),
        (0.1, 0.1, 0.9, "gpu"),
        (0.1, 0.1, 0.3, "cpu"),
    ],
)
def test_the_likely_bottleneck(network: float, data: float, gpu: float | None, said: str) -> None:
    assert diagnosis.bottleneck(network, data, gpu) == said


@pytest.mark.parametrize(
    ("limits", "reached", "said"),
    [
        ({"max_epoch": 6}, {"next_epoch": 8}, "max_epoch 6 is reached; raise it"),
        ({"max_update": 168, "max_epoch": 6}, {"next_epoch": 8}, "max_update 168 is reached; raise it"),
        ({"patience": 3, "max_epoch": 9}, {"without_gain": 3}, "patience 3 is exhausted; raise it"),
        ({"stop_min_lr": 0.1}, {}, "the learning rate, 0.01, is not above stop_min_lr 0.1; lower it"),
    ],
)
def test_reason_why_no_update_was_left(limits: dict[str, float], reached: dict[str, int], said: str) -> None:
    given = {"max_epoch": 0, "max_update": 0, "stop_min_lr": -1.0, "patience": -1, **limits}
    cfg = SimpleNamespace(optimization=SimpleNamespace(**given), checkpoint=SimpleNamespace(**given))
    at: dict[str, Any] = {"updates": 168, "next_epoch": 2, "without_gain": 0, "learning_rate": 0.01, **reached}
    assert diagnosis.why_finished(cfg, **at) == said


def test_best_checkpoint_by_the_chosen_metric() -> None:
    found: list[dict[str, float]] = [
        {"update": 1, "seconds": 11, "loss": 3, "bleu": 20, "chrf": 40},
        {"update": 2, "seconds": 22, "loss": 4, "bleu": 30, "chrf": 50},
    ]
    for metric, seconds, since in (("loss", 11, 1), ("bleu", 22, 0)):
        figures = _validated(FinishedRun(2, 1, 25, [], found, metric))
        assert (figures["seconds_to_the_best_checkpoint"], figures["validations_since_the_best"]) == (seconds, since)


TABLE = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls
    lo:  500 1 0 0 0 0 0 0  500 1 0 0 0 0 0 0
  eth0: 1000 9 0 0 0 0 0 0 2000 8 0 0 0 0 0 0
  eth1:   10 1 0 0 0 0 0 0   20 1 0 0 0 0 0 0
"""


@pytest.mark.parametrize(("name", "counts"), [("eth0", (2000, 1000)), ("lo", (500, 500)), ("ib0", (2020, 1010))])
def test_bytes_on_the_network(tmp_path: Path, name: str, counts: tuple[int, int]) -> None:
    (tmp_path / "dev").write_text(TABLE)
    assert resource_usage.network_bytes(name, tmp_path / "dev") == counts


@pytest.mark.parametrize(
    ("script", "share"),
    [("echo 90; echo 70", 0.8), ("echo '[N/A]'", None), ("exit 9", None), ("true", None)],
)
def test_gpu_utilisation_from_nvidia_smi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, share: float | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert resource_usage.gpu_utilisation() is None
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert resource_usage.gpu_utilisation() == pytest.approx(share)


def test_resource_usage_of_all_ranks() -> None:
    """Two hosts with two ranks each, of which the first counts the host's network."""
    shared: dict[str, Any] = {"updates": 10, "training_s": 100.0, "cores": 2.0, "cpu_s": 150.0, "waiting_s": 30.0}
    network: dict[str, Any] = {"interface": "eth0", "sent_bytes": 40_000_000, "received_bytes": 20_000_000}
    meters = [
        ThroughputMeter(**shared, **network),
        ThroughputMeter(**shared),
        ThroughputMeter(**shared, **network),
        ThroughputMeter(**shared),
    ]
    assert _used(meters) == {
        "cpu_utilisation": 0.75,
        "gpu_utilisation": None,
        "network_megabytes_sent": 40.0,
        "network_megabytes_received": 20.0,
        "network_megabytes_sent_per_update": 4.0,
        "share_waiting_for_the_network": 0.3,
        "share_waiting_for_data": 0.0,
        "likely_bottleneck": "network",
    }


def test_meter_counts_only_time_of_training() -> None:
    meter = ThroughputMeter()
    batches = meter.loading(iter([1, 2]))
    assert next(batches) == 1
    assert meter.loading_s == 0, "training has not begun"
    meter.start()
    assert list(batches) == [2]
    meter.pause()
    assert meter.loading_s > 0
    assert meter.cpu_s > 0
    assert not meter.is_training
