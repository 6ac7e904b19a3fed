"""Which rows each worker of MultiWorkerMirroredStrategy trains on, and in how many steps.

TensorFlow takes it that all hosts read the same data, and has each worker train on its part of it (auto-sharding).
Where each host has data of its own, that would leave out all rows but one part of each host's: so it is off there.
Hosts must also take the same number of steps, for each step needs all of them. Keras counts the batches on each host by
itself, so the hosts tell each other before they begin.

A part of training/processes/tf_strategy.py, in the process of a user's script.
https://www.tensorflow.org/tutorials/distribute/input#sharding
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

SHARDED_CHANNELS = "TRAINING_SHARDED_CHANNELS"
INFINITE, UNKNOWN = -1, -2
"""As tf.data.Dataset.cardinality has it."""


class Company(Protocol):
    """The workers: training/processes/tf_strategy.py has them."""

    names: list[str]

    def exchange(self, topic: str, value: str) -> list[str]: ...


@dataclass(frozen=True)
class Input:
    """What one worker knows of the data that it gives to `fit`, `evaluate` or `predict`."""

    batches: int
    """The number of batches of an epoch, of the size that the script has given; INFINITE or UNKNOWN."""
    steps: int | None = None
    """The steps of an epoch that the script asks for."""
    own: str = ""
    """Why the data is this host's own; empty where nothing says so."""
    decided: bool = False
    """Whether the script has chosen auto-sharding itself."""


@dataclass(frozen=True)
class Plan:
    """How all workers take an epoch."""

    own: str = ""
    """Why every host has data of its own, so that auto-sharding is off; empty where it stays."""
    steps: int | None = None
    """None where Keras does it by itself: where all hosts have as many batches, and where no host knows the number.
    Then TensorFlow goes on as long as a host has data, and the others take part with empty batches."""
    note: str = ""


def plan(inputs: Sequence[Input], names: Sequence[str]) -> Plan:
    """What follows from what the workers know, the same on each of them. Raises ValueError where it cannot go well.

    A batch of the script's is one of all hosts together: TensorFlow cuts it in as many pieces as there are hosts, and a
    host takes a piece in each step. So a host that trains on all of its batches needs that many steps for each.
    """
    batches = [item.batches for item in inputs]
    given = [item.steps for item in inputs if item.steps is not None]
    counted = ", ".join(f"{name} {_count(number)}" for name, number in zip(names, batches, strict=True))
    decided = any(item.decided for item in inputs)
    differ = len(set(batches)) > 1
    own = "" if decided else next((item.own for item in inputs if item.own), "")
    if differ and not own and not decided:
        own = "the hosts have different numbers of batches"
    uneven = differ or len(set(given)) > 1
    if not own and not uneven:
        return Plan()
    if 0 in batches:
        raise ValueError(f"a host has no data to train on: {counted}; give every host at least one batch")
    if not given and min(batches) < 0:
        if differ:
            raise ValueError(
                f"the hosts' data cannot be trained on together: {counted}; give steps_per_epoch, or have tf.data know "
                "the number on all hosts (tf.data.experimental.assert_cardinality)"
            )
        return Plan(own)
    steps = max(given) if given else max(batches) * (len(names) if own else 1)
    note = f"{counted}: an epoch has {steps} steps on all hosts, and those with fewer batches repeat them"
    return Plan(own, steps, note=note if uneven else "")


def _count(number: int) -> str:
    return {INFINITE: "without end", UNKNOWN: "an unknown number"}.get(number, str(number))


