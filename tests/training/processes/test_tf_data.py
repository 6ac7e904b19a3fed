"""Which rows each worker trains on, and in how many steps."""

from __future__ import annotations

from typing import Any

import pytest

from byo_container.training.processes.tf_data import INFINITE, UNKNOWN, Input, plan

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
        ({"batches": 8, "own": OWN}, {"batches": 8, "own": OWN}, (OWN, 16)),
        ({"batches": 8, "own": OWN}, {"batches": 3}, (OWN, 16)),
        ({"batches": 8, "own": OWN, "steps": 3}, {"batches": 8, "own": OWN, "steps": 3}, (OWN, 3)),
        ({"batches": 8, "own": OWN, "steps": 3}, {"batches": 8, "own": OWN, "steps": 5}, (OWN, 5)),
        ({"batches": INFINITE, "own": OWN, "steps": 3}, {"batches": INFINITE, "own": OWN, "steps": 5}, (OWN, 5)),
        ({"batches": UNKNOWN, "own": OWN}, {"batches": UNKNOWN, "own": OWN}, (OWN, None)),
        ({"batches": UNKNOWN, "own": OWN, "steps": 3}, {"batches": UNKNOWN, "own": OWN, "steps": 3}, (OWN, 3)),
        ({"batches": INFINITE, "own": OWN}, {"batches": INFINITE, "own": OWN}, (OWN, None)),
        # Different numbers say that the data differ.
        ({"batches": 8}, {"batches": 3}, ("the hosts have different numbers of batches", 16)),
        ({"batches": 8, "steps": 3}, {"batches": 8, "steps": 5}, ("", 5)),
        # The script has decided.
        ({"batches": 8, "own": OWN, "decided": True}, {"batches": 8, "own": OWN, "decided": True}, ("", None)),
        ({"batches": 8, "own": OWN, "decided": True}, {"batches": 3, "own": OWN, "decided": True}, ("", 8)),
    ],
)
def test_what_all_hosts_do(first: Any, second: Any, expected: Any) -> None:
    planned = plan([Input(**first), Input(**second)], NAMES)
    assert (planned.own, planned.steps) == expected


def test_it_is_said_that_a_host_repeats_its_batches() -> None:
    unequal = plan([Input(8, own=OWN), Input(3, own=OWN)], NAMES)
    assert unequal.note.startswith("algo-1 8, algo-2 3: an epoch has 16 steps on all hosts")
    assert not plan([Input(8, own=OWN), Input(8, own=OWN)], NAMES).note


def test_a_host_without_data_is_named() -> None:
    with pytest.raises(ValueError, match="a host has no data to train on: algo-1 8, algo-2 0; give every host"):
        plan([Input(8, own=OWN), Input(0, own=OWN)], NAMES)


def test_numbers_of_which_one_is_not_known_are_refused() -> None:
    with pytest.raises(
        ValueError, match="trained on together: algo-1 8, algo-2 an unknown number; give steps_per_epoch"
    ):
        plan([Input(8, own=OWN), Input(UNKNOWN, own=OWN)], NAMES)
    assert plan([Input(8, 3, OWN), Input(UNKNOWN, 3, OWN)], NAMES).steps == 3
