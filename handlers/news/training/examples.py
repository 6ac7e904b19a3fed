"""Encoded headlines with their categories, and a network's answers for many of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from byo_container.handlers.news.categories import NAMES
from byo_container.handlers.news.hyperparameters import Settings
from byo_container.handlers.news.preprocessing.features import Align, Ragged

if TYPE_CHECKING:
    import keras

ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Examples:
    """features: a row for each headline; labels: int32 (rows,)."""

    features: Ragged
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.int64]) -> Examples:
        return Examples(self.features.take(rows), self.labels[rows])


class Answerer:
    """A network's answers for many rows. Traced once, whatever the number of rows."""

    def __init__(self, network: keras.Model, width: int | None, align: Align) -> None:
        """width None: the network takes any, and each call is as wide as its longest row."""
        self._width, self._align = width, align
        self._answer = tf.function(
            lambda ids: network(ids, training=False), input_signature=[tf.TensorSpec([None, width], tf.int32)]
        )

    def __call__(self, features: Ragged) -> npt.NDArray[np.float32]:
        """(rows, 4): the probabilities of the categories."""
        # Rows of like length go together, so that little is padded.
        lengths = features.lengths
        order = np.argsort(lengths, kind="stable")
        answers = np.empty((len(features), len(NAMES)), np.float32)
        for first in range(0, len(features), ROWS_AT_ONCE):
            rows = order[first : first + ROWS_AT_ONCE]
            width = self._width or max(1, int(lengths[rows[-1]]))
            answers[rows] = self._answer(features.take(rows).padded(width, self._align)).numpy()
        return answers


@dataclass(frozen=True)
class Task:
    """What a training loop is given."""

    network: keras.Model
    training: Examples
    validation: Examples
    settings: Settings
    answer: Answerer
