"""Makes Keras and tf.data follow the plan of an epoch (epoch_plan.py) on all workers."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from byo_container.training.tf.epoch_plan import INFINITE, EpochPlan, WorkerData, plan_epoch
from byo_container.training.tf.workers import Workers

SHARDED_CHANNELS = "TRAINING_SHARDED_CHANNELS"
"""The variable with the channels whose files differ between hosts."""


class DataSharding:
    """Wraps what the strategy, Keras and tf.data do with datasets."""

    def __init__(self, tf: Any, strategy: Any, workers: Workers) -> None:
        self._tf = tf
        self._strategy = strategy
        self._workers = workers
        self._policies = tf.data.experimental.AutoShardPolicy
        channels = os.environ.get(SHARDED_CHANNELS, "")
        self._own_data = f"S3DistributionType of channel {channels} is ShardedByS3Key" if channels else ""
        self._exchanges = 0
        self._logged: set[str] = set()
        self._inside_keras = False
        self._predict_policy: Any = None
        """The auto-sharding policy of the dataset being predicted, which Keras overwrites; None outside of
        `predict`."""
        self._predicts_locally = False

    def install(self) -> None:
        """Wraps the functions."""
        keras_training: Any = sys.modules[self._tf.keras.Model.__module__]
        handler = keras_training.data_adapter.DataHandler
        handler._configure_dataset_and_inferred_steps = self._configuring(handler._configure_dataset_and_inferred_steps)
        keras_training.reduce_per_replica = self._reducing(keras_training.reduce_per_replica)
        self._tf.keras.Model.predict = self._predicting(self._tf.keras.Model.predict)
        self._strategy.experimental_distribute_dataset = self._distributing(
            self._strategy.experimental_distribute_dataset
        )
        self._tf.data.Dataset.shard = self._sharding(self._tf.data.Dataset.shard)

    def _sharding(self, shard: Callable[..., Any]) -> Callable[..., Any]:
        """Dataset.shard. A script that calls it shards the data itself."""

        def shard_and_record(dataset: Any, num_shards: Any, *arguments: Any, **options: Any) -> Any:
            count = self._tf.get_static_value(num_shards)
            if count is not None and count > 1:
                self._own_data = self._own_data or "the script calls tf.data.Dataset.shard itself"
            return shard(dataset, num_shards, *arguments, **options)

        return functools.update_wrapper(shard_and_record, shard)

    def _distributing(self, distribute: Callable[..., Any]) -> Callable[..., Any]:
        """strategy.experimental_distribute_dataset, which custom training loops call."""

        def distribute_unsharded(dataset: Any, options: Any = None) -> Any:
            if not self._inside_keras and self._own_data and self._policy(dataset) is self._policies.AUTO:
                self._log(EpochPlan(self._own_data))
                dataset = self._unsharded(dataset)
            return distribute(dataset, options)

        return functools.update_wrapper(distribute_unsharded, distribute)

    def _configuring(self, configure: Callable[..., None]) -> Callable[..., None]:
        """The method by which Keras prepares the data of fit, evaluate and predict, and counts its batches."""

        def configure_as_planned(
            handler: Any, strategy: Any, x: Any, steps: int | None, class_weight: Any, distribute: bool
        ) -> None:
            adapter = handler._adapter
            dataset = adapter.get_dataset()
            if strategy is self._strategy and distribute and isinstance(dataset, self._tf.data.Dataset):
                batches = adapter.get_size()
                if batches is None:
                    batches = int(dataset.cardinality())
                own_data, is_set = self._sharding_of(x if isinstance(x, self._tf.data.Dataset) else None)
                given_steps = None if steps in (batches, -1) else steps
                epoch = self._agree(WorkerData(batches, given_steps, own_data, is_set))
                if epoch.own_data:
                    dataset = self._unsharded(dataset)
                self._predicts_locally = self._predict_policy is not None and bool(epoch.own_data)
                if self._predicts_locally:
                    distribute = False
                elif epoch.steps is not None:
                    steps = epoch.steps
                    dataset = dataset if batches == INFINITE else dataset.repeat()
                adapter.get_dataset = lambda: dataset
            self._inside_keras = True
            try:
                configure(handler, strategy, x, steps, class_weight, distribute)
            finally:
                self._inside_keras = False

        return functools.update_wrapper(configure_as_planned, configure)

    def _sharding_of(self, dataset: Any) -> tuple[str, bool]:
        """Why the data is the host's own, and whether the script has set another policy, by the dataset's options."""
        policy = self._policies.AUTO
        if dataset is not None:
            policy = self._policy(dataset) if self._predict_policy is None else self._predict_policy
        if policy is self._policies.OFF:
            return "the script has set auto_shard_policy to OFF", False
        return self._own_data, policy is not self._policies.AUTO

    def _agree(self, own: WorkerData) -> EpochPlan:
        """The plan for an epoch, by the data of all workers."""
        self._exchanges += 1
        texts = self._workers.exchange(f"input/{self._exchanges}", json.dumps(asdict(own)))
        epoch = plan_epoch([WorkerData(**json.loads(text)) for text in texts], self._workers.names)
        self._log(epoch)
        return epoch

    def _log(self, epoch: EpochPlan) -> None:
        text = (
            f"auto-sharding is off, because {epoch.own_data}: every host takes all of its own"
            if epoch.own_data
            else "auto-sharding is TensorFlow's, because nothing says that the hosts' data differ: every host takes a "
            "part of it"
        )
        for line in (text, epoch.note):
            if line and line not in self._logged:
                self._logged.add(line)
                print(line, file=sys.stderr, flush=True)

    def _policy(self, dataset: Any) -> Any:
        return dataset.options().experimental_distribute.auto_shard_policy

    def _unsharded(self, dataset: Any) -> Any:
        options = self._tf.data.Options()
        options.experimental_distribute.auto_shard_policy = self._policies.OFF
        return dataset.with_options(options)

    def _predicting(self, predict: Callable[..., Any]) -> Callable[..., Any]:
        """Model.predict. A host with data of its own gets the predictions for that, not for the data of all hosts."""

        def predict_own_data(model: Any, *arguments: Any, **options: Any) -> Any:
            x = arguments[0] if arguments else options.get("x")
            self._predict_policy = self._policy(x) if isinstance(x, self._tf.data.Dataset) else self._policies.AUTO
            try:
                return predict(model, *arguments, **options)
            finally:
                self._predict_policy, self._predicts_locally = None, False

        return functools.update_wrapper(predict_own_data, predict)

    def _reducing(self, reduce: Callable[..., Any]) -> Callable[..., Any]:
        """Keras's function that makes one output of those of all replicas."""

        def reduce_locally(values: Any, strategy: Any, reduction: str) -> Any:
            return reduce(values, strategy, "first" if self._predicts_locally and reduction == "concat" else reduction)

        return functools.update_wrapper(reduce_locally, reduce)
