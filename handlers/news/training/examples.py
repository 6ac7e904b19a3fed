"""Encoded headlines with their labels, and a network's predictions for many of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from byo_container.handlers.news.categories import NAMES
from byo_container.handlers.news.hyperparameters import Hyperparameters
from byo_container.handlers.news.preprocessing.features import Align, Ragged

if TYPE_CHECKING:
    import keras

BATCH_ROWS = 4096


@dataclass(frozen=True)
class Examples:
    """features: a row for each headline; labels: int32 (rows,)."""

    features: Ragged
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.int64]) -> Examples:
        return Examples(self.features.take(rows), self.labels[rows])


class BatchPredictor:
    """A network's probabilities for many rows. Traced once for any number of rows."""

    def __init__(self, network: keras.Model, width: int | None, align: Align) -> None:
        """width: that of the network's input; None where it takes any, and each batch is as wide as its longest row."""
        self._width, self._align = width, align
        self._predict = tf.function(
            lambda ids: network(ids, training=False), input_signature=[tf.TensorSpec([None, width], tf.int32)]
        )

    def __call__(self, features: Ragged) -> npt.NDArray[np.float32]:
        """(rows, 4): the probabilities of the categories."""
        # Sorted by length, so that little is padding.
        lengths = features.lengths
        order = np.argsort(lengths, kind="stable")
        probabilities = np.empty((len(features), len(NAMES)), np.float32)
        for first in range(0, len(features), BATCH_ROWS):
            rows = order[first : first + BATCH_ROWS]
            width = self._width or max(1, int(lengths[rows[-1]]))
            probabilities[rows] = self._predict(features.take(rows).padded(width, self._align)).numpy()
        return probabilities


@dataclass(frozen=True)
class Task:
    """The input of a training loop."""

    network: keras.Model
    training: Examples
    validation: Examples
    hyperparameters: Hyperparameters
    batch_size: int
    predict: BatchPredictor
