"""Encoded headlines with their categories, and a network's answers for many of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from handlers.news.features import Ragged

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


def probabilities(
    network: keras.Model, features: Ragged, width: int | None, align: Literal["left", "right"]
) -> npt.NDArray[np.float32]:
    """(rows, 4): what the network says. `width` None: as wide as the longest row at hand."""

    @tf.function(input_signature=[tf.TensorSpec([None, width], tf.int32)])
    def answer(ids: tf.Tensor) -> tf.Tensor:
        return network(ids, training=False)

    # Rows of like length go together, so that little is padded.
    order = np.argsort(features.lengths, kind="stable")
    answers = np.empty((len(features), network.output_shape[-1]), np.float32)
    for first in range(0, len(features), ROWS_AT_ONCE):
        rows = order[first : first + ROWS_AT_ONCE]
        part = features.take(rows)
        answers[rows] = answer(part.padded(width or max(1, int(part.lengths.max())), align)).numpy()
    return answers
