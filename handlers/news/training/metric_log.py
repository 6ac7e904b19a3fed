"""The metrics of a training: a log line for each epoch, from which `train` makes metrics, events and a report."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from byo_container.container import metrics
from byo_container.container.progress import say

MIN_PROBABILITY = 1e-7  # as Keras clips it, so that a certain mistake costs 16 and not infinity


@dataclass(frozen=True)
class EpochMetrics:
    """Metrics of one epoch. Losses are mean cross-entropies in nats; accuracies are from 0 to 1. The training metrics
    are those of the batches when they were learned, with dropout and label smoothing."""

    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float


class MetricLog:
    """Logs the metrics of each epoch and keeps them in `epochs`."""

    def __init__(self, planned_epochs: int) -> None:
        self.planned_epochs = planned_epochs
        self.epochs: list[EpochMetrics] = []
        self._started = time.monotonic()

    def add(self, epoch: EpochMetrics, restored: bool = False) -> None:
        """The metrics of the next epoch; `restored` marks the line as one from a checkpoint."""
        self.epochs.append(epoch)
        # With these names `loss=(.*?);` and `val_acc=(.*?);` match one metric each: no name ends in another.
        values = {
            "loss": epoch.loss,
            "val_acc": epoch.val_accuracy,
            "train_accuracy": epoch.accuracy,
            "val_entropy": epoch.val_loss,
            "seconds": time.monotonic() - self._started,
        }
        label = f"epoch {len(self.epochs)}/{self.planned_epochs}"
        say(metrics.line(f"{label} (from the checkpoint)" if restored else label, values))


def loss_and_accuracy(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]) -> tuple[float, float]:
    """Cross-entropy and accuracy of `probabilities` (rows, 4) for `labels` (rows,)."""
    of_label = probabilities[np.arange(len(labels)), labels]
    loss = -np.log(np.maximum(of_label, MIN_PROBABILITY)).mean()
    return float(loss), float((probabilities.argmax(axis=1) == labels).mean())