class Data:
    """What the strategy and Keras do with datasets, as `plan` has it."""

    def __init__(self, tf: Any, strategy: Any, workers: Company) -> None:
        self._tf = tf
        self._strategy = strategy
        self._workers = workers
        self._policies = tf.data.experimental.AutoShardPolicy
        channels = os.environ.get(SHARDED_CHANNELS, "")
        self._own = f"S3DistributionType of channel {channels} is ShardedByS3Key" if channels else ""
        self._count = 0
        self._said: set[str] = set()
        self._inside_keras = False
        self._predicts: Any = None
        """The policy of what is being predicted, for Keras overwrites it. None where nothing is."""
        self._alone = False

    def install(self) -> None:
        training: Any = sys.modules[self._tf.keras.Model.__module__]
        handler = training.data_adapter.DataHandler
        handler._configure_dataset_and_inferred_steps = self._configured(handler._configure_dataset_and_inferred_steps)
        training.reduce_per_replica = self._reduced(training.reduce_per_replica)
        self._tf.keras.Model.predict = self._predicted(self._tf.keras.Model.predict)
        self._strategy.experimental_distribute_dataset = self._distributed(
            self._strategy.experimental_distribute_dataset
        )
        self._tf.data.Dataset.shard = self._noted(self._tf.data.Dataset.shard)

    def _noted(self, shard: Callable[..., Any]) -> Callable[..., Any]:
        """Dataset.shard, which says that the script deals out the data itself."""

        def shard_and_note(dataset: Any, num_shards: Any, *arguments: Any, **options: Any) -> Any:
            count = self._tf.get_static_value(num_shards)
            if count is not None and count > 1:
                self._own = self._own or "the script calls tf.data.Dataset.shard itself"
            return shard(dataset, num_shards, *arguments, **options)

        return functools.update_wrapper(shard_and_note, shard)

    def _distributed(self, distribute: Callable[..., Any]) -> Callable[..., Any]:
        """strategy.experimental_distribute_dataset, for a training loop of the script's own."""

        def distribute_all(dataset: Any, options: Any = None) -> Any:
            if not self._inside_keras and self._own and self._policy(dataset) is self._policies.AUTO:
                self._say(Plan(self._own))
                dataset = self._unsharded(dataset)
            return distribute(dataset, options)

        return functools.update_wrapper(distribute_all, distribute)

    def _configured(self, configure: Callable[..., None]) -> Callable[..., None]:
        """The method by which Keras takes the data of fit, evaluate and predict, and counts its batches."""

        def configure_as_planned(
            handler: Any, strategy: Any, x: Any, steps: int | None, class_weight: Any, distribute: bool
        ) -> None:
            adapter = handler._adapter
            dataset = adapter.get_dataset()
            if strategy is self._strategy and distribute and isinstance(dataset, self._tf.data.Dataset):
                batches = adapter.get_size()
                if batches is None:
                    batches = int(dataset.cardinality())
                own, decided = self._choice(x if isinstance(x, self._tf.data.Dataset) else None)
                agreed = self._agree(Input(batches, None if steps in (batches, -1) else steps, own, decided))
                if agreed.own:
                    dataset = self._unsharded(dataset)
                self._alone = self._predicts is not None and bool(agreed.own)
                if self._alone:
                    distribute = False
                elif agreed.steps is not None:
                    steps = agreed.steps
                    dataset = dataset if batches == INFINITE else dataset.repeat()
                adapter.get_dataset = lambda: dataset
            self._inside_keras = True
            try:
                configure(handler, strategy, x, steps, class_weight, distribute)
            finally:
                self._inside_keras = False

        return functools.update_wrapper(configure_as_planned, configure)

    def _choice(self, dataset: Any) -> tuple[str, bool]:
        """Why the data is the host's own, and whether the script has chosen otherwise; by the dataset's options."""
        policy = self._policies.AUTO
        if dataset is not None:
            policy = self._policy(dataset) if self._predicts is None else self._predicts
        if policy is self._policies.OFF:
            return "the script has set auto_shard_policy to OFF", False
        return self._own, policy is not self._policies.AUTO

    def _agree(self, own: Input) -> Plan:
        self._count += 1
        said = self._workers.exchange(f"input/{self._count}", json.dumps(asdict(own)))
        agreed = plan([Input(**json.loads(text)) for text in said], self._workers.names)
        self._say(agreed)
        return agreed

    def _say(self, agreed: Plan) -> None:
        text = (
            f"auto-sharding is off, because {agreed.own}: every host takes all of its own"
            if agreed.own
            else "auto-sharding is TensorFlow's, because nothing says that the hosts' data differ: every host takes a "
            "part of it"
        )
        for line in (text, agreed.note):
            if line and line not in self._said:
                self._said.add(line)
                print(line, file=sys.stderr, flush=True)

    def _policy(self, dataset: Any) -> Any:
        return dataset.options().experimental_distribute.auto_shard_policy

    def _unsharded(self, dataset: Any) -> Any:
        options = self._tf.data.Options()
        options.experimental_distribute.auto_shard_policy = self._policies.OFF
        return dataset.with_options(options)

    def _predicted(self, predict: Callable[..., Any]) -> Callable[..., Any]:
        """Model.predict, which gives a host the predictions for its own data, and not for that of all hosts."""

        def predict_own(model: Any, *arguments: Any, **options: Any) -> Any:
            x = arguments[0] if arguments else options.get("x")
            self._predicts = self._policy(x) if isinstance(x, self._tf.data.Dataset) else self._policies.AUTO
            try:
                return predict(model, *arguments, **options)
            finally:
                self._predicts, self._alone = None, False

        return functools.update_wrapper(predict_own, predict)

    def _reduced(self, reduce: Callable[..., Any]) -> Callable[..., Any]:
        """Keras's way from the outputs of all replicas to one."""

        def reduce_here(values: Any, strategy: Any, reduction: str) -> Any:
            return reduce(values, strategy, "first" if self._alone and reduction == "concat" else reduction)

        return functools.update_wrapper(reduce_here, reduce)
