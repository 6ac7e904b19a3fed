"""The workshop's architectures: Keras's own `fit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from byo_container.container.process.stop_flag import StopFlag
from byo_container.container.progress import Progress
from byo_container.handlers.news.hyperparameters import Settings
from byo_container.handlers.news.preprocessing.features import WordFeatures
from byo_container.handlers.news.training.checkpoints import Resuming
from byo_container.handlers.news.training.examples import Task
from byo_container.handlers.news.training.metric_log import Journal, Measures


def train(task: Task, journal: Journal, stop: StopFlag, resuming: Resuming) -> None:
    """Trains in place until the epochs are done or `stop` is requested (looked at after every step)."""
    network, training, validation, settings = task.network, task.training, task.validation, task.settings
    network.compile(
        optimizer=keras.optimizers.RMSprop(settings.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    network.optimizer.build(network.trainable_variables)
    variables = [*network.variables, *network.optimizer.variables]
    past = resuming.restore(variables)
    width, align = WordFeatures.width, WordFeatures.align
    network.fit(
        training.features.padded(width, align),
        training.labels,
        validation_data=(validation.features.padded(width, align), validation.labels),
        validation_batch_size=1024,
        initial_epoch=past,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        callbacks=[_Reporter(len(training), settings, journal, stop, lambda: resuming.save(variables))],
        verbose=0,
    )


class _Reporter(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    """Says how far it has come, and ends it when the platform asks for that."""

    def __init__(
        self, rows: int, settings: Settings, journal: Journal, stop: StopFlag, save: Callable[[], None]
    ) -> None:
        super().__init__()
        self.rows, self.settings, self.journal, self.stop, self.save = rows, settings, journal, stop, save

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.progress = Progress(f"epoch {epoch + 1}/{self.settings.epochs}", self.rows, "headlines")
        self.progress.__enter__()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.progress.advance(min(self.settings.batch_size, self.rows - self.progress.done))
        self.model.stop_training = self.stop.requested

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.stop.requested:
            self.progress.__exit__(None, None, None)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs and "val_loss" in logs and not self.stop.requested:
            self.journal.note(Measures(logs["loss"], logs["accuracy"], logs["val_loss"], logs["val_accuracy"]))
            self.save()
