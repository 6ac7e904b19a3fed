"""What is known about a training: a line for each epoch, from which `train` makes metrics, events and a report."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from byo_container.container import metrics
from byo_container.container.progress import say

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
    """`epochs` holds what has been noted."""

    def __init__(self, epochs: int) -> None:
        self.planned = epochs
        self.epochs: list[Measures] = []
        self._begun = time.monotonic()

    def note(self, measures: Measures, restored: bool = False) -> None:
        """The next epoch's measures; `restored` where a checkpoint tells of them, and the line says so."""
        self.epochs.append(measures)
        # Names are such that `loss=(.*?);` and `val_acc=(.*?);` find one figure each: no name ends in another.
        figures = {
            "loss": measures.loss,
            "val_acc": measures.val_accuracy,
            "train_accuracy": measures.accuracy,
            "val_entropy": measures.val_loss,
            "seconds": time.monotonic() - self._begun,
        }
        at = f"epoch {len(self.epochs)}/{self.planned}"
        say(metrics.line(f"{at} (from the checkpoint)" if restored else at, figures))


def measure(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int32]) -> tuple[float, float]:
    """Loss and accuracy of (rows, 4) probabilities, where `labels` (rows,) would have been right."""
    of_right = probabilities[np.arange(len(labels)), labels]
    loss = -np.log(np.maximum(of_right, LEAST_PROBABILITY)).mean()
    return float(loss), float((probabilities.argmax(axis=1) == labels).mean())
