"""What is known about a training while it runs: lines for SageMaker's metric regexes, TensorBoard events."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.framework.summary_pb2 import DATA_CLASS_SCALAR, SummaryMetadata

from handlers.news.progress import say

LEAST_PROBABILITY = 1e-7  # as Keras clips it, so that a certain mistake costs 16 and not infinity


@dataclass(frozen=True)
class Measures:
    """One epoch. Losses are mean cross-entropies in nats; accuracies shares of 1. The training figures are
    of the batches as they were learned, with dropout and label smoothing."""

    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float


class Journal:
    """A context manager; `epochs` holds what has been noted."""

    def __init__(self, epochs: int, tensorboard: Path) -> None:
        self.planned = epochs
        self.epochs: list[Measures] = []
        self._folder = tensorboard

    def __enter__(self) -> Journal:
        self._writer = tf.summary.create_file_writer(str(self._folder))
        self._begun = time.monotonic()
        return self

    def note(self, measures: Measures) -> None:
        """The next epoch's measures."""
        self.epochs.append(measures)
        number, seconds = len(self.epochs), time.monotonic() - self._begun
        # Names are such that `loss=(.*?);` and `val_acc=(.*?);` find one figure each: no name ends in another.
        say(
            f"epoch {number}/{self.planned}: loss={measures.loss:.4f}; val_acc={measures.val_accuracy:.4f}; "
            f"train_accuracy={measures.accuracy:.4f}; val_entropy={measures.val_loss:.4f}; "
            f"seconds={seconds:.1f};"
        )
        self._write_events(number, measures)

    def _write_events(self, number: int, measures: Measures) -> None:
        if self._writer is None:
            return
        try:
            with self._writer.as_default(step=number):
                _scalar("loss/training", measures.loss)
                _scalar("loss/validation", measures.val_loss)
                _scalar("accuracy/training", measures.accuracy)
                _scalar("accuracy/validation", measures.val_accuracy)
            self._writer.flush()
        except tf.errors.OpError as error:  # a full disk; no reason to lose the training as well
            say(f"no more TensorBoard events: cannot write to {self._folder}: {error.message.splitlines()[0]}")
            self._writer = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()


def _scalar(tag: str, value: float) -> None:
    # tf.summary.scalar is the package tensorboard's, which training does not need; this writes the same event.
    metadata = SummaryMetadata(
        data_class=DATA_CLASS_SCALAR, plugin_data=SummaryMetadata.PluginData(plugin_name="scalars")
    )
    tf.summary.write(tag, tf.constant(value, tf.float32), metadata=metadata)


def measure(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]) -> tuple[float, float]:
    """Loss and accuracy of (rows, 4) probabilities, where `labels` (rows,) would have been right."""
    of_right = probabilities[np.arange(len(labels)), labels]
    loss = -np.log(np.maximum(of_right, LEAST_PROBABILITY)).mean()
    return float(loss), float((probabilities.argmax(axis=1) == labels).mean())
