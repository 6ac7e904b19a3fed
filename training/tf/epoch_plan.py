"""Decides which rows each worker of MultiWorkerMirroredStrategy trains on, and in how many steps.

By default TensorFlow assumes that all hosts read the same data, and each worker trains on its part of it
(auto-sharding). Where each host has data of its own, that would leave out most rows, so auto-sharding is off there. All
hosts must take the same number of steps, because each step needs all of them. Keras counts the batches on each host
separately, so the workers exchange their counts before an epoch.

https://www.tensorflow.org/tutorials/distribute/input#sharding
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

INFINITE, UNKNOWN = -1, -2
"""The values of tf.data.Dataset.cardinality."""


@dataclass(frozen=True)
class WorkerData:
    """What one worker knows of the data that it passes to `fit`, `evaluate` or `predict`."""

    batches: int
    """The number of batches of an epoch, of the script's batch size; INFINITE or UNKNOWN."""
    steps: int | None = None
    """The steps of an epoch that the script requests."""
    own_data: str = ""
    """Why the data is this host's own; empty where nothing indicates it."""
    sharding_is_set: bool = False
    """Whether the script has set an auto-sharding policy itself."""


@dataclass(frozen=True)
class EpochPlan:
    """How all workers take an epoch."""

    own_data: str = ""
    """Why every host has data of its own, so that auto-sharding is off; empty where it is on."""
    steps: int | None = None
    """None where Keras needs no number: all hosts have the same number of batches, or no host knows its number. In the
    latter case TensorFlow continues as long as any host has data, and the others take part with empty batches."""
    note: str = ""


def plan_epoch(workers: Sequence[WorkerData], names: Sequence[str]) -> EpochPlan:
    """The plan that follows from the data of all workers, the same on each of them. Raises ValueError where the workers
    cannot train together.

    A batch of the script is a batch of all hosts together: TensorFlow divides it among the hosts, and a host takes its
    share in each step. So a host that trains on all of its batches needs as many steps for each as there are hosts.
    """
    batches = [worker.batches for worker in workers]
    given_steps = [worker.steps for worker in workers if worker.steps is not None]
    counts = ", ".join(f"{name} {_count(number)}" for name, number in zip(names, batches, strict=True))
    sharding_is_set = any(worker.sharding_is_set for worker in workers)
    batches_differ = len(set(batches)) > 1
    own_data = "" if sharding_is_set else next((worker.own_data for worker in workers if worker.own_data), "")
    if batches_differ and not own_data and not sharding_is_set:
        own_data = "the hosts have different numbers of batches"
    uneven = batches_differ or len(set(given_steps)) > 1
    if not own_data and not uneven:
        return EpochPlan()
    if 0 in batches:
        raise ValueError(f"a host has no data to train on: {counts}; give every host at least one batch")
    if not given_steps and min(batches) < 0:
        if batches_differ:
            raise ValueError(
                f"the hosts' data cannot be trained on together: {counts}; give steps_per_epoch, or have tf.data know "
                "the number on all hosts (tf.data.experimental.assert_cardinality)"
            )
        return EpochPlan(own_data)
    steps = max(given_steps) if given_steps else max(batches) * (len(names) if own_data else 1)
    note = f"{counts}: an epoch has {steps} steps on all hosts, and those with fewer batches repeat them"
    return EpochPlan(own_data, steps, note=note if uneven else "")


def _count(number: int) -> str:
    return {INFINITE: "without end", UNKNOWN: "an unknown number"}.get(number, str(number))
