"""The training loop of the workshop's architectures: Keras's own `fit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from byo_container.container.process.stop_flag import StopFlag
from byo_container.container.progress import Progress
from byo_container.handlers.news.preprocessing.features import WordFeatures
from byo_container.handlers.news.training.checkpoints import TrainingCheckpoints
from byo_container.handlers.news.training.examples import Task
from byo_container.handlers.news.training.metric_log import EpochMetrics, MetricLog


def train(task: Task, metric_log: MetricLog, stop: StopFlag, checkpoints: TrainingCheckpoints) -> None:
    """Trains in place, until the last epoch or until `stop` is requested (checked after every step)."""
    network, training, validation = task.network, task.training, task.validation
    network.compile(
        optimizer=keras.optimizers.RMSprop(task.hyperparameters.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    network.optimizer.build(network.trainable_variables)
    variables = [*network.variables, *network.optimizer.variables]
    finished_epochs = checkpoints.restore(variables)
    width, align = WordFeatures.width, WordFeatures.align
    network.fit(
        training.features.padded(width, align),
        training.labels,
        validation_data=(validation.features.padded(width, align), validation.labels),
        validation_batch_size=1024,
        initial_epoch=finished_epochs,
        epochs=task.hyperparameters.epochs,
        batch_size=task.batch_size,
        callbacks=[_Reporter(task, metric_log, stop, lambda: checkpoints.save(variables))],
        verbose=0,
    )


class _Reporter(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Shows progress, logs metrics, saves a checkpoint after every epoch, and ends training on a stop request."""

    def __init__(self, task: Task, metric_log: MetricLog, stop: StopFlag, save: Callable[[], None]) -> None:
        super().__init__()
        self.task, self.metric_log, self.stop, self.save = task, metric_log, stop, save
        self.rows = len(task.training)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.progress = Progress(f"epoch {epoch + 1}/{self.task.hyperparameters.epochs}", self.rows, "headlines")
        self.progress.__enter__()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.progress.advance(min(self.task.batch_size, self.rows - self.progress.done))
        self.model.stop_training = self.stop.requested

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.stop.requested:
            self.progress.__exit__(None, None, None)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs and "val_loss" in logs and not self.stop.requested:
            names = ("loss", "accuracy", "val_loss", "val_accuracy")
            self.metric_log.add(EpochMetrics(*(logs[name] for name in names)))
            self.save()
