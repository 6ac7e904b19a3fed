"""Which rows each worker trains on, and in how many steps."""

from __future__ import annotations

from typing import Any

import pytest

from byo_container.training.tf.epoch_plan import INFINITE, UNKNOWN, WorkerData, plan_epoch

OWN = "channel training is ShardedByS3Key"
NAMES = ["algo-1", "algo-2"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # The same data: Keras and TensorFlow have it right.
        ({"batches": 8}, {"batches": 8}, ("", None)),
        ({"batches": UNKNOWN}, {"batches": UNKNOWN}, ("", None)),
        ({"batches": 8, "steps": 3}, {"batches": 8, "steps": 3}, ("", None)),
        # Data of its own: each batch is a batch of both hosts, and a host takes half of it in a step.
        ({"batches": 8, "own_data": OWN}, {"batches": 8, "own_data": OWN}, (OWN, 16)),
        ({"batches": 8, "own_data": OWN}, {"batches": 3}, (OWN, 16)),
        ({"batches": 8, "own_data": OWN, "steps": 3}, {"batches": 8, "own_data": OWN, "steps": 3}, (OWN, 3)),
        ({"batches": 8, "own_data": OWN, "steps": 3}, {"batches": 8, "own_data": OWN, "steps": 5}, (OWN, 5)),
        (
            {"batches": INFINITE, "own_data": OWN, "steps": 3},
            {"batches": INFINITE, "own_data": OWN, "steps": 5},
            (OWN, 5),
        ),
        ({"batches": UNKNOWN, "own_data": OWN}, {"batches": UNKNOWN, "own_data": OWN}, (OWN, None)),
        (
            {"batches": UNKNOWN, "own_data": OWN, "steps": 3},
            {"batches": UNKNOWN, "own_data": OWN, "steps": 3},
            (OWN, 3),
        ),
        ({"batches": INFINITE, "own_data": OWN}, {"batches": INFINITE, "own_data": OWN}, (OWN, None)),
        # Different numbers say that the data differ.
        ({"batches": 8}, {"batches": 3}, ("the hosts have different numbers of batches", 16)),
        ({"batches": 8, "steps": 3}, {"batches": 8, "steps": 5}, ("", 5)),
        # The script has decided.
        (
            {"batches": 8, "own_data": OWN, "sharding_is_set": True},
            {"batches": 8, "own_data": OWN, "sharding_is_set": True},
            ("", None),
        ),
        (
            {"batches": 8, "own_data": OWN, "sharding_is_set": True},
            {"batches": 3, "own_data": OWN, "sharding_is_set": True},
            ("", 8),
        ),
    ],
)
def test_epoch_plan(first: Any, second: Any, expected: Any) -> None:
    planned = plan_epoch([WorkerData(**first), WorkerData(**second)], NAMES)
    assert (planned.own_data, planned.steps) == expected


def test_note_about_repeated_batches() -> None:
    unequal = plan_epoch([WorkerData(8, own_data=OWN), WorkerData(3, own_data=OWN)], NAMES)
    assert unequal.note.startswith("algo-1 8, algo-2 3: an epoch has 16 steps on all hosts")
    assert not plan_epoch([WorkerData(8, own_data=OWN), WorkerData(8, own_data=OWN)], NAMES).note


def test_host_without_data_is_rejected() -> None:
    with pytest.raises(ValueError, match="a host has no data to train on: algo-1 8, algo-2 0; give every host"):
        plan_epoch([WorkerData(8, own_data=OWN), WorkerData(0, own_data=OWN)], NAMES)


def test_unknown_number_of_batches_needs_steps() -> None:
    with pytest.raises(
        ValueError, match="trained on together: algo-1 8, algo-2 an unknown number; give steps_per_epoch"
    ):
        plan_epoch([WorkerData(8, own_data=OWN), WorkerData(UNKNOWN, own_data=OWN)], NAMES)
    assert plan_epoch([WorkerData(8, 3, OWN), WorkerData(UNKNOWN, 3, OWN)], NAMES).steps == 3
