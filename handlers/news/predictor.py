"""The loaded model: a traced TensorFlow function, and the features that are its input."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from byo_container.handlers.news import artifact
from byo_container.handlers.news.preprocessing.features import Features

MAX_ROWS = 1024  # in one call; limits the memory for a request with very many headlines


def limit_threads() -> None:
    """One thread for each server worker, as there is a worker for each core. TF_NUM_INTRAOP_THREADS and
    OMP_NUM_THREADS override it."""
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS") or os.environ.get("OMP_NUM_THREADS") or "1"
    with contextlib.suppress(RuntimeError):  # too late: TensorFlow has started to compute
        tf.config.threading.set_intra_op_parallelism_threads(int(threads) if threads.isdigit() else 1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


class Predictor:
    """Classifies headlines. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Loads the model in `folder` and computes once, so that no request waits for the first call's set-up. Raises
        JobError where the model is missing or damaged."""
        limit_threads()
        network, features = artifact.load(folder)
        self._features: Features = features
        # One signature for any number of rows, so that it is never traced again. A call of a Keras model costs 3 ms, of
        # its `predict` 90 ms, of the traced function 0.2 ms.
        traced = tf.function(
            lambda ids: network(ids, training=False), input_signature=[tf.TensorSpec([None, features.width], tf.int32)]
        )
        self._run = traced.get_concrete_function()
        self._network = network  # the traced function has only weak references to the weights
        self.classify(["warm up"])

    def classify(self, headlines: list[str]) -> list[list[float]]:
        """The probabilities of the four categories, in the order of categories.NAMES, for each headline."""
        if len(headlines) <= MAX_ROWS:
            return self._classify(headlines)
        parts = range(0, len(headlines), MAX_ROWS)
        return [row for first in parts for row in self._classify(headlines[first : first + MAX_ROWS])]

    def _classify(self, headlines: list[str]) -> list[list[float]]:
        features = self._features
        table = np.zeros((len(headlines), features.width), np.int32)
        for row, ids in zip(table, map(features.ids, headlines), strict=True):
            if not ids:
                continue
            if features.align == "left":
                row[: len(ids)] = ids
            else:
                row[-len(ids) :] = ids
        rows: list[list[float]] = self._run(tf.constant(table)).numpy().tolist()
        return rows
