"""The model as a server holds it: a traced TensorFlow function and the features that feed it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from byo_container.handlers.news import artifact
from byo_container.handlers.news.preprocessing.features import Features

ROWS_AT_ONCE = 1024  # bounds the memory for a request of very many headlines


def limit_threads() -> None:
    """One thread for each server worker, of which there is one for each core, unless the environment says
    otherwise (TF_NUM_INTRAOP_THREADS, OMP_NUM_THREADS)."""
    wanted = os.environ.get("TF_NUM_INTRAOP_THREADS") or os.environ.get("OMP_NUM_THREADS") or "1"
    with contextlib.suppress(RuntimeError):  # TensorFlow has begun to compute: too late to choose
        tf.config.threading.set_intra_op_parallelism_threads(int(wanted) if wanted.isdigit() else 1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


class Model:
    """Classifies headlines. Safe to call from several threads."""

    def __init__(self, folder: Path) -> None:
        """Loads what `train` left in `folder` and computes once, so that no request waits for that. Raises
        JobError where the model is missing or damaged."""
        limit_threads()
        network, features = artifact.load(folder)
        self._features: Features = features
        # One signature for any number of rows: calling a Keras model costs 3 ms and `predict` 90 ms, the traced
        # function 0.2 ms, and it is never traced again.
        traced = tf.function(
            lambda ids: network(ids, training=False),
            input_signature=[tf.TensorSpec([None, features.width], tf.int32)],
        )
        self._run = traced.get_concrete_function()
        self._network = network  # the traced function holds the weights only weakly
        self.classify(["warm up"])

    def classify(self, headlines: list[str]) -> list[list[float]]:
        """The probabilities of the four categories, in the order of categories.NAMES, for each headline."""
        if len(headlines) <= ROWS_AT_ONCE:
            return self._classify(headlines)
        parts = range(0, len(headlines), ROWS_AT_ONCE)
        return [row for first in parts for row in self._classify(headlines[first : first + ROWS_AT_ONCE])]

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
